//! Switching off the machine of a silent holder, where the host can do that ([`NodeFencer`](crate::NodeFencer)): its leases need not lapse then.
//!
//! Whoever would be served next by a lapse asks: the first in line for the active lease, or the active node for the lease of a node that has jobs. It asks only
//! while it sees clearly: it has just read that the other renews neither heartbeat nor lease, and has beaten itself so lately that nobody can miss it. An order
//! is called off when that ends, so that no two nodes have orders against each other. Only a confirmation in time breaks anything, and only
//! leases under the very tokens that were read before: a later incarnation or term is never touched. Everything else costs time: the leases lapse.

use std::collections::{BTreeMap, VecDeque};

use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::input::{Fault, Reply};
use super::reason::Reason;
use super::table::Stage;
use super::{Machine, Purpose, Switch};
use crate::ids::{LeaseName, Member};
use crate::lease::{Lease, LeaseView, Tenant};
use crate::time::Time;

/// So often the host is asked about one silence of one incarnation.
const MOST_TRIES: u32 = 3;

/// A call for an order, and of which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// How this lease stands.
    Look(u64, LeaseName),
    /// The first of those that are left is given back.
    Release(u64),
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its leases are being read.
    Looking,
    /// The host was asked.
    Asked,
    /// The host has confirmed: what was read is given back, the next of it not before this.
    Releasing(Time),
}

/// One machine to be switched off.
#[derive(Debug, Clone)]
struct Order {
    number: u64,
    target: Member,
    /// What is still to be read.
    names: VecDeque<LeaseName>,
    /// What was read to be the target's. The first is the one that is waited for.
    leases: Vec<Lease>,
    /// When the last of them lapses by itself at the earliest: from then on there is nothing to break.
    until: Time,
    /// How long what was read is fresh: a call's deadline from before the first look. An answer may wait for a process that stands still.
    fresh_until: Time,
    progress: Progress,
}

/// What became of a silent member so far.
#[derive(Debug, Clone, Default)]
struct Known {
    tries: u32,
    not_before: Time,
    off: bool,
}

/// The order under way, one at a time, and those before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stonith {
    orders: u64,
    order: Option<Order>,
    known: BTreeMap<Member, Known>,
    /// When to look at a silent member again.
    again_at: Option<Time>,
    /// Whether this node is the first in line for the active lease.
    pub(super) is_next: bool,
}

impl Stonith {
    /// Whether its machine was switched off.
    pub(super) fn is_off(&self, member: &Member) -> bool {
        self.known.get(member).is_some_and(|known| known.off)
    }

    /// Why the lease of a lost member was there to be taken.
    pub(super) fn taken(&self, member: &Member) -> Reason {
        match self.known.get(member) {
            Some(known) if known.off => Reason::MachineOff,
            Some(known) if known.tries > 0 => Reason::LapsedUnfenced,
            Some(_) | None => Reason::LeaseTaken,
        }
    }

    /// The order is over; the same member may come into question again from then on.
    fn close(&mut self, again: Time) {
        if let Some(order) = self.order.take() {
            self.known.entry(order.target).or_default().not_before = again;
        }
    }
}

impl Machine {
    /// Begins an order, goes on with the one there is, or calls it off.
    pub(super) fn fence_silent(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.config.fencer == Switch::Off {
            return;
        }
        let peers = &self.peers;
        self.stonith.known.retain(|member, known| {
            let is_back = peers.get(&member.node).is_some_and(|peer| peer.member == *member && !peer.missing);
            peers.shows(member) && (known.off || !is_back)
        });
        match self.stonith.order.as_ref().map(|order| (order.progress, order.until)) {
            None | Some((Progress::Looking, _)) => {}
            Some((Progress::Asked, until)) if now >= until => self.refuse_order(now, Reason::FencedTooLate, None, out),
            Some((Progress::Asked, _)) => self.review_order(now, out),
            Some((Progress::Releasing(_), until)) if now >= until => self.stonith.close(now),
            Some((Progress::Releasing(_), _)) => self.release_next(now, out),
        }
        // The next one's turn, if there was no order, or it has just ended.
        if self.stonith.order.is_none() {
            self.begin_order(now, out);
        }
    }

    /// When there will be something to do about it.
    pub(super) fn stonith_deadline(&self) -> Option<Time> {
        let open = self.calls.is_open(|purpose| matches!(purpose, Purpose::Stonith(_)));
        match self.stonith.order.as_ref().map(|order| (order.progress, order.until)) {
            None => self.stonith.again_at,
            Some((Progress::Looking, _)) => None,
            Some((Progress::Asked, until)) => Some(self.unmissed_until().map_or(until, |at| at.min(until))),
            Some((Progress::Releasing(at), until)) => Some(if open { until } else { at.min(until) }),
        }
    }

    /// Until when nobody can find this node missing: counted from before its last beat that the store has taken was sent.
    fn unmissed_until(&self) -> Option<Time> {
        let sent = self.cadence.beat_taken()?;
        let missing = self.timing.missing().min(self.overdue().told(&self.news()));
        Some(sent + missing * (1_000_000 - self.timing.drift_ppm()) / 1_000_000)
    }

    /// Whether what it knows of the others is fresh, and they cannot miss it meanwhile.
    fn sees_clearly(&self, now: Time) -> bool {
        let fresh = self.timing.beat() * 2;
        self.unmissed_until().is_some_and(|until| now < until)
            && self.peers.looked().is_some_and(|looked| now < looked + fresh)
            && !self.contact.is_failing()
    }

    /// Whether its heartbeats have stopped, and nobody knows that its process is dead.
    fn is_silent(&self, member: &Member) -> bool {
        let peer = self.peers.get(&member.node).filter(|peer| peer.member == *member);
        member.node != self.config.member.node && peer.is_some_and(|peer| peer.missing && !peer.news.died)
    }

    /// The silent members that a lease is waited for of, and which.
    fn waited_for(&self) -> Vec<(Member, LeaseName)> {
        if self.roster.is_paused() {
            return Vec::new();
        }
        match self.stage {
            Stage::Inactive | Stage::Standby if self.stonith.is_next => {
                let lead = self.peers.lead().map(|(lead, _)| lead).filter(|lead| self.is_silent(lead));
                lead.map(|lead| (lead.clone(), LeaseName::active())).into_iter().collect()
            }
            Stage::Active => {
                let Some(steward) = self.steward.as_ref().filter(|steward| steward.is_ready(&self.mirror)) else {
                    return Vec::new();
                };
                let owners = self.mirror.board.owners().map(|(owner, _)| owner);
                let owners = owners.filter(|owner| self.is_silent(owner) && !steward.fencing.is_dead(owner));
                owners.map(|owner| (owner.clone(), LeaseName::node(&owner.node))).collect()
            }
            Stage::Inactive | Stage::Standby | Stage::Joining | Stage::Promoting | Stage::Demoting => Vec::new(),
            Stage::Maintenance | Stage::Isolated | Stage::Leaving | Stage::Condemned => Vec::new(),
            Stage::Left | Stage::Refused => Vec::new(),
        }
    }

    fn begin_order(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.stonith.again_at = None;
        let mut again_at: Option<Time> = None;
        let waited_for = self.waited_for();
        if waited_for.is_empty() || !self.sees_clearly(now) {
            return;
        }
        for (target, name) in waited_for {
            let known = self.stonith.known.get(&target).cloned().unwrap_or_default();
            if known.off || known.tries >= MOST_TRIES {
                continue;
            }
            if now < known.not_before {
                again_at = Some(again_at.map_or(known.not_before, |at| at.min(known.not_before)));
                continue;
            }
            self.stonith.orders += 1;
            let number = self.stonith.orders;
            let own = LeaseName::node(&target.node);
            // Whoever had the role has jobs as well, perhaps.
            let names = if name == own { [own].into() } else { [name, own].into() };
            let (leases, progress, fresh_until) = (Vec::new(), Progress::Looking, now + self.timing.call());
            self.stonith.order = Some(Order { number, target, names, leases, until: now, fresh_until, progress });
            return self.look_next(now, out);
        }
        self.stonith.again_at = again_at;
    }

    fn look_next(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(order) = &mut self.stonith.order else { return };
        match order.names.pop_front() {
            Some(name) => {
                let purpose = Purpose::Stonith(Step::Look(order.number, name.clone()));
                self.call(now, purpose, Call::Current(name), out);
            }
            None => self.ask_host(now, out),
        }
    }

    /// Takes in how a call for an order came out.
    pub(super) fn on_stonith(
        &mut self,
        now: Time,
        sent: Time,
        step: &Step,
        outcome: &Result<Reply, Fault>,
        retry_at: Time,
        out: &mut Vec<Effect>,
    ) {
        let (Step::Look(number, _) | Step::Release(number)) = step;
        let Some(order) = self.stonith.order.as_mut().filter(|order| order.number == *number) else { return };
        match (step, outcome) {
            (Step::Look(_, name), Ok(Reply::View(view))) => {
                let (name, view) = (name.clone(), view.clone());
                self.on_looked(now, sent, name, &view, out);
            }
            (Step::Look(..), Ok(_) | Err(_)) => self.stonith.close(now + self.timing.beat()),
            (Step::Release(_), Ok(_)) => {
                let lease = order.leases.remove(0);
                if order.leases.is_empty() {
                    self.stonith.close(now);
                }
                if lease.name == *self.active.claim.name() {
                    self.active.claim.hint(now);
                } else if let Some(steward) = &mut self.steward {
                    steward.fencing.hint(now);
                }
            }
            (Step::Release(_), Err(_)) => order.progress = Progress::Releasing(retry_at),
        }
    }

    /// One lease was read. If the target has renewed it lately, it is not silent.
    fn on_looked(&mut self, now: Time, sent: Time, name: LeaseName, view: &LeaseView, out: &mut Vec<Effect>) {
        let beat = self.timing.beat();
        let Some(order) = &self.stonith.order else { return };
        let news = self.peers.get(&order.target.node).map(|peer| &peer.news);
        let Some((ttl, silent)) = news.map(|news| (self.ttl_of(news), self.overdue().after(news))) else {
            return self.stonith.close(now + beat);
        };
        let Some(order) = &mut self.stonith.order else { return };
        match &view.tenant {
            Tenant::Held { holder, remaining } if *holder == order.target => {
                let unrenewed = ttl.saturating_sub(silent);
                if *remaining > unrenewed {
                    return self.stonith.close(now + remaining.saturating_sub(unrenewed).max(beat / 4));
                }
                order.until = order.until.max(sent + *remaining);
                order.leases.push(Lease { name, holder: holder.clone(), term: view.term, ttl });
            }
            // It is not its lease that is waited for.
            Tenant::Held { .. } | Tenant::Reserved { .. } | Tenant::Free if order.leases.is_empty() => {
                return self.stonith.close(now + beat);
            }
            Tenant::Held { .. } | Tenant::Reserved { .. } | Tenant::Free => {}
        }
        self.look_next(now, out);
    }

    /// Everything was read: the host is asked, if all of it is still so.
    fn ask_host(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(target) = self.stonith.order.as_ref().map(|order| order.target.clone()) else { return };
        let is_wanted = self.waited_for().iter().any(|(member, _)| *member == target);
        let sees_clearly = self.sees_clearly(now);
        let is_due = |order: &&mut Order| is_wanted && sees_clearly && now < order.until && now < order.fresh_until;
        let Some(order) = self.stonith.order.as_mut().filter(is_due) else {
            return self.stonith.close(now + self.timing.beat() / 4);
        };
        order.progress = Progress::Asked;
        let (number, until) = (order.number, order.until);
        let term = order.leases.first().map(|lease| lease.term).unwrap_or_default();
        self.stonith.known.entry(target.clone()).or_default().tries += 1;
        let event = Event::new(EventKind::FencingAsked, target.node.clone(), Reason::HolderSilent);
        out.push(Effect::Tell(event.term(term).detail(target.incarnation.to_string())));
        out.push(Effect::SwitchOff { target, order: number, until });
    }

    /// Calls the order off once it should not have been given.
    fn review_order(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some((number, target)) = self.stonith.order.as_ref().map(|order| (order.number, order.target.clone()))
        else {
            return;
        };
        let reason = if !self.is_silent(&target) {
            Reason::FencedIsBack
        } else if self.roster.is_paused() {
            Reason::ClusterIsPaused
        } else if self.unmissed_until().is_none_or(|until| now >= until) || !self.may_break() {
            Reason::FencerUnsure
        } else {
            return;
        };
        out.push(Effect::CallOff { order: number });
        self.refuse_order(now, reason, None, out);
    }

    /// Whether this node is still one that may break another's lease.
    fn may_break(&self) -> bool {
        matches!(self.stage, Stage::Inactive | Stage::Standby | Stage::Promoting | Stage::Active)
    }

    /// Takes in what the host says of an order.
    pub(super) fn on_switched_off(
        &mut self,
        now: Time,
        number: u64,
        outcome: Result<String, String>,
        out: &mut Vec<Effect>,
    ) {
        let asked = |order: &&mut Order| order.number == number && order.progress == Progress::Asked;
        let Some(order) = self.stonith.order.as_mut().filter(asked) else { return };
        match outcome {
            Ok(_) if now >= order.until => self.refuse_order(now, Reason::FencedTooLate, None, out),
            Err(why) => self.refuse_order(now, Reason::NotSwitchedOff, Some(why), out),
            Ok(said) => {
                order.progress = Progress::Releasing(now);
                let target = order.target.clone();
                let event = Event::new(EventKind::FencingConfirmed, target.node.clone(), Reason::SwitchedOff);
                out.push(Effect::Tell(if said.is_empty() { event } else { event.detail(said) }));
                self.stonith.known.entry(target).or_default().off = true;
            }
        }
    }

    fn refuse_order(&mut self, now: Time, reason: Reason, why: Option<String>, out: &mut Vec<Effect>) {
        let Some(target) = self.stonith.order.as_ref().map(|order| order.target.clone()) else { return };
        let tries = self.stonith.known.get(&target).map_or(1, |known| known.tries);
        let event = Event::new(EventKind::FencingRefused, target.node, reason);
        out.push(Effect::Tell(why.into_iter().fold(event, Event::detail)));
        self.stonith.close(now + self.timing.beat() * tries);
    }

    /// Gives back what the machine that is off cannot use any more, one lease after another.
    fn release_next(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.roster.is_paused() || !self.may_break() {
            return self.stonith.close(now);
        }
        let open = self.calls.is_open(|purpose| matches!(purpose, Purpose::Stonith(_)));
        let is_next = self.stonith.is_next && matches!(self.stage, Stage::Inactive | Stage::Standby);
        let Some(order) = self.stonith.order.as_ref().filter(|_| !open) else { return };
        let Some(lease) =
            order.leases.first().filter(|_| matches!(order.progress, Progress::Releasing(at) if now >= at))
        else {
            return;
        };
        let is_role = lease.name == *self.active.claim.name();
        let successor = (is_role && is_next).then(|| self.config.member.node.clone());
        let (step, lease) = (Step::Release(order.number), lease.clone());
        self.call(now, Purpose::Stonith(step), Call::Release { lease, successor }, out);
    }
}
