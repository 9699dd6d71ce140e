//! [`Admin`]: what an operator, or a program for one, asks of a cluster without being a member of it.

mod activate;
mod apart;
mod apply;
mod config;
mod incidents;
mod known;
mod maintenance;
mod orders;
mod outlook;
mod settings;
mod status;
mod submit;
mod switchover;
mod wait;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;

pub use activate::Former;
pub use apply::{Change, Difference, FieldChange, Mode, Wanted};
pub use config::{By, Config, ConfigError};
pub use maintenance::Parked;
pub use orders::OrderError;
pub use outlook::{Outlook, Rehearsal, What};
pub use settings::Rank;
pub use status::{NodeStatus, Status};
pub use switchover::SwitchoverError;
pub use wait::{WaitFor, Waited};

use crate::backend::Backend;
use crate::control::{self, Settings};
use crate::driver::bounded;
use crate::error::{Error, ErrorKind, Result};
use crate::heartbeat::Sighting;
use crate::ids::{JobId, LeaseName, Revision, StateKey, Version};
use crate::job::{JobChange, JobRecord, Removed};
use crate::plan::Strategy;
use crate::record;
use crate::state::Document;
use crate::time::{Clock, SystemClock};

/// How many jobs are read at once.
const PAGE: usize = 500;

/// How often a lost race for a document is run again before it is an error.
const RACES: u32 = 20;

/// An operator's view of a cluster and hand in it.
///
/// It needs the store and no node: what it writes, the nodes find. Every call has a deadline, so that a hung store is an
/// error and not a hang. Each method is safe to repeat after an error.
#[derive(Clone)]
pub struct Admin {
    backend: Backend,
    clock: Arc<dyn Clock>,
    call: Duration,
    strategies: Vec<Arc<dyn Strategy>>,
    operator: String,
}

impl Admin {
    /// The cluster on this backend.
    pub fn new(backend: Backend) -> Self {
        Self {
            backend,
            clock: Arc::new(SystemClock::new()),
            call: Duration::from_secs(5),
            strategies: Vec::new(),
            operator: "an operator".to_owned(),
        }
    }

    /// Sets where its time comes from. Default: the machine's own clock.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the deadline of each store call. Default: 5 s.
    pub fn with_call_deadline(mut self, call: Duration) -> Self {
        self.call = call;
        self
    }

    /// Sets who it is that changes the cluster's settings, for their history. Default: an operator.
    pub fn with_operator(mut self, name: impl Into<String>) -> Self {
        self.operator = name.into();
        self
    }

    /// Brings along a strategy of placement of the host's own, so that what the nodes would do with it can be rehearsed.
    pub fn with_strategy(mut self, strategy: impl Strategy) -> Self {
        self.strategies.push(Arc::new(strategy));
        self
    }

    /// Takes a job away, once its owner has stopped it.
    ///
    /// # Errors
    /// The store's.
    pub async fn remove(&self, job: &JobId) -> Result<Removed> {
        self.ask("remove", self.backend.jobs.remove(job)).await
    }

    /// All jobs, by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn jobs(&self) -> Result<Vec<JobRecord>> {
        let mut jobs = BTreeMap::new();
        let mut since = Revision::ZERO;
        loop {
            let page = self.ask("changes", self.backend.jobs.changes(since, PAGE)).await?;
            if page.reset {
                jobs.clear();
            }
            for change in page.changes {
                match change {
                    JobChange::Put(record) => drop(jobs.insert(record.spec.id().clone(), record)),
                    JobChange::Removed { id, .. } => drop(jobs.remove(&id)),
                }
            }
            since = page.upto;
            if !page.more {
                return Ok(jobs.into_values().collect());
            }
        }
    }

    /// How the cluster stands. A node whose last heartbeat is older than `missing` ([`Timing::missing`](crate::Timing::missing) of its nodes) is not alive.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self, missing: Duration) -> Result<Status> {
        Ok(self.look(missing).await?.status)
    }

    /// Everything at once, and how the cluster stands by it.
    async fn look(&self, missing: Duration) -> Result<Look> {
        let active = LeaseName::active();
        let (settings, sightings, lease, jobs, incidents) = tokio::try_join!(
            self.settings(),
            self.ask("sightings", self.backend.heartbeats.sightings()),
            self.ask("current", self.backend.leases.current(&active)),
            self.jobs(),
            self.open_incidents(),
        )?;
        let mut status = Status::of(&sightings, &lease, jobs, &settings, missing);
        status.open_incidents = incidents;
        Ok(Look { settings, sightings, status })
    }

    /// Waits for a hint that the cluster has changed. A hint may never come (law 7): look now and then all the same. Cancel safe.
    pub async fn changed(&self) {
        let (active, control) = (LeaseName::active(), control::control());
        let Backend { heartbeats, leases, jobs, state } = &self.backend;
        let hints = [heartbeats.changed(), leases.changed(&active), jobs.changed(), state.changed(&control)];
        // One that fails says nothing; the others still may.
        let hints = hints.into_iter().map(|hint| {
            Box::pin(async move {
                if hint.await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        select_all(hints).await;
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, key: &StateKey) -> Result<Option<(T, Version)>> {
        let document = self.ask("get", self.backend.state.get(key)).await?;
        let Some(Document { value, version, .. }) = document else { return Ok(None) };
        Ok(Some((record::decode("get", key.as_str(), &value)?, version)))
    }

    async fn ask<T>(&self, operation: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        bounded(&*self.clock, self.clock.now() + self.call, operation, call).await
    }
}

/// What there is to see of a cluster.
struct Look {
    settings: Settings,
    sightings: Vec<Sighting>,
    status: Status,
}

/// A write without a fence is bound by none, so this is a store that breaks its contract.
fn fenced(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        operation,
        "the store fenced a write that carried no fence, which is a bug in the backend",
    )
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("backend", &self.backend).field("call", &self.call).finish_non_exhaustive()
    }
}
