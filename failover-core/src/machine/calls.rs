//! Which calls are under way, what for, and since when.

use std::collections::BTreeMap;

use super::archive;
use super::claim::Ticket;
use super::effect::{Call, CallId, Effect};
use super::steward::Incident;
use super::stonith;
use crate::ids::{NodeId, Term};
use crate::time::Time;

/// What an open call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Beat,
    Look,
    Control,
    Feed,
    Report,
    Forget,
    Node(Ticket),
    Active(Ticket),
    Fence(NodeId, Ticket),
    Assign,
    Incident(Incident),
    Archive(Term, archive::Step),
    Wish,
    Orders,
    Stonith(stonith::Step),
}

/// The calls that have no outcome yet.
#[derive(Debug, Clone)]
pub(super) struct Calls<P> {
    next: u64,
    open: BTreeMap<CallId, (P, Time)>,
}

impl<P: PartialEq> Calls<P> {
    pub(super) fn new() -> Self {
        Self { next: 1, open: BTreeMap::new() }
    }

    /// Emits a call and remembers when it was sent: before, not after, it went out (law 4).
    pub(super) fn send(&mut self, now: Time, purpose: P, call: Call, out: &mut Vec<Effect>) {
        let id = CallId(self.next);
        self.next += 1;
        self.open.insert(id, (purpose, now));
        out.push(Effect::Call { id, call });
    }

    /// What the call was for and when it was sent; nothing for an outcome that comes a second time.
    pub(super) fn finish(&mut self, id: CallId) -> Option<(P, Time)> {
        self.open.remove(&id)
    }

    pub(super) fn is_open(&self, is: impl Fn(&P) -> bool) -> bool {
        self.open.values().any(|(purpose, _)| is(purpose))
    }

    pub(super) fn count(&self, is: impl Fn(&P) -> bool) -> usize {
        self.open.values().filter(|(purpose, _)| is(purpose)).count()
    }
}
