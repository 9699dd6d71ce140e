//! A fault at every single call, one after another: of the one that publishes, writes snapshots and cuts, and of the one that reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Copied, Ledger, copied_on};
use crate::support::{settle, until};
use crate::world::{LONG, TTL, World};
use async_trait::async_trait;
use failover_core::replica::PublishError;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{Backend, Error, ErrorKind, Lease, Result, Role, StateKey, StateStore};

/// What befalls the one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The process dies there; the call is still done, or not.
    Death { done: bool },
    /// Its answer is lost; it is done, or not.
    Lost { done: bool },
    /// It is refused.
    Refused,
}

/// Documents below `replica`, of which one call is struck.
struct Brittle {
    inner: Arc<dyn StateStore>,
    /// Calls until then.
    left: AtomicUsize,
    blow: Blow,
}

impl Brittle {
    fn backend(world: &World, left: usize, blow: Blow) -> (Backend, Arc<Self>) {
        let mut backend = world.store.backend();
        let brittle = Arc::new(Self { inner: backend.state.clone(), left: AtomicUsize::new(left), blow });
        backend.state = brittle.clone();
        (backend, brittle)
    }

    /// Whether the call was reached.
    fn struck(&self) -> bool {
        self.left.load(Ordering::SeqCst) == usize::MAX
    }

    async fn call<T>(&self, key: &StateKey, call: impl Future<Output = Result<T>>) -> Result<T> {
        if !key.as_str().starts_with("replica") {
            return call.await;
        }
        let died = matches!(self.blow, Blow::Death { .. });
        let left = self.left.load(Ordering::SeqCst);
        match left {
            usize::MAX if died => return std::future::pending().await,
            usize::MAX => return call.await,
            0 => self.left.store(usize::MAX, Ordering::SeqCst),
            _ => {
                self.left.store(left - 1, Ordering::SeqCst);
                return call.await;
            }
        }
        let failed = |kind| Err(Error::new(kind, "call", "struck by a test"));
        match self.blow {
            Blow::Death { done } => {
                if done {
                    let _nobody_hears = call.await;
                }
                std::future::pending().await
            }
            Blow::Lost { done } => {
                if done {
                    let _nobody_hears = call.await;
                }
                failed(ErrorKind::Unknown)
            }
            Blow::Refused => failed(ErrorKind::Unavailable),
        }
    }
}

#[async_trait]
impl StateStore for Brittle {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.call(key, self.inner.get(key)).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.call(prefix, self.inner.list(prefix, after, limit)).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        self.call(key, self.inner.put(key, value, expect, fence)).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.call(key, self.inner.delete(key, expect, fence)).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.inner.changed(prefix).await
    }
}

/// What is published: short records, and one that needs two entries.
fn records() -> Vec<String> {
    (0..9).map(|n| if n == 4 { format!("long-{}", "x".repeat(300_000)) } else { format!("record-{n}") }).collect()
}

/// Publishes until all is done or the process is dead: what was acknowledged.
async fn publish(world: &World, copied: &Copied, brittle: &Brittle) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for record in records() {
        let publisher = copied.replica.publisher();
        let outcome = until(&world.clock, LONG, async {
            tokio::select! {
                outcome = publisher.publish(record.as_str()) => Some(outcome),
                () = dead(brittle) => None,
            }
        });
        match outcome.await {
            Some(Ok(_)) => acknowledged.push(record),
            Some(Err(error)) => {
                let died = matches!(brittle.blow, Blow::Death { .. });
                assert!(died && matches!(error, PublishError::Unknown | PublishError::Passive), "{error}");
                return acknowledged;
            }
            None => return acknowledged,
        }
        // Snapshots are written beside it.
        settle().await;
    }
    acknowledged
}

/// Completes when the process is dead and what it did last has had its time.
async fn dead(brittle: &Brittle) {
    while !(brittle.struck() && matches!(brittle.blow, Blow::Death { .. })) {
        tokio::task::yield_now().await;
    }
    settle().await;
}

/// One run with the blow at one call of the active node; whether that call was reached.
async fn strike_the_active(at: usize, blow: Blow) -> bool {
    let world = World::new();
    let (backend, brittle) = Brittle::backend(&world, at, blow);
    let a = copied_on(&world, backend, "a", |builder| builder.snapshot_after(3, u64::MAX));
    let up = async {
        let mut roles = a.node.roles();
        tokio::select! {
            _ = roles.wait_for(|role| *role == Role::Active) => {}
            () = dead(&brittle) => {}
        }
    };
    until(&world.clock, LONG, up).await;
    let acknowledged = publish(&world, &a, &brittle).await;
    drop(a);
    settle().await;
    world.clock.advance(TTL); // its leases have lapsed

    let b = copied_on(&world, world.store.backend(), "b", |builder| builder.snapshot_after(3, u64::MAX));
    world.role(&b.node, Role::Active).await;
    // Whatever was acknowledged, and perhaps the one that was under way.
    let known = b.ledger.lines();
    assert!(known.starts_with(&acknowledged), "{blow:?} at call {at}: lost one of {}", acknowledged.len());
    assert!(
        known.len() <= acknowledged.len() + 1 && records().starts_with(&known),
        "{blow:?} at call {at}: twice, or torn"
    );
    assert_eq!(b.replica.position().0, known.len() as u64);

    b.publish_all(&world, &["more"]).await;
    let same = async |name: &str| {
        let other = copied_on(&world, world.store.backend(), name, |builder| builder);
        other.reached(&world, known.len() as u64 + 1).await;
        assert!(other.ledger.lines() == b.ledger.lines(), "{blow:?} at call {at}: {name} knows something else");
    };
    same("c").await;
    let snapshot = b.replica.publisher();
    until(&world.clock, LONG, snapshot.snapshot()).await.unwrap();
    let parts = super::documents(&world, "replica/ledger/snapshot").await;
    let size = b.ledger.lines().join("\n").len();
    assert_eq!(
        parts.len(),
        size.div_ceil(256 * 1024),
        "{blow:?} at call {at}: parts of an abandoned attempt: {parts:?}"
    );
    assert_eq!(super::documents(&world, "replica/ledger/journal").await.len(), 1, "{blow:?} at call {at}");
    same("d").await;
    brittle.struck()
}

/// The same, of a node that reads along, and begins in the middle.
async fn strike_a_reader(at: usize, blow: Blow) -> bool {
    let world = World::new();
    let a = copied_on(&world, world.store.backend(), "a", |builder| builder.snapshot_after(5, u64::MAX));
    world.role(&a.node, Role::Active).await;
    let records = records();
    for record in &records[..6] {
        a.publish(&world, record).await.unwrap();
        settle().await;
    }
    let (backend, brittle) = Brittle::backend(&world, at, blow);
    let b = copied_on(&world, backend, "b", |builder| builder);
    for record in &records[6..] {
        a.publish(&world, record).await.unwrap();
        settle().await;
    }
    let all = records.len() as u64;
    let b: Arc<Ledger> = if matches!(blow, Blow::Death { .. }) {
        drop(b);
        let again = copied_on(&world, world.store.backend(), "b", |builder| builder);
        again.reached(&world, all).await;
        again.ledger
    } else {
        b.reached(&world, all).await;
        b.ledger
    };
    assert!(b.lines() == records, "{blow:?} at call {at}");
    brittle.struck()
}

const BLOWS: [Blow; 5] = [
    Blow::Death { done: false },
    Blow::Death { done: true },
    Blow::Lost { done: false },
    Blow::Lost { done: true },
    Blow::Refused,
];

#[tokio::test]
async fn a_fault_at_any_call_of_the_one_that_publishes_loses_nothing_and_doubles_nothing() {
    for blow in BLOWS {
        let mut at = 0;
        while strike_the_active(at, blow).await {
            at += 1;
        }
        assert!(at > 40, "{blow:?}: only {at} calls");
    }
}

#[tokio::test]
async fn a_fault_at_any_call_of_one_that_reads_leaves_it_with_all_of_it_once() {
    for blow in BLOWS {
        let mut at = 0;
        while strike_a_reader(at, blow).await {
            at += 1;
        }
        assert!(at > 5, "{blow:?}: only {at} calls");
    }
}
