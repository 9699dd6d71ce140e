//! One node's claim to one lease: seek it, hold it, keep it, give it back.
//!
//! The same component serves the node's own lease, the active lease, the leases of lost nodes and an election of the host's.
//! Like the machine it is pure: [`poll`](Claim::poll) says which call to make, [`outcome`](Claim::outcome) takes its answer, [`expire`](Claim::expire) keeps the
//! deadlines that need neither store nor network.

mod event;
mod pace;
mod state;
mod stray;

use std::collections::BTreeSet;
use std::time::Duration;

pub use self::event::ClaimEvent;
use self::pace::Doubt;
use self::state::{Held, Seeking, State};
use super::effect::Call;
use super::input::{Fault, Reply};
use super::jitter::Jitter;
use crate::ids::{LeaseName, Member, NodeId, Term};
use crate::lease::{Acquired, Lease, LeaseView, Renewed, Tenant};
use crate::time::Time;
use crate::timing::Timing;

/// Tells the outcome of the last call from that of an earlier one that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A claim to one lease.
#[derive(Debug, Clone)]
pub struct Claim {
    name: LeaseName,
    me: Member,
    timing: Timing,
    doubt: Doubt,
    jitter: Jitter,
    head_start: Duration,
    patience: Option<Duration>,
    known: Term,
    /// The highest term given back. A release of it may still be under way to the store, so it is never held again.
    given_back: Term,
    /// The highest term held.
    had: Term,
    /// Whether it was given back to another: that it may ask for it is not to be expected, until a look tells.
    left_to_another: bool,
    ticket: u64,
    /// The calls under way that may get it the lease.
    acquiring: BTreeSet<Ticket>,
    asked_at: Option<Time>,
    state: State,
}

impl Claim {
    /// A claim that seeks nothing yet.
    pub fn new(name: LeaseName, me: Member, timing: Timing) -> Self {
        let jitter = Jitter::of(&me);
        Self {
            name,
            me,
            timing,
            doubt: Doubt::default(),
            jitter,
            head_start: Duration::ZERO,
            patience: None,
            known: Term::ZERO,
            given_back: Term::ZERO,
            had: Term::ZERO,
            left_to_another: false,
            ticket: 0,
            acquiring: BTreeSet::new(),
            asked_at: None,
            state: State::Idle,
        }
    }

    /// How long to hold back for those further ahead in line once the lease is free.
    pub fn set_head_start(&mut self, head_start: Duration) {
        if head_start == std::mem::replace(&mut self.head_start, head_start) {
            return;
        }
        if let State::Seeking(Seeking { try_at, free_at: Some(free_at), .. }) = &mut self.state {
            *try_at = *free_at + head_start;
        }
    }

    /// How long to wait at most between two looks at a lease that another holds. By default, until it is due to lapse.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// The lease's name.
    pub fn name(&self) -> &LeaseName {
        &self.name
    }

    /// Whether it is being given back.
    pub fn is_releasing(&self) -> bool {
        matches!(self.state, State::Releasing { .. })
    }

    /// Begins to seek the lease.
    pub fn seek(&mut self, now: Time) {
        if self.is_idle() {
            let armed = self.head_start.is_zero() && !self.left_to_another;
            let try_at = if self.left_to_another { now + self.spacing() } else { now };
            self.state = State::Seeking(Seeking { try_at, free_at: None, armed, open: None, hinted: false });
        }
    }

    /// Stops seeking. A grant that is still under way is given back when it is known.
    pub fn stop_seeking(&mut self) {
        if matches!(self.state, State::Seeking(_)) {
            self.state = State::Idle;
        }
    }

    /// Drops whatever it has without giving it back: it will lapse.
    pub fn abandon(&mut self) {
        self.state = State::Idle;
    }

    /// Renews no more: the work under the lease is stopping and may take as long as the right lasts.
    pub fn stop_renewing(&mut self) {
        if let State::Held(held) = &self.state {
            self.state = State::Ending { lease: held.lease.clone(), ends_at: held.ends_at };
        }
    }

    /// Gives the lease back; the work under it has stopped (law 8). Sent at once, also past a call that is under way: a renewal does nothing once the lease is
    /// free, and what an `acquire` is granted afterwards is given back as well.
    pub fn release(&mut self, now: Time, successor: Option<NodeId>) {
        let (lease, ends_at) = match &self.state {
            State::Held(held) => (held.lease.clone(), held.ends_at),
            State::Ending { lease, ends_at } => (lease.clone(), *ends_at),
            State::Seeking(_) => {
                self.state = State::Idle;
                return;
            }
            State::Idle | State::Releasing { .. } => return,
        };
        self.give_back(now, lease, ends_at, successor);
    }

    fn give_back(&mut self, now: Time, lease: Lease, ends_at: Time, successor: Option<NodeId>) {
        self.given_back = lease.term;
        self.left_to_another = successor.as_ref().is_some_and(|to| *to != self.me.node);
        let give_up_at = ends_at.max(now + self.timing.call());
        self.state = State::Releasing { lease, successor, give_up_at, try_at: now, open: None };
    }

    /// How long to leave at least between two looks.
    fn spacing(&self) -> Duration {
        self.timing.beat() / 50
    }

    /// Something may have changed about the lease.
    pub fn hint(&mut self, now: Time) {
        let spacing = self.spacing();
        if let State::Seeking(seeking) = &mut self.state {
            if seeking.open.is_some() {
                seeking.hinted = true;
                return;
            }
            let soonest = self.asked_at.map_or(now, |at| now.max(at + spacing));
            if soonest < seeking.try_at {
                seeking.try_at = soonest;
                seeking.armed = self.head_start.is_zero() && !self.left_to_another;
                // What was predicted may not hold any more; what was seen does.
                seeking.free_at = seeking.free_at.filter(|at| *at <= now);
            }
        }
    }

    /// The call to make at `now`, if any. Each must be answered with an [`outcome`](Self::outcome).
    pub fn poll(&mut self, now: Time) -> Option<(Ticket, Call)> {
        let (name, timing, must_cut) = (self.name.clone(), self.timing, self.must_cut());
        let ttl = timing.ttl();
        let ticket = Ticket(self.ticket);
        let call = match &mut self.state {
            State::Seeking(seeking) if seeking.open.is_none() && now >= seeking.try_at => {
                seeking.open = Some(ticket);
                if seeking.armed {
                    self.doubt.asked(ticket, timing);
                    Call::Acquire { name, ttl }
                } else {
                    Call::Current(name)
                }
            }
            State::Held(held) if held.open.is_none() && now >= held.renew_at && now < held.stop_at && !must_cut => {
                held.open = Some(ticket);
                if held.asked.ttl() == ttl {
                    self.doubt.asked(ticket, held.asked);
                    Call::Renew(held.lease.clone())
                } else {
                    // A renewal keeps the ttl, and not every store could change it; asking again keeps the term (law 5).
                    self.doubt.asked(ticket, timing);
                    Call::Acquire { name, ttl }
                }
            }
            State::Releasing { lease, successor, open, try_at, .. } if open.is_none() && now >= *try_at => {
                *open = Some(ticket);
                Call::Release { lease: lease.clone(), successor: successor.clone() }
            }
            State::Idle | State::Seeking(_) | State::Held(_) | State::Ending { .. } | State::Releasing { .. } => {
                return None;
            }
        };
        if matches!(call, Call::Acquire { .. }) {
            self.acquiring.insert(ticket);
        }
        self.ticket += 1;
        self.asked_at = Some(now);
        Some((ticket, call))
    }

    /// Takes in how a call came out. `sent` is the moment of the [`poll`](Self::poll) that made it.
    pub fn outcome(
        &mut self,
        now: Time,
        sent: Time,
        ticket: Ticket,
        outcome: &Result<Reply, Fault>,
    ) -> Option<ClaimEvent> {
        let asked = self.doubt.answered(ticket, outcome).unwrap_or(self.timing);
        self.acquiring.remove(&ticket);
        let open = match &self.state {
            State::Seeking(seeking) => seeking.open,
            State::Held(held) => held.open,
            State::Releasing { open, .. } => *open,
            State::Idle | State::Ending { .. } => None,
        };
        if open != Some(ticket) {
            self.stray(now, sent, asked, outcome);
            return None;
        }
        match &mut self.state {
            State::Seeking(seeking) => seeking.open = None,
            State::Held(held) => held.open = None,
            State::Releasing { open, .. } => *open = None,
            State::Idle | State::Ending { .. } => {}
        }
        let event = self.answered(now, sent, asked, outcome);
        if let State::Seeking(seeking) = &mut self.state
            && std::mem::take(&mut seeking.hinted)
        {
            self.hint(now);
        }
        event
    }

    fn answered(&mut self, now: Time, sent: Time, asked: Timing, outcome: &Result<Reply, Fault>) -> Option<ClaimEvent> {
        match outcome {
            Ok(Reply::Acquired(Acquired::Granted(lease))) => self.granted(now, sent, asked, lease),
            Ok(Reply::Acquired(Acquired::Refused(view)) | Reply::View(view)) => Some(self.refused(now, view)),
            Ok(Reply::Renewed(Renewed::Extended)) => self.extended(now, sent),
            Ok(Reply::Renewed(Renewed::Lost)) => {
                self.state = State::Idle;
                Some(ClaimEvent::Lost)
            }
            Ok(Reply::Done) => {
                self.state = State::Idle;
                Some(ClaimEvent::Released)
            }
            Ok(
                Reply::Sightings(_)
                | Reply::Changes(_)
                | Reply::Assigned(_)
                | Reply::Reported(_)
                | Reply::Documents(_)
                | Reply::Written(_)
                | Reply::Deleted(_),
            )
            | Err(_) => {
                self.retry(now);
                None
            }
        }
    }

    fn retry(&mut self, now: Time) {
        let again = now + self.jitter.upto(self.pulse().beat() / 4);
        match &mut self.state {
            State::Seeking(seeking) => (seeking.try_at, seeking.free_at) = (again, None),
            State::Held(held) => held.renew_at = again,
            State::Releasing { try_at, .. } => *try_at = again,
            State::Idle | State::Ending { .. } => {}
        }
    }

    fn granted(&mut self, now: Time, sent: Time, asked: Timing, lease: &Lease) -> Option<ClaimEvent> {
        if lease.term < self.known {
            self.state = State::Idle;
            return Some(ClaimEvent::Regressed);
        }
        self.known = lease.term;
        let (stop_at, ends_at) = self.moments(sent, &asked, lease);
        if let State::Held(held) = &mut self.state {
            if held.lease.term != lease.term {
                // It had lapsed before it was asked for again: whatever ran under the old right stops (law 6).
                self.give_back(now, lease.clone(), ends_at, None);
                return Some(ClaimEvent::Lost);
            }
            (held.lease, held.asked, held.cut_to) = (lease.clone(), asked, None);
            return self.extended(now, sent);
        }
        if lease.term <= self.given_back {
            // The store has not seen the release yet. If it did so later, this right would end without notice.
            self.give_back(now, lease.clone(), ends_at, None);
            return None;
        }
        if now >= stop_at {
            // The answer came too late to begin anything under it. Asking again keeps the term and gives a whole right.
            self.retry(now);
            return None;
        }
        let renew_at = sent + self.pulse().beat();
        self.had = lease.term;
        let lease = lease.clone();
        self.state =
            State::Held(Held { lease: lease.clone(), asked, cut_to: None, stop_at, ends_at, renew_at, open: None });
        Some(ClaimEvent::Held { lease, stop_at, ends_at })
    }

    /// Counted from before the call was sent, and never from more than was asked for with any call that may still reach the
    /// store (law 4).
    fn moments(&self, sent: Time, asked: &Timing, lease: &Lease) -> (Time, Time) {
        let timing = self.doubt.shortest(*asked);
        let ends_at = timing.ends_at(sent, lease.ttl.min(timing.ttl()));
        (ends_at - timing.grace(), ends_at)
    }

    fn refused(&mut self, now: Time, view: &LeaseView) -> ClaimEvent {
        if view.term < self.known {
            self.state = State::Idle;
            return ClaimEvent::Regressed;
        }
        self.known = view.term;
        let State::Seeking(seeking) = &mut self.state else {
            // Whoever holds a lease is not refused it.
            self.state = State::Idle;
            return ClaimEvent::Lost;
        };
        seeking.armed = true;
        self.left_to_another = false;
        match &view.tenant {
            // Seen free before, it was free since then: looking again gives nobody a longer head start.
            Tenant::Free => {
                let since = seeking.free_at.filter(|at| *at <= now).unwrap_or(now);
                (seeking.try_at, seeking.free_at) = (since + self.head_start, Some(since));
            }
            // An earlier call of ours was granted after all, or somebody left the lease to this node.
            Tenant::Held { holder, .. } if *holder == self.me => (seeking.try_at, seeking.free_at) = (now, None),
            Tenant::Reserved { successor, .. } if *successor == self.me.node => {
                (seeking.try_at, seeking.free_at) = (now, None);
            }
            Tenant::Held { remaining, .. } | Tenant::Reserved { remaining, .. } => {
                let free_at = now + (*remaining).max(self.timing.beat() / 200);
                let due = free_at + self.head_start;
                let impatient = self.patience.map(|most| now + most).filter(|at| *at < due);
                (seeking.try_at, seeking.free_at) = impatient.map_or((due, Some(free_at)), |at| (at, None));
            }
        }
        ClaimEvent::Refused(view.clone())
    }

    fn extended(&mut self, now: Time, sent: Time) -> Option<ClaimEvent> {
        let State::Held(held) = &self.state else { return None };
        let lease = held.lease.clone();
        let (stop_at, ends_at) = self.moments(sent, &held.asked, &lease);
        let beat = self.pulse().beat();
        let State::Held(held) = &mut self.state else { return None };
        held.renew_at = (sent + beat).max(now);
        if ends_at <= held.ends_at {
            return None;
        }
        (held.stop_at, held.ends_at) = (stop_at, ends_at);
        Some(ClaimEvent::Held { lease, stop_at, ends_at })
    }

    /// What the clock alone has decided. Call it until it returns nothing, before anything else at a new `now`.
    pub fn expire(&mut self, now: Time) -> Option<ClaimEvent> {
        match &self.state {
            State::Held(held) if now >= held.stop_at => {
                self.state = State::Ending { lease: held.lease.clone(), ends_at: held.ends_at };
                Some(ClaimEvent::Ending)
            }
            State::Ending { ends_at, .. } if now >= *ends_at => {
                self.state = State::Idle;
                Some(ClaimEvent::Ended)
            }
            State::Releasing { give_up_at, .. } if now >= *give_up_at => {
                self.state = State::Idle;
                Some(ClaimEvent::Released)
            }
            State::Held(held) if held.open.is_none() && self.must_cut() => self.cut(now),
            State::Idle | State::Seeking(_) | State::Held(_) | State::Ending { .. } | State::Releasing { .. } => None,
        }
    }

    /// When [`poll`](Self::poll) or [`expire`](Self::expire) will have something to say.
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Idle => None,
            State::Seeking(seeking) => seeking.open.is_none().then_some(seeking.try_at),
            State::Held(held) if held.open.is_none() && self.must_cut() => Some(Time::ZERO),
            State::Held(held) if held.open.is_none() => Some(held.stop_at.min(held.renew_at)),
            State::Held(held) => Some(held.stop_at),
            State::Ending { ends_at, .. } => Some(*ends_at),
            State::Releasing { give_up_at, try_at, open: None, .. } => Some((*give_up_at).min(*try_at)),
            State::Releasing { give_up_at, .. } => Some(*give_up_at),
        }
    }
}
