//! For tests of this crate, of backends and of hosts (feature `testkit`).
//!
//! - [`conformance`]: what the four traits promise, one test a clause. Run it on your own backend.
//! - [`faults`]: any backend with faults put in its way: delays, refusals, lost requests and replies, calls that hang.
//! - [`history`]: what clients saw of a lease, recorded and checked for linearizability.
//!
//! A backend's author writes a [`Fixture`](conformance::Fixture), which says how to get at a fresh store, and one line. Here
//! for the reference backend:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use failover_core::Backend;
//! use failover_core::memory::MemoryStore;
//! use failover_core::testkit::conformance::Fixture;
//! use failover_core::time::{Clock, ManualClock};
//!
//! struct Memory {
//!     clock: ManualClock,
//!     store: MemoryStore,
//! }
//!
//! impl Memory {
//!     fn start() -> Self {
//!         let clock = ManualClock::new();
//!         Self { store: MemoryStore::with_clock(clock.clone()), clock }
//!     }
//! }
//!
//! #[async_trait::async_trait]
//! impl Fixture for Memory {
//!     async fn open(&self) -> Backend {
//!         // As a process that starts now would: it accepts the store as it finds it.
//!         self.store.reopen(failover_core::Term::ZERO).expect("the store is open").backend()
//!     }
//!
//!     async fn open_other(&self) -> Backend {
//!         self.store.cluster(failover_core::ClusterName::new("other").expect("a valid name")).backend()
//!     }
//!
//!     async fn wipe(&self) {
//!         self.store.wipe();
//!     }
//!
//!     async fn make_newer(&self) {
//!         self.store.make_newer();
//!     }
//!
//!     fn ttl(&self) -> Duration {
//!         Duration::from_secs(10)
//!     }
//!
//!     fn hints(&self) -> bool {
//!         true
//!     }
//!
//!     // A store with a real clock leaves these two as they are.
//!     fn clock(&self) -> Arc<dyn Clock> {
//!         Arc::new(self.clock.clone())
//!     }
//!
//!     async fn pass(&self, by: Duration) {
//!         self.clock.advance(by);
//!     }
//! }
//!
//! // In `tests/conformance.rs`; the expression is evaluated once for each test, and may await.
//! failover_core::conformance!(Memory::start());
//! ```

pub mod conformance;
pub mod faults;
pub mod history;
pub mod sim;
