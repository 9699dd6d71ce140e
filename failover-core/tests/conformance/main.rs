//! The conformance suite: the reference backend passes it, bare and behind the fault wrapper, and broken ones do not.

mod mutants;

use std::sync::Arc;
use std::time::Duration;

use failover_core::memory::MemoryStore;
use failover_core::testkit::conformance::Fixture;
use failover_core::testkit::faults::Faulty;
use failover_core::time::{Clock, ManualClock};
use failover_core::{Backend, ClusterName, Term};

/// What is put between a clause and the store.
type Wrap = fn(MemoryStore) -> Backend;

struct Memory {
    clock: ManualClock,
    store: MemoryStore,
    wrap: Wrap,
}

impl Memory {
    fn start(wrap: Wrap) -> Self {
        let clock = ManualClock::new();
        Self { store: MemoryStore::with_clock(clock.clone()), clock, wrap }
    }
}

#[async_trait::async_trait]
impl Fixture for Memory {
    async fn open(&self) -> Backend {
        (self.wrap)(self.store.reopen(Term::ZERO).unwrap())
    }

    async fn open_other(&self) -> Backend {
        (self.wrap)(self.store.cluster(ClusterName::new("other").unwrap()))
    }

    async fn wipe(&self) {
        self.store.wipe();
    }

    async fn make_newer(&self) {
        self.store.make_newer();
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn hints(&self) -> bool {
        true
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn pass(&self, by: Duration) {
        self.clock.advance(by);
    }
}

mod memory {
    use super::*;

    failover_core::conformance!(Memory::start(|store| store.backend()));
}

mod memory_behind_the_fault_wrapper {
    use super::*;

    failover_core::conformance!(Memory::start(|store| Faulty::wrap(store.backend()).0));
}
