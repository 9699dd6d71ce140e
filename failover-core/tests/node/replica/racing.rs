//! A promotion races records that are late: calls of the old active node reach the store long after it was given up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Ledger, copied_on};
use crate::support::{Mishap, pass, settle};
use crate::world::{BEAT, TTL, World};
use async_trait::async_trait;
use failover_core::replica::{Publisher, Replica};
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::time::{Clock, ManualClock};
use failover_core::{Lease, Result, Right, Role, RoleHooks, StateKey, StateStore};

/// What is wrong with the store, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// It takes records whatever their term.
    Unfenced,
    /// A new active node does not raise the fence before it reads on.
    Unraised,
}

/// Documents whose writes take long, each as long as chance has it, and arrive though nobody waits for them any more.
struct Slow {
    inner: Arc<dyn StateStore>,
    clock: ManualClock,
    chance: AtomicU64,
    bug: Bug,
}

impl Slow {
    /// `SplitMix64`.
    fn draw(&self, below: u64) -> u64 {
        let state = self.chance.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

#[async_trait]
impl StateStore for Slow {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.inner.list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        if self.bug == Bug::Unraised && key.as_str().ends_with("/writer") {
            return Ok(Written::Written(failover_core::Version(1)));
        }
        let journal = key.as_str().contains("/journal/");
        // Mostly quick, and now and then slower than any lease.
        let millis = if journal && self.draw(4) == 0 { self.draw(9_000) } else { self.draw(30) };
        let (inner, clock, key, value) = (self.inner.clone(), self.clock.clone(), key.clone(), value.to_vec());
        let fence = fence.filter(|_| self.bug == Bug::None || !journal).cloned();
        let late = tokio::spawn(async move {
            clock.sleep_until(clock.now() + Duration::from_millis(millis)).await;
            inner.put(&key, &value, expect, fence.as_ref()).await
        });
        late.await.expect("the store does not panic")
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.inner.delete(key, expect, fence).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.inner.changed(prefix).await
    }
}

/// Remembers what its ledger held when it was promoted.
struct Front(Arc<Ledger>, Arc<Mutex<Option<Vec<String>>>>);

#[async_trait]
impl RoleHooks for Front {
    async fn promote(&self, _right: Right) {
        *self.1.lock().unwrap() = Some(self.0.lines());
    }
}

/// One race; what broke, if something did.
async fn race(seed: u64, bug: Bug) -> std::result::Result<(), String> {
    let world = World::new();
    let (leases, mut backend) = world.unruly();
    let inner = backend.state.clone();
    backend.state = Arc::new(Slow { inner, clock: world.clock.clone(), chance: AtomicU64::new(seed), bug });
    let a = copied_on(&world, backend, "a", |builder| builder.snapshot_after(5, u64::MAX));
    world.role(&a.node, Role::Active).await;

    let (ledger, knew) = (Arc::new(Ledger::default()), Arc::default());
    let replica = Replica::new("ledger", ledger.clone()).unwrap();
    let mut backend = world.store.backend();
    let inner = backend.state.clone();
    backend.state = Arc::new(Slow { inner, clock: world.clock.clone(), chance: AtomicU64::new(!seed), bug });
    let front = Front(ledger.clone(), Arc::clone(&knew));
    let b = world.node_on(backend, "b").replica(&replica).hooks(front).start().unwrap();
    world.role(&b, Role::Standby).await;

    // Three clients of each node, each of which waits for its answers.
    let acknowledged = Arc::new(Mutex::new([Vec::new(), Vec::new()]));
    let clients = |node: usize, publisher: &Publisher| {
        let client = |client| {
            let (acknowledged, clock, publisher) = (acknowledged.clone(), world.clock.clone(), publisher.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let record = format!("{}-{client}-{n}", ["a", "b"][node]);
                    if publisher.publish(record.as_str()).await.is_ok() {
                        acknowledged.lock().unwrap()[node].push(record);
                    }
                    clock.sleep_until(clock.now() + Duration::from_millis(70)).await;
                }
            })
        };
        (0..3).map(client).collect::<Vec<_>>()
    };
    let mut all_clients = clients(0, &a.replica.publisher());
    pass(&world.clock, Duration::from_millis(300 + seed % 13 * 100)).await;
    leases.always(Some(Mishap::Hang));
    world.role(&b, Role::Active).await;
    // Time for what is late to come in at the very end that the new one has read.
    pass(&world.clock, BEAT * 3).await;
    all_clients.extend(clients(1, &replica.publisher()));
    pass(&world.clock, BEAT * 2).await;
    leases.always(None);
    pass(&world.clock, TTL * 2).await;
    all_clients.iter().for_each(tokio::task::JoinHandle::abort);
    settle().await;

    let knew = knew.lock().unwrap().clone().unwrap_or_default();
    let [by_a, by_b] = &*acknowledged.lock().unwrap();
    if let Some(lost) = by_a.iter().find(|record| !knew.contains(record)) {
        return Err(format!("seed {seed}: {lost} was acknowledged, and b acted without it"));
    }
    let all = ledger.lines();
    for record in by_a.iter().chain(by_b) {
        if all.iter().filter(|line| *line == record).count() != 1 {
            return Err(format!("seed {seed}: {record} was acknowledged, and is not there once"));
        }
    }
    let late = all.iter().skip(knew.len()).find(|line| line.starts_with('a'));
    if let Some(late) = late {
        return Err(format!("seed {seed}: {late} came in after b was active"));
    }
    // An order that one client saw is everybody's.
    let place = |record: &String| all.iter().position(|line| line == record);
    if !by_b.iter().filter(|record| record.starts_with("b-1")).map(place).is_sorted() {
        return Err(format!("seed {seed}: out of order"));
    }
    if by_a.is_empty() || by_b.is_empty() {
        return Err(format!("seed {seed}: a race that nobody ran"));
    }
    Ok(())
}

#[tokio::test]
async fn a_promotion_that_races_late_records_misses_none_that_was_acknowledged() {
    for seed in 0..20 {
        race(seed, Bug::None).await.unwrap();
    }
}

async fn caught(bug: Bug) -> String {
    for seed in 0..40 {
        if let Err(violation) = race(seed, bug).await {
            return violation;
        }
    }
    panic!("40 races do not find the bug");
}

#[tokio::test]
async fn records_that_carry_no_term_are_caught() {
    println!("{}", caught(Bug::Unfenced).await);
}

#[tokio::test]
async fn a_promotion_that_does_not_raise_the_fence_is_caught() {
    println!("{}", caught(Bug::Unraised).await);
}
