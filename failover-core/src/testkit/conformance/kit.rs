//! Short ways to say what clauses say often.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Fixture;
use crate::Backend;
use crate::error::{ErrorKind, Result};
use crate::ids::{Incarnation, LeaseName, Member, NodeId, Term};
use crate::lease::{Acquired, Lease, LeaseView, Tenant};

/// For leases that must not lapse while a clause runs, on however slow a machine.
pub(super) const LONG: Duration = Duration::from_hours(1);

/// How many write at once where a clause is about contention.
pub(super) const WRITERS: u64 = 20;

/// How often a clause is tried whose success needs a few calls to be quicker than a ttl.
const ATTEMPTS: u32 = 20;

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

/// A lease to fence with. Fences need nothing from the store that grants leases, so it need not be granted.
pub(super) fn fence(of: &str, term: u64) -> Lease {
    Lease { name: name(of), holder: member("fencer", 1), term: Term(term), ttl: LONG }
}

/// The longest name an id may have, in a mix of all characters that are allowed.
pub(super) fn longest(first: char) -> String {
    let rest = "A9._-zZ0".chars().cycle().take(crate::ids::MAX_NAME - 1);
    std::iter::once(first).chain(rest).collect()
}

/// How often a call is made that a busy store turns away.
const TURNS: u32 = 12;

/// What a call gave that has to succeed.
#[track_caller]
pub(super) fn ok<T>(answer: Result<T>) -> T {
    answer.unwrap_or_else(|e| panic!("the call has to succeed: {e}"))
}

/// What a call gives that has to succeed in the end: beside many others it may be turned away, and then it was surely not applied.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(mut call: impl FnMut() -> F) -> T {
    for _ in 1..TURNS {
        match call().await {
            Err(e) if e.kind() == ErrorKind::Unavailable => {}
            answer => return ok(answer),
        }
    }
    ok(call().await)
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

/// Who holds a lease, and under which term; a lease that is not held has nobody.
pub(super) async fn holder(backend: &Backend, name: &LeaseName) -> (Term, Option<Member>) {
    let view = ok(backend.leases.current(name).await);
    let holder = match view.tenant {
        Tenant::Held { holder, .. } => Some(holder),
        Tenant::Free | Tenant::Reserved { .. } => None,
    };
    (view.term, holder)
}

/// Lets a time of the store pass, and what the store may be late by.
pub(super) async fn lapse(fixture: &dyn Fixture, backend: &Backend, time: Duration) {
    fixture.pass(time + time / 10 + backend.leases.slack()).await;
}

/// Tries something a few times that a slow machine may spoil, and a broken backend always.
pub(super) async fn attempt<F: Future<Output = bool>>(what: &str, mut body: impl FnMut(u32) -> F) {
    for n in 0..ATTEMPTS {
        if body(n).await {
            return;
        }
    }
    panic!("{what}: not in any of {ATTEMPTS} attempts");
}

/// A few handles on the cluster, for writers to share as processes would.
pub(super) async fn handles(fixture: &dyn Fixture) -> Vec<Backend> {
    let mut handles = Vec::new();
    for _ in 0..4 {
        handles.push(fixture.open().await);
    }
    handles
}

/// Runs [`WRITERS`] tasks at once, spread over these handles, and returns their answers in the order of their numbers.
pub(super) async fn together<T, F>(handles: &[Backend], write: impl Fn(u64, Backend) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let writers = (0..WRITERS).zip(handles.iter().cycle());
    let tasks: Vec<JoinHandle<T>> = writers.map(|(i, backend)| tokio::spawn(write(i, backend.clone()))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
    }
    answers
}

/// Checks that a waiter is woken by a change. The change is made again and again, numbered, until it is: a waiter that has
/// only begun to listen cannot have missed it.
pub(super) async fn wakes<F: Future<Output = ()>>(
    changed: impl Future<Output = Result<()>>,
    mut change: impl FnMut(u64) -> F,
) {
    let mut changed = std::pin::pin!(changed);
    for n in 1..=600 {
        change(n).await;
        if let Ok(woken) = tokio::time::timeout(Duration::from_millis(50), &mut changed).await {
            return ok(woken);
        }
    }
    panic!("`changed` was not woken by any of 600 changes in half a minute");
}
