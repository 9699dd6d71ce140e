//! What begins and ends with each stage. The only user of the transition [`table`](super::table).

use super::claim::ClaimEvent;
use super::effect::{Call, Effect, Finish};
use super::event::{Event, EventKind};
use super::input::{Fault, Reply};
use super::reason::Reason;
use super::steward::Steward;
use super::table::{self, Stage, Trigger};
use super::{Machine, Purpose};
use crate::heartbeat::Role;
use crate::ids::{NodeId, Term};
use crate::lease::{LeaseView, Tenant};
use crate::time::Time;

impl Machine {
    /// Lets something end the present stage, if the table says that it does.
    pub(super) fn fire(&mut self, now: Time, trigger: Trigger, out: &mut Vec<Effect>) {
        if let Some((to, reason)) = table::next(self.stage, trigger) {
            self.stage = to;
            self.enter(now, trigger, reason, out);
        }
    }

    fn enter(&mut self, now: Time, trigger: Trigger, reason: Reason, out: &mut Vec<Effect>) {
        let node = self.config.member.node.clone();
        match self.stage {
            Stage::Inactive => {
                if trigger == Trigger::Joined {
                    let event = Event::new(EventKind::NodeJoined, node, reason);
                    let term = self.node.term().unwrap_or_default();
                    let event = event.role(Role::Inactive).term(term);
                    out.push(Effect::Tell(event.detail(self.config.member.incarnation.to_string())));
                    self.runner.begin_term(now);
                }
                self.patience_until = None;
                self.wishes.handover = None;
                self.restraint.stopped(now, self.timing.ttl());
                self.take_role(Role::Inactive, reason, out);
            }
            Stage::Standby => {
                self.hooks.prepare(out);
                self.take_role(Role::Standby, reason, out);
            }
            Stage::Promoting => {
                self.wishes.handover = None;
                if let Some((_, _, until)) = &mut self.wishes.back {
                    *until = now;
                }
                if let Some(lease) = self.active.claim.held(now).cloned() {
                    let (me, timing) = (self.config.member.clone(), self.timing);
                    let known = self.config.responses.iter().cloned().collect();
                    self.steward = Some(Steward::new(me, timing, lease.clone(), known, now));
                    self.hooks.promote(lease, out);
                }
            }
            Stage::Active => {
                self.take_role(Role::Active, reason, out);
                self.note_takeover(now);
            }
            Stage::Demoting => self.stop_leading(now, trigger, reason, out),
            Stage::Maintenance => self.take_role(Role::Maintenance, reason, out),
            Stage::Isolated | Stage::Condemned => {
                self.stop_leading(now, trigger, reason, out);
                self.take_role(Role::Inactive, reason, out);
                if let Some(term) = self.node.uncancelled() {
                    self.tell_lost(self.node.claim.name().as_str(), term, reason, out);
                }
                self.node.cancel(reason, out);
                self.runner.stop_all(now, reason, out);
                self.node.claim.stop_renewing();
            }
            Stage::Leaving => {
                self.successor = self.standby_node();
                self.stop_leading(now, trigger, reason, out);
                self.runner.stop_all(now, reason, out);
                self.patience_until = Some(now + self.timing.ttl() * PATIENCE);
            }
            Stage::Left => {
                let event = if trigger == Trigger::Gone { reason } else { Reason::LeftBeforeJoining };
                self.finish(EventKind::NodeLeft, event, Finish::Left, out);
            }
            Stage::Refused => {
                let finish = if trigger == Trigger::NameTaken { Finish::NameTaken } else { Finish::StoreChanged };
                self.finish(EventKind::NodeRefused, reason, finish, out);
            }
            Stage::Joining => {
                // Whatever is left of the old right is not used any more; the store may well confirm the same term.
                self.node.drop_right(reason, out);
                self.node.claim.abandon();
            }
        }
    }

    fn tell_lost(&self, lease: &str, term: Term, reason: Reason, out: &mut Vec<Effect>) {
        let event = Event::new(EventKind::LeaseLost, self.config.member.node.clone(), reason);
        out.push(Effect::Tell(event.term(term).detail(lease.to_owned())));
    }

    fn finish(&mut self, kind: EventKind, reason: Reason, finish: Finish, out: &mut Vec<Effect>) {
        self.active.drop_right(reason, out);
        self.node.drop_right(reason, out);
        out.push(Effect::Tell(Event::new(kind, self.config.member.node.clone(), reason)));
        out.push(Effect::Finish(finish));
    }

    fn standby_node(&self) -> Option<NodeId> {
        self.steward.as_ref().and_then(|steward| steward.standby()).map(|standby| standby.node.clone())
    }

    /// Ends what this node does as the active one. The lease goes back when the host has stopped too.
    fn stop_leading(&mut self, now: Time, trigger: Trigger, reason: Reason, out: &mut Vec<Effect>) {
        let planned = matches!(
            trigger,
            Trigger::StepDown
                | Trigger::NotNamed
                | Trigger::VersionDiffers
                | Trigger::PromotionRefused
                | Trigger::MaintenanceOn
                | Trigger::LeaveAsked
        );
        if matches!(trigger, Trigger::MaintenanceOn | Trigger::NotNamed | Trigger::HostHung) {
            self.successor = self.standby_node();
        }
        if self.role == Role::Standby {
            // Another may be appointed from now on.
            self.take_role(Role::Inactive, reason, out);
        }
        self.steward = None;
        self.active.claim.stop_seeking();
        self.active.cancel(reason, out);
        self.hooks.demote(out);
        if planned && !self.is_hung() {
            self.patience_until = Some(now + self.timing.ttl() * PATIENCE);
        } else {
            // A hung host would keep the lease for as long as its work may take to stop, whatever else it is to step down for.
            self.active.claim.stop_renewing();
            self.lose_lead(if planned { Reason::HostHung } else { reason }, out);
        }
    }

    /// It is active no more, by no plan of its own.
    pub(super) fn lose_lead(&mut self, reason: Reason, out: &mut Vec<Effect>) {
        if self.role == Role::Active {
            if let Some(term) = self.active.term() {
                self.tell_lost(self.active.claim.name().as_str(), term, reason, out);
            }
            self.take_role(Role::Inactive, reason, out);
        }
    }

    pub(super) fn on_node_claim(&mut self, now: Time, sent: Time, event: ClaimEvent, out: &mut Vec<Effect>) {
        match event {
            ClaimEvent::Held { lease, stop_at, ends_at } => {
                self.node.publish(lease, stop_at, ends_at, out);
                self.namesake = None;
                self.fire(now, Trigger::Joined, out);
            }
            ClaimEvent::Refused(view) => {
                if self.is_namesake_alive(now, sent, &view) {
                    self.node.claim.stop_seeking();
                    self.fire(now, Trigger::NameTaken, out);
                }
            }
            ClaimEvent::Ending => self.fire(now, Trigger::NodeEnding, out),
            ClaimEvent::Lost => {
                self.fire(now, Trigger::NodeLost, out);
                self.node.drop_right(Reason::NodeLeaseTaken, out);
            }
            ClaimEvent::Ended => self.node.drop_right(Reason::NodeLeaseEnding, out),
            ClaimEvent::Released => {}
            ClaimEvent::Regressed => self.fire(now, Trigger::StoreChanged, out),
        }
    }

    /// Whether another process of this name lives: it holds the node's lease, under the same term, beyond the moment at which that would have ended
    /// by itself, as it was seen first. An earlier incarnation that died never does, and a store that was restarted meanwhile may let its lease
    /// begin its ttl again, and last longer by the store's slack.
    fn is_namesake_alive(&mut self, now: Time, sent: Time, view: &LeaseView) -> bool {
        let me = &self.config.member;
        let Tenant::Held { holder, remaining } = &view.tenant else { return false };
        if holder.node != me.node || holder == me {
            return false;
        }
        self.replaces = Some(holder.incarnation);
        // The lease ends between these two moments; the store looked somewhere between the call and its answer.
        let (earliest, latest) = (sent + *remaining, now + *remaining);
        let known = self.namesake.filter(|(term, _)| *term == view.term);
        let (_, first) = *self.namesake.insert(known.unwrap_or((view.term, latest)));
        earliest > first + self.timing.ttl().max(*remaining) + self.config.slack
    }

    pub(super) fn on_active_claim(&mut self, now: Time, event: ClaimEvent, out: &mut Vec<Effect>) {
        match event {
            ClaimEvent::Held { lease, stop_at, ends_at } => {
                if self.stands_off(now, lease.term, out) {
                    return;
                }
                self.active.publish(lease, stop_at, ends_at, out);
                self.fire(now, Trigger::Elected, out);
            }
            ClaimEvent::Ending => {
                self.fire(now, Trigger::ActiveEnding, out);
                self.lose_lead(Reason::ActiveLeaseEnding, out);
            }
            ClaimEvent::Lost => {
                self.fire(now, Trigger::ActiveLost, out);
                self.lose_lead(Reason::ActiveLeaseTaken, out);
                self.active.drop_right(Reason::ActiveLeaseTaken, out);
            }
            ClaimEvent::Ended => self.active.drop_right(Reason::ActiveLeaseEnding, out),
            ClaimEvent::Refused(_) | ClaimEvent::Released => {}
            ClaimEvent::Regressed => self.fire(now, Trigger::StoreChanged, out),
        }
    }

    /// Fires whatever the present state of things calls for, until nothing more does.
    pub(super) fn advance(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.stage == Stage::Promoting && self.role == Role::Standby && !self.is_appointed() {
            // It was granted the lease before it looked again, and another has been appointed meanwhile.
            self.take_role(Role::Inactive, Reason::Dismissed, out);
        }
        self.give_back_active(now, out);
        while let Some(trigger) = self.pending() {
            let before = self.stage;
            self.fire(now, trigger, out);
            if self.stage == before {
                return;
            }
            self.give_back_active(now, out);
        }
        if self.stage == Stage::Leaving {
            self.leave(now, out);
        }
    }

    /// What the present state of things calls for in this stage.
    fn pending(&self) -> Option<Trigger> {
        let quiet = self.runner.is_idle() && self.is_host_quiet();
        match self.stage {
            Stage::Inactive
            | Stage::Standby
            | Stage::Promoting
            | Stage::Active
            | Stage::Demoting
            | Stage::Maintenance
                if self.contact.is_cut_off() =>
            {
                Some(Trigger::CutOff)
            }
            Stage::Inactive | Stage::Standby if self.wants_maintenance() => Some(Trigger::MaintenanceOn),
            Stage::Inactive => (self.is_appointed() && !self.is_held_back()).then_some(Trigger::Appointed),
            Stage::Standby if self.is_held_back() => Some(Trigger::VersionDiffers),
            Stage::Standby => (!self.is_appointed()).then_some(Trigger::Dismissed),
            Stage::Promoting | Stage::Active if self.wants_maintenance() => Some(Trigger::MaintenanceOn),
            Stage::Promoting | Stage::Active if self.is_hung() => Some(Trigger::HostHung),
            Stage::Promoting if self.hooks.is_refused() => Some(Trigger::PromotionRefused),
            Stage::Promoting => {
                let ready = self.steward.as_ref().is_some_and(|steward| steward.is_ready(&self.mirror));
                (ready && self.hooks.is_promoted()).then_some(Trigger::Promoted)
            }
            Stage::Demoting => self.is_host_quiet().then_some(Trigger::Demoted),
            Stage::Maintenance => (!self.wants_maintenance()).then_some(Trigger::MaintenanceOff),
            Stage::Isolated | Stage::Condemned => quiet.then_some(Trigger::Quiet),
            Stage::Active if self.leads_unnamed() => Some(Trigger::NotNamed),
            Stage::Joining | Stage::Active | Stage::Leaving | Stage::Left | Stage::Refused => None,
        }
    }

    /// The host could not be promoted. What began of it is ended as ever; the lease goes back, so that another node can try.
    pub(super) fn on_refused(&mut self, why: String, out: &mut Vec<Effect>) {
        if self.hooks.on_refused() {
            self.restraint.refuse();
            let node = self.config.member.node.clone();
            out.push(Effect::Tell(Event::new(EventKind::PromotionRefused, node, Reason::PromotionRefused).detail(why)));
        }
    }

    /// Whether the roster has dropped this node and there is one that it names to hand over to. Until there is, it leads on: a cluster
    /// that nobody leads serves nobody.
    fn leads_unnamed(&self) -> bool {
        !self.roster.may_lead(&self.config.member.node) && !self.roster.is_paused() && self.standby_node().is_some()
    }

    /// Whether whoever leads by the highest term has appointed this very incarnation.
    fn is_appointed(&self) -> bool {
        self.peers.lead().is_some_and(|(_, lead)| lead.standby.as_ref() == Some(&self.config.member))
    }

    /// Gives the active lease back once the host does nothing under it any more (law 8).
    fn give_back_active(&mut self, now: Time, out: &mut Vec<Effect>) {
        let leading = matches!(self.stage, Stage::Promoting | Stage::Active | Stage::Inactive | Stage::Standby);
        if !leading
            && self.is_host_quiet()
            && let Some(lease) = self.active.claim.held(now).cloned()
        {
            self.take_role(Role::Inactive, Reason::HostDemoted, out);
            self.active.drop_right(Reason::HostDemoted, out);
            self.give_on(now, lease, out);
        }
    }

    /// Leaves step by step: work stopped, everything reported, heartbeat removed, lease given back.
    fn leave(&mut self, now: Time, out: &mut Vec<Effect>) {
        if !self.has_stopped() {
            return;
        }
        if self.node.claim.held(now).is_none() {
            // Its right is over, or it has just been given back.
            self.forget_at = None;
            if self.node.claim.is_settled() {
                self.fire(now, Trigger::Gone, out);
            }
            return;
        }
        if !self.runner.is_reported() {
            return;
        }
        if self.forgotten {
            self.node.drop_right(Reason::LeaveAsked, out);
            self.node.claim.release(now, None);
        } else if self.may_forget() && self.forget_at.is_none_or(|at| now >= at) {
            self.forget_at = None;
            let member = self.config.member.clone();
            self.call(now, Purpose::Forget, Call::Forget(member), out);
        }
    }

    /// Whether nothing of its work is left, nor of the role.
    fn has_stopped(&self) -> bool {
        self.runner.is_idle() && self.is_host_quiet() && self.active.claim.is_settled()
    }

    /// When its heartbeat is to be removed, if that is the next thing to do.
    pub(super) fn forget_deadline(&self) -> Option<Time> {
        let is_next = self.stage == Stage::Leaving && self.has_stopped() && self.runner.is_reported();
        self.forget_at.filter(|_| is_next && self.may_forget())
    }

    /// Whether its heartbeat can be removed: a beat that is under way would bring it back.
    fn may_forget(&self) -> bool {
        !self.calls.is_open(|p| matches!(p, Purpose::Forget | Purpose::Beat))
    }

    /// Whether its heartbeat is being removed, so that no other may follow it.
    pub(super) fn is_forgetting(&self) -> bool {
        self.stage == Stage::Leaving && (self.forget_at.is_some() || self.calls.is_open(|p| *p == Purpose::Forget))
    }

    pub(super) fn on_forgotten(&mut self, outcome: &Result<Reply, Fault>, retry_at: Time) {
        match outcome {
            Ok(_) => self.forgotten = true,
            Err(_) => self.forget_at = Some(retry_at),
        }
    }

    /// Whether the host does nothing as active node: neither a hook nor a response action.
    fn is_host_quiet(&self) -> bool {
        self.hooks.is_quiet() && self.responding.is_empty()
    }

    /// Whether this node's jobs may begin in this stage.
    pub(super) fn may_run_jobs(&self) -> bool {
        matches!(self.stage, Stage::Inactive | Stage::Standby | Stage::Promoting | Stage::Active | Stage::Demoting)
    }

    /// Whether the active node may place jobs on itself.
    pub(super) fn may_place_here(&self, now: Time) -> bool {
        self.may_run_jobs() && !self.wants_maintenance() && !self.is_hung() && self.node.claim.may_begin(now).is_some()
    }
}

/// For how many ttls work that was told to stop keeps its lease renewed. After that the lease lapses (law 8).
pub(super) const PATIENCE: u32 = 6;
