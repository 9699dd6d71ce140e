//! Whether and when to ask for the active lease.

use std::time::Duration;

use super::effect::Effect;
use super::event::{Event, EventKind};
use super::handover::Call;
use super::reason::Reason;
use super::table::Stage;
use super::{Machine, Switch};
use crate::ids::Term;
use crate::time::Time;

/// What keeps a node from asking for the lease, beyond what it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Restraint {
    /// Its host could not be promoted, and what began of that may not be over.
    refused: bool,
    /// After that: not before this.
    until: Option<Time>,
    /// Not before this either, while another could take over.
    behind_until: Option<Time>,
    /// The term that it did not follow, because it was too far behind.
    withheld: Option<Term>,
}

impl Restraint {
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    /// Nothing of a promotion is left. If that was refused, it is the others' turn from now on: those whom a hint tells ask at once, those whom none
    /// tells when the lease was due to lapse, which is within a ttl.
    pub(super) fn stopped(&mut self, now: Time, ttl: Duration) {
        if std::mem::take(&mut self.refused) {
            (self.until, self.behind_until) = (Some(now + ttl / 2), Some(now + ttl * 3 / 2));
        }
    }

    pub(super) fn expire(&mut self, now: Time) {
        self.until = self.until.filter(|until| now < *until);
        self.behind_until = self.behind_until.filter(|until| now < *until);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.until.or(self.behind_until)
    }
}

impl Machine {
    /// Whether this node wants no part in deciding, by its own or the cluster's settings.
    pub(super) fn wants_maintenance(&self) -> bool {
        let me = &self.config.member.node;
        self.maintenance == Switch::On || (self.roster.in_maintenance(me) && !self.is_emptying())
    }

    /// Whether the node is drained and not empty yet: its maintenance begins after that.
    fn is_emptying(&self) -> bool {
        let is_drained = self.roster.settings().drains.contains_key(&self.config.member.node);
        is_drained && (!self.runner.is_idle() || self.mirror.own().next().is_some())
    }

    /// Whether it may ask for the active lease: a member that takes part, whose host is alive, that knows the others and the settings, and
    /// understands what it reads.
    fn is_candidate(&self, now: Time) -> bool {
        matches!(self.stage, Stage::Inactive | Stage::Standby)
            && !self.wants_maintenance()
            && !self.is_hung()
            && !self.roster.in_maintenance(&self.config.member.node)
            && self.roster.may_lead(&self.config.member.node)
            && !self.is_held_back()
            && !self.cadence.stands_back()
            && self.cadence.has_read_all()
            && self.node.claim.may_begin(now).is_some()
            && self.standoff.until().is_none()
            && self.restraint.until.is_none()
            && (self.restraint.behind_until.is_none() || !self.has_rivals())
    }

    /// Why a candidate leaves it to others all the same.
    fn reluctance(&self, now: Time, called: Call) -> Option<Reason> {
        // One that was handed the role is asked before, not after.
        (called != Call::Named && self.lags_too_far(now)).then_some(Reason::TooFarBehind)
    }

    /// How many candidates for the active lease come before it.
    pub(super) fn rank(&self) -> u32 {
        let (me, weight) = (&self.config.member, self.wellbeing.health().weight());
        self.roster.rank(&self.peers, me, weight, self.leading_version().as_deref())
    }

    /// Takes its place in line for the active lease, or leaves the line.
    pub(super) fn campaign(&mut self, now: Time, out: &mut Vec<Effect>) {
        let called = self.called(now);
        self.stonith.is_next = false;
        // While the cluster is paused, nobody takes over but whom an operator has named.
        if !self.is_candidate(now) || (called != Call::Named && self.roster.is_paused()) {
            self.active.claim.stop_seeking();
        } else if let Some(reason) = self.reluctance(now, called) {
            self.active.claim.stop_seeking();
            self.tell_withheld(now, reason, out);
        } else {
            self.restraint.withheld = None;
            let rank = match called {
                Call::Named => 0,
                Call::Nobody => self.rank(),
                Call::Behind => self.rank().saturating_add(1),
            };
            self.active.claim.set_head_start(self.timing.stagger().saturating_mul(rank));
            self.active.claim.seek(now);
            self.stonith.is_next = rank == 0;
        }
    }

    /// Tells, once for each term that nobody follows, that this node could take over and does not.
    fn tell_withheld(&mut self, now: Time, reason: Reason, out: &mut Vec<Effect>) {
        let Some((leader, lead)) = self.peers.lead() else { return };
        let is_gone = self.peers.get(&leader.node).is_none_or(|peer| peer.missing || peer.member != *leader);
        let term = lead.term;
        if is_gone && self.restraint.withheld != Some(term) {
            self.restraint.withheld = Some(term);
            let event = Event::new(EventKind::TakeoverWithheld, self.config.member.node.clone(), reason);
            let lag = self.lag(now).unwrap_or_default();
            out.push(Effect::Tell(event.term(term).detail(lag.to_string())));
        }
    }
}
