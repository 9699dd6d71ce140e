//! The reference backend: everything in this process's memory, every law kept.
//!
//! [`World`] is the store itself, synchronous and without a clock: the caller says what time it is, which lets a simulation
//! decide. [`MemoryStore`] is a handle on one, with a clock, for tests and for hosts whose nodes share a process.
//!
//! ```
//! use std::time::Duration;
//! use failover_core::memory::MemoryStore;
//! use failover_core::time::ManualClock;
//! use failover_core::{Incarnation, LeaseManager, LeaseName, Member, NodeId};
//! use failover_core::lease::{Acquired, Renewed};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::new();
//! let store = MemoryStore::with_clock(clock.clone());
//! let member = Member::new(NodeId::new("n1")?, Incarnation::fresh());
//! let Acquired::Granted(lease) = store.acquire(&LeaseName::active(), &member, Duration::from_secs(5)).await? else {
//!     panic!("nobody else wants it")
//! };
//! clock.advance(Duration::from_secs(5));
//! assert_eq!(store.renew(&lease).await?, Renewed::Lost);
//! # Ok(()) }
//! ```

mod heartbeat;
mod job;
mod lease;
mod state;
mod store;

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{LeaseName, StateKey, Term};
use crate::lease::Lease;

#[cfg(feature = "testkit")]
pub(crate) use job::stamp;
pub use store::MemoryStore;

/// Which store this is: another one after a wipe, so that whoever knew the old one notices (law 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(u64);

/// What a hint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch<'a> {
    /// Who beats, and what they tell.
    Heartbeats,
    /// Who holds this lease.
    Lease(&'a LeaseName),
    /// The jobs.
    Jobs,
    /// The documents at or below this key.
    State(&'a StateKey),
}

/// One cluster's data in all four stores, without a lock, a clock or a task: the same calls give the same answers.
///
/// Every method that judges time takes the store's present moment, which must not go backwards from call to call.
#[derive(Debug, Clone)]
pub struct World {
    id: StoreId,
    newer: bool,
    /// Counts what a hint may tell of; the parts keep the count of their own last change.
    stamp: u64,
    heartbeats: heartbeat::Heartbeats,
    leases: lease::Leases,
    jobs: job::Jobs,
    state: state::Documents,
}

impl World {
    /// An empty store. Its identity, and those it takes on when it is wiped, follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            id: StoreId(seed),
            newer: false,
            stamp: 0,
            heartbeats: heartbeat::Heartbeats::default(),
            leases: lease::Leases::default(),
            jobs: job::Jobs::default(),
            state: state::Documents::default(),
        }
    }

    /// Which store this is at present.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// Loses everything, terms and fences included, and becomes another store, as a replaced file or a flushed server does.
    pub fn wipe(&mut self) {
        let stamp = self.stamp + 1;
        *self = Self::new(self.id.0.wrapping_add(1));
        self.stamp = stamp;
        self.heartbeats.stamp = stamp;
        self.leases.wiped = stamp;
        self.jobs.stamp = stamp;
        self.state.wiped = stamp;
    }

    /// Marks what the store holds as written by a build of a newer format, which this one must not touch (law 15).
    pub fn make_newer(&mut self) {
        self.newer = true;
    }

    /// Whether a caller who knew the store as `known` may go on with `operation`. The methods below do not ask: a handle
    /// does so before each call.
    ///
    /// # Errors
    /// [`StoreChanged`](ErrorKind::StoreChanged) if it is another store by now, [`TooNew`](ErrorKind::TooNew) after
    /// [`make_newer`](Self::make_newer).
    pub fn admit(&self, known: StoreId, operation: &'static str) -> Result<()> {
        if self.id != known {
            let message = "the store was wiped since it was opened: reopen it with a floor above every term known";
            return Err(Error::new(ErrorKind::StoreChanged, operation, message));
        }
        if self.newer {
            let message = "the records are of a newer format: upgrade this node; they were left as they are";
            return Err(Error::new(ErrorKind::TooNew, operation, message));
        }
        Ok(())
    }

    /// A number that has grown whenever what is watched has changed. It may also grow for nothing.
    pub fn stamp(&self, watch: Watch<'_>) -> u64 {
        match watch {
            Watch::Heartbeats => self.heartbeats.stamp,
            Watch::Lease(name) => self.leases.stamp(name),
            Watch::Jobs => self.jobs.stamp,
            Watch::State(prefix) => self.state.stamp(prefix),
        }
    }

    /// A number that has grown whenever anything has changed that [`stamp`](Self::stamp) tells of.
    pub fn latest_stamp(&self) -> u64 {
        self.stamp
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }
}

/// The highest term that has written under each lease's name.
#[derive(Debug, Clone, Default)]
struct Fences(BTreeMap<LeaseName, Term>);

impl Fences {
    /// Raises the fence to `lease`'s term.
    ///
    /// # Errors
    /// The term that has raised it higher.
    fn pass(&mut self, lease: &Lease) -> std::result::Result<(), Term> {
        let highest = self.0.entry(lease.name.clone()).or_default();
        if *highest > lease.term {
            return Err(*highest);
        }
        *highest = lease.term;
        Ok(())
    }
}
