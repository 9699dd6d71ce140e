use std::time::Duration;

use super::{Claim, Ticket};
use crate::heir::Bequest;
use crate::ids::NodeId;
use crate::lease::Lease;
use crate::time::Time;
use crate::timing::Timing;

/// How far a claim is.
#[derive(Debug, Clone)]
pub(super) enum State {
    Idle,
    Seeking(Seeking),
    Held(Held),
    /// No longer renewed; waits for the work under it, or for its end.
    Ending {
        lease: Lease,
        ends_at: Time,
    },
    Releasing {
        lease: Lease,
        successor: Option<NodeId>,
        give_up_at: Time,
        try_at: Time,
        open: Option<Ticket>,
    },
}

impl Claim {
    /// The lease, if the right to it is not over at `now`.
    pub fn held(&self, now: Time) -> Option<&Lease> {
        match &self.state {
            State::Held(held) => (now < held.ends_at).then_some(&held.lease),
            State::Ending { lease, ends_at } => (now < *ends_at).then_some(lease),
            State::Idle | State::Seeking(_) | State::Releasing { .. } => None,
        }
    }

    /// The lease, if work under it may begin at `now`: it is held and not ending.
    pub fn may_begin(&self, now: Time) -> Option<&Lease> {
        match &self.state {
            State::Held(held) => (now < held.stop_at).then_some(&held.lease),
            State::Idle | State::Seeking(_) | State::Ending { .. } | State::Releasing { .. } => None,
        }
    }

    /// Whether it seeks, holds and returns nothing.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether it seeks, holds and returns nothing, and no call is under way that could still get it the lease. That is so within a call's deadline.
    pub fn is_settled(&self) -> bool {
        self.is_idle() && self.acquiring.is_empty()
    }

    /// The lease as its holder leaves it behind if it dies now, whatever the clock says of the right: the store may still have it as the holder's.
    pub(crate) fn bequest(&self) -> Option<Bequest> {
        let (lease, successor) = match &self.state {
            State::Held(held) => (&held.lease, None),
            State::Ending { lease, .. } => (lease, None),
            State::Releasing { lease, successor, .. } => (lease, successor.clone()),
            State::Idle | State::Seeking(_) => return None,
        };
        Some(Bequest::new(lease.clone(), successor))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Seeking {
    pub(super) try_at: Time,
    /// When the lease is, or was, free to ask for, if that is known: the head start counts from there.
    pub(super) free_at: Option<Time>,
    /// Whether the next call asks for the lease, or only looks how it stands.
    pub(super) armed: bool,
    pub(super) open: Option<Ticket>,
    /// A hint came while a call was under way: its answer may be older.
    pub(super) hinted: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) lease: Lease,
    /// The timing it was asked for by, which its renewals count by too.
    pub(super) asked: Timing,
    /// The shorter ttl that its right was cut to before the store is asked for that.
    pub(super) cut_to: Option<Duration>,
    pub(super) stop_at: Time,
    pub(super) ends_at: Time,
    pub(super) renew_at: Time,
    pub(super) open: Option<Ticket>,
}
