//! How a lease passes from one ttl to another while it is held, without a moment that its holder believes in and the store does not.
//!
//! - A right is counted by the ttl it was **asked for** with, whatever the pace is by now. A longer ttl counts only from a grant that the
//!   store made with it.
//! - The store keeps a lease's ttl on renewal, so another one is asked for by `acquire`, which keeps the term of its holder (law 5).
//! - For a **shorter** ttl the holder goes first: it cuts its right, tells everybody who acts under it, and asks the store a beat later. From
//!   the moment that call is sent, the store may hold the lease for the shorter time, with or without an answer.
//! - A call without an answer may reach the store **at any later time** and make the lease as short as it asks. So the shortest ttl
//!   among such calls is what every later right counts by, until the process ends: a [`Doubt`].

use super::{Claim, ClaimEvent, State, Ticket};
use crate::machine::input::{Fault, Reply};
use crate::time::Time;
use crate::timing::Timing;

/// The timings of calls that the store may yet apply.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubt {
    /// Calls that have no outcome yet.
    open: Vec<(Ticket, Timing)>,
    /// The shortest of those whose outcome is unknown for good.
    unknown: Option<Timing>,
}

impl Doubt {
    /// A call that sets the lease's ttl to that of this timing is about to be sent.
    pub(super) fn asked(&mut self, ticket: Ticket, timing: Timing) {
        self.open.push((ticket, timing));
    }

    /// A call has come out; the timing it asked by.
    pub(super) fn answered(&mut self, ticket: Ticket, outcome: &Result<Reply, Fault>) -> Option<Timing> {
        let at = self.open.iter().position(|(open, _)| *open == ticket)?;
        let (_, timing) = self.open.swap_remove(at);
        if matches!(outcome, Err(Fault::Unknown)) {
            self.unknown = Some(self.unknown.map_or(timing, |known| shorter(known, timing)));
        }
        Some(timing)
    }

    /// The one with the shortest ttl of `timing` and of all in doubt.
    pub(super) fn shortest(&self, timing: Timing) -> Timing {
        self.open.iter().map(|(_, open)| *open).chain(self.unknown).fold(timing, shorter)
    }
}

fn shorter(a: Timing, b: Timing) -> Timing {
    if b.ttl() < a.ttl() { b } else { a }
}

impl Claim {
    /// Asks by another timing from now on. What is held passes over to it.
    pub fn set_timing(&mut self, now: Time, timing: Timing) {
        if timing == std::mem::replace(&mut self.timing, timing) {
            return;
        }
        let is_first = self.head_start.is_zero();
        if let State::Seeking(seeking) = &mut self.state {
            // Its holder passes over too, so the lapse that was predicted may come sooner.
            let again = now + timing.ttl();
            if again < seeking.try_at {
                (seeking.try_at, seeking.armed, seeking.free_at) = (again, is_first, None);
            }
        }
        if let State::Held(held) = &mut self.state {
            if held.asked.ttl() == timing.ttl() {
                held.asked = timing;
            }
            if held.asked.ttl() <= timing.ttl() {
                // It is renewed as it was asked for, so what it was cut to does not hold any more.
                held.cut_to = None;
            }
            // Unless it was cut already: then the store is asked a beat after that.
            if held.cut_to.is_none() {
                held.renew_at = held.renew_at.min(now);
            }
        }
    }

    /// The quickest timing that anything about this lease counts by: what it asks by, what it holds by, and what is in doubt. Renewals and the
    /// deadlines of calls go by it, so that no call of a slow pace uses up a right of a quick one (law 9).
    pub fn pulse(&self) -> Timing {
        let timing = match &self.state {
            State::Held(held) => shorter(held.asked, self.timing),
            State::Idle | State::Seeking(_) | State::Ending { .. } | State::Releasing { .. } => self.timing,
        };
        self.doubt.shortest(timing)
    }

    /// Whether its right has to be cut before the store is asked for a shorter ttl.
    pub(super) fn must_cut(&self) -> bool {
        let ttl = self.timing.ttl();
        match &self.state {
            State::Held(held) => ttl < held.asked.ttl() && held.cut_to.is_none_or(|cut| ttl < cut),
            State::Idle | State::Seeking(_) | State::Ending { .. } | State::Releasing { .. } => false,
        }
    }

    /// Cuts its right to what the shorter ttl would leave of it, and asks a beat later: by then whoever acts under it has been told.
    pub(super) fn cut(&mut self, now: Time) -> Option<ClaimEvent> {
        let timing = self.pulse();
        let State::Held(held) = &mut self.state else { return None };
        let ends_at = timing.ends_at(now, timing.ttl());
        held.cut_to = Some(self.timing.ttl());
        held.renew_at = now + timing.beat();
        held.ends_at = held.ends_at.min(ends_at);
        held.stop_at = held.stop_at.min(ends_at - timing.grace());
        Some(ClaimEvent::Held { lease: held.lease.clone(), stop_at: held.stop_at, ends_at: held.ends_at })
    }
}
