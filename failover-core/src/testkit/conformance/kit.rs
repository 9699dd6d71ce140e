//! Short ways to say what clauses say often.

use std::fmt::Debug;
use std::time::Duration;

use crate::error::{ErrorKind, Result};
use crate::ids::{Incarnation, LeaseName, Member, NodeId};
use crate::lease::{Acquired, Lease, LeaseView};
use crate::{Backend, LeaseManager};

/// For leases that must not lapse while a clause runs, on however slow a machine.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// How many write at once where a clause is about contention.
pub(super) const WRITERS: u128 = 20;

pub(super) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap_or_else(|e| panic!("{e}"))
}

/// The incarnation `bits` of node `name`.
pub(super) fn member(name: &str, bits: u128) -> Member {
    Member::new(node(name), Incarnation::from_u128(bits))
}

pub(super) fn name(text: &str) -> LeaseName {
    LeaseName::new(text).unwrap_or_else(|e| panic!("{e}"))
}

/// What a call gave that has to succeed.
#[track_caller]
pub(super) fn ok<T>(answer: Result<T>) -> T {
    answer.unwrap_or_else(|e| panic!("the call has to succeed: {e}"))
}

/// Checks that a call failed in this way.
#[track_caller]
pub(super) fn fails<T: Debug>(answer: Result<T>, kind: ErrorKind, why: &str) {
    match answer {
        Err(e) => assert_eq!(e.kind(), kind, "{why}: the error is another one: {e}"),
        Ok(answer) => panic!("{why}: it has to fail ({kind}), and gave {answer:?}"),
    }
}

/// Acquires a lease that has to be granted.
pub(super) async fn granted(backend: &Backend, name: &LeaseName, member: &Member, ttl: Duration) -> Lease {
    match ok(backend.leases.acquire(name, member, ttl).await) {
        Acquired::Granted(lease) => lease,
        Acquired::Refused(view) => panic!("{member} has to be granted {name}, which is {view:?}"),
    }
}

/// Asks for a lease that has to be refused.
pub(super) async fn refused(backend: &Backend, name: &LeaseName, member: &Member) -> LeaseView {
    match ok(backend.leases.acquire(name, member, LONG).await) {
        Acquired::Refused(view) => view,
        Acquired::Granted(lease) => panic!("{name} has to be refused to {member}, and was granted: {lease:?}"),
    }
}
