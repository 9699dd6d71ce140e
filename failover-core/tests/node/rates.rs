//! Clocks that run too fast or too slow, and what each bound on them is worth.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::support::{Mishap, Unruly, node, pass, settle, until};
use failover_core::memory::MemoryStore;
use failover_core::time::{Clock, ManualClock, Time};
use failover_core::{Backend, Election, Timing};

const TTL: Duration = Duration::from_secs(20);

/// A clock beside the store's that runs `up` nanoseconds while the store's runs `down`.
#[derive(Debug)]
struct Rated {
    store: ManualClock,
    up: u64,
    down: u64,
}

#[async_trait]
impl Clock for Rated {
    fn now(&self) -> Time {
        Time::from_nanos(self.store.now().as_nanos() / self.down * self.up)
    }

    async fn sleep_until(&self, at: Time) {
        self.store.sleep_until(Time::from_nanos(at.as_nanos() / self.up * self.down + self.down)).await;
    }
}

struct World {
    clock: ManualClock,
    backend: Backend,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let backend = MemoryStore::with_clock(clock.clone()).backend();
        Self { clock, backend }
    }

    /// A candidate whose clock runs at `up`/`down` of the store's, and reckons with one that is `drift_ppm` too slow.
    fn candidate(&self, name: &str, up: u64, down: u64, drift_ppm: u32) -> (Arc<Unruly>, Election) {
        let leases = Unruly::new(self.backend.leases.clone());
        let timing = Timing::builder(Duration::from_secs(1), TTL).call(Duration::from_secs(2)).drift_ppm(drift_ppm);
        let election = Election::builder(leases.clone(), "x", node(name)).unwrap().timing(timing.build().unwrap());
        let clock = Arc::new(Rated { store: self.clock.clone(), up, down });
        (leases, election.clock(clock).start().unwrap())
    }

    /// Cuts the leader off; by how much the next one's leading begins after the end of its own, and whether it overlaps.
    async fn overlap(&self, leader: (Arc<Unruly>, Election), next: Election) -> Duration {
        let (leases, leader) = leader;
        let first = until(&self.clock, TTL, leader.campaign()).await.unwrap();
        pass(&self.clock, TTL * 3).await;
        assert!(first.is_valid(), "renewals keep it, whatever its clock's rate");
        leases.always(Some(Mishap::Hang));
        let second = tokio::spawn(async move { next.campaign().await.unwrap() });
        let mut overlap = Duration::ZERO;
        for _ in 0..TTL.as_millis() * 3 / 20 {
            settle().await;
            let begun = second.is_finished();
            if begun && first.is_valid() {
                overlap += crate::support::STEP;
            }
            self.clock.advance(crate::support::STEP);
        }
        let second = second.await.unwrap();
        assert!(second.is_valid() && second.token().number > first.token().number);
        overlap
    }
}

#[tokio::test]
async fn a_clock_at_twice_the_rate_ends_its_right_early_and_never_overlaps() {
    let world = World::new();
    let (_, next) = world.candidate("b", 1, 1, 50_000);
    assert_eq!(world.overlap(world.candidate("a", 2, 1, 50_000), next).await, Duration::ZERO);
}

#[tokio::test]
async fn a_clock_at_half_the_rate_never_overlaps_where_that_is_reckoned_with() {
    let world = World::new();
    let (_, next) = world.candidate("b", 2, 1, 499_999);
    assert_eq!(world.overlap(world.candidate("a", 1, 2, 499_999), next).await, Duration::ZERO);
}

/// The bound is worth something: without it the same clock outlives its lease, and only the resource, which refuses the lower
/// token, is left to protect.
#[tokio::test]
async fn a_clock_at_half_the_rate_outlives_its_lease_where_nobody_reckoned_with_it() {
    let world = World::new();
    let (_, next) = world.candidate("b", 1, 1, 50_000);
    assert!(world.overlap(world.candidate("a", 1, 2, 50_000), next).await > Duration::ZERO);
}
