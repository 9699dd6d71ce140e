//! [`Backend`]: the four stores a node runs on.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::home::Home;
use crate::{HeartbeatStore, JobAssigner, LeaseManager, StateStore};

/// Four stores, from one backend or from several.
///
/// Mixing is safe because nothing here spans two of them: a fence in one store is a term it remembers itself, not a
/// question to the store that granted the lease.
#[derive(Clone)]
pub struct Backend {
    /// Who seems alive.
    pub heartbeats: Arc<dyn HeartbeatStore>,
    /// Who may act.
    pub leases: Arc<dyn LeaseManager>,
    /// Who should run what.
    pub jobs: Arc<dyn JobAssigner>,
    /// What the nodes share.
    pub state: Arc<dyn StateStore>,
}

impl Backend {
    /// All four from one store.
    pub fn new<S>(store: S) -> Self
    where
        S: HeartbeatStore + LeaseManager + JobAssigner + StateStore + 'static,
    {
        let store = Arc::new(store);
        Self { heartbeats: store.clone(), leases: store.clone(), jobs: store.clone(), state: store }
    }

    /// Opens one in a [home](crate::home) of its own: a thread on which its connections are, and what nodes and elections do with it. So a host that blocks its executor does
    /// not lose its leases. To share the thread between several, use [`Home::open`]. Cancel safe.
    ///
    /// # Errors
    /// Those of `open`, and [`Unavailable`](crate::ErrorKind::Unavailable) if there is no thread to be had.
    pub async fn on_own_thread<F, R>(open: F) -> Result<Self>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<Self>> + Send + 'static,
    {
        Home::start()?.open(open).await
    }

    /// Each from a store of its own, or some from the same. Nodes and elections run in the [home](crate::home) of the leases, if they have one.
    pub fn mixed(
        heartbeats: Arc<dyn HeartbeatStore>,
        leases: Arc<dyn LeaseManager>,
        jobs: Arc<dyn JobAssigner>,
        state: Arc<dyn StateStore>,
    ) -> Self {
        Self { heartbeats, leases, jobs, state }
    }
}

impl fmt::Debug for Backend {
    /// Nothing of the stores: their addresses may hold secrets (law 19).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("durability", &self.leases.durability()).finish_non_exhaustive()
    }
}
