//! The conformance suite on the reference backend.

use std::sync::Arc;
use std::time::Duration;

use failover_core::memory::MemoryStore;
use failover_core::testkit::conformance::Fixture;
use failover_core::time::{Clock, ManualClock};
use failover_core::{Backend, ClusterName, Term};

struct Memory {
    clock: ManualClock,
    store: MemoryStore,
}

impl Memory {
    fn start() -> Self {
        let clock = ManualClock::new();
        Self { store: MemoryStore::with_clock(clock.clone()), clock }
    }
}

#[async_trait::async_trait]
impl Fixture for Memory {
    async fn open(&self) -> Backend {
        self.store.reopen(Term::ZERO).unwrap().backend()
    }

    async fn open_other(&self) -> Backend {
        self.store.cluster(ClusterName::new("other").unwrap()).backend()
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

    failover_core::conformance!(Memory::start());
}
