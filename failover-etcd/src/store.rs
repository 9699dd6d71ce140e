//! [`EtcdStore`]: one handle on one cluster, and what all its calls share.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use etcd_client::{KeyValue, ResponseHeader};
use failover_core::time::{Clock, SystemClock, Time};
use failover_core::{ClusterName, Durability, Error, ErrorKind, Result};

use crate::clock::Milestones;
use crate::connection::{Call, Lane};
use crate::keys::{self, Keys};
use crate::lease::{Holds, Stock};
use crate::txn::Cache;
use crate::watch::Hints;

/// All four stores of one cluster, in etcd.
///
/// Clones share its connections; each is woken for every change by itself.
///
/// A handle that finds that its store was wiped, restored or replaced fails every later call with
/// [`StoreChanged`](ErrorKind::StoreChanged), for ever: only opening anew ends that (law 2).
pub struct EtcdStore {
    pub(crate) shared: Arc<Shared>,
    /// Up to which hint this handle was woken, for each area it waited for: a change between two waits is not slept through.
    heard: Mutex<HashMap<String, u64>>,
}

pub(crate) struct Shared {
    pub(crate) cluster: ClusterName,
    pub(crate) keys: Keys,
    pub(crate) identity: Identity,
    /// Heartbeats and renewals, apart from what may keep a connection busy.
    pub(crate) pulse: Lane,
    /// Grants, jobs and documents.
    pub(crate) durable: Lane,
    pub(crate) hints: Arc<Hints>,
    pub(crate) timeout: Duration,
    pub(crate) durability: Durability,
    /// The shortest time to live the servers grant.
    pub(crate) least_ttl: Duration,
    /// The longest that was asked for through this handle, in milliseconds.
    pub(crate) longest_ttl: AtomicU64,
    pub(crate) clock: SystemClock,
    pub(crate) cache: Arc<Cache>,
    pub(crate) holds: Holds,
    pub(crate) stock: Stock,
    /// Whether removals are being dropped from the feed.
    pub(crate) purging: AtomicBool,
    /// Why this handle is of no use any more.
    ended: OnceLock<Error>,
    seen: Mutex<Seen>,
}

/// What tells one store from another that took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// A random id, from when the cluster was begun here.
    pub(crate) store: String,
    /// The revision its record was written at, once and for ever.
    pub(crate) revision: i64,
    /// etcd's own cluster.
    pub(crate) cluster_id: u64,
}

/// What the store has shown.
#[derive(Debug, Default)]
struct Seen {
    /// The highest revision: a lower one later means that the store lost some.
    revision: i64,
    /// The highest terms, by the names of their leases.
    terms: HashMap<String, u64>,
    milestones: Milestones,
}

/// What [`open`](crate::open::open) finds out about a store.
pub(crate) struct Opened {
    pub(crate) cluster: ClusterName,
    pub(crate) keys: Keys,
    pub(crate) identity: Identity,
    pub(crate) pulse: Lane,
    pub(crate) durable: Lane,
    pub(crate) hints: Hints,
    pub(crate) cache: Arc<Cache>,
    pub(crate) timeout: Duration,
    pub(crate) durability: Durability,
    pub(crate) least_ttl: Duration,
    pub(crate) revision: i64,
}

impl EtcdStore {
    pub(crate) fn new(opened: Opened) -> Self {
        let clock = SystemClock::new();
        let mut seen = Seen { revision: opened.revision, ..Seen::default() };
        seen.milestones.pass(opened.revision, clock.now());
        let shared = Shared {
            cluster: opened.cluster,
            keys: opened.keys,
            identity: opened.identity,
            pulse: opened.pulse,
            durable: opened.durable,
            hints: Arc::new(opened.hints),
            timeout: opened.timeout,
            durability: opened.durability,
            least_ttl: opened.least_ttl,
            longest_ttl: AtomicU64::new(0),
            clock,
            cache: opened.cache,
            holds: Holds::default(),
            stock: Stock::default(),
            purging: AtomicBool::new(false),
            ended: OnceLock::new(),
            seen: Mutex::new(seen),
        };
        Self { shared: Arc::new(shared), heard: Mutex::default() }
    }

    /// The cluster this handle is for.
    pub fn cluster(&self) -> &ClusterName {
        &self.shared.cluster
    }

    pub(crate) async fn changed_in(&self, area: &str) -> Result<()> {
        self.shared.alive()?;
        let since = lock(&self.heard).get(area).copied().unwrap_or(0);
        let heard = self.shared.hints.changed(area, since).await;
        self.shared.alive()?;
        lock(&self.heard).insert(area.to_owned(), heard);
        Ok(())
    }
}

impl Clone for EtcdStore {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), heard: Mutex::default() }
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").field("cluster", &self.shared.cluster).finish_non_exhaustive()
    }
}

impl Shared {
    /// Runs a call to its end, or until it has taken too long.
    pub(crate) async fn within<T>(&self, call: &Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.alive()?;
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done.map_err(|error| self.note(error)),
            Err(_) => Err(call.too_late(self.timeout)),
        }
    }

    pub(crate) fn alive(&self) -> Result<()> {
        self.ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Remembers an error that ends this handle.
    fn note(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::StoreChanged {
            tracing::error!(cluster = %self.cluster, %error, "the store is not the one that was opened");
            let _first = self.ended.set(error.clone());
            self.hints.wake_all();
        }
        error
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The highest revision seen: to be asked before a request is sent, so that nothing another call sees meanwhile makes the
    /// answer look old.
    pub(crate) fn revision(&self) -> i64 {
        lock(&self.seen).revision
    }

    /// How old what has this revision is, at least.
    pub(crate) fn age(&self, revision: i64) -> Duration {
        lock(&self.seen).milestones.age(revision, self.now())
    }

    /// Takes in the header of a linearizable answer.
    ///
    /// # Errors
    /// [`StoreChanged`](ErrorKind::StoreChanged) if it is another store's, or an older copy's.
    pub(crate) fn take_in(&self, call: &Call, header: Option<&ResponseHeader>, before: i64) -> Result<i64> {
        let Some(header) = header else {
            return Err(Error::new(ErrorKind::Unavailable, call.operation, "the answer has no header"));
        };
        if header.cluster_id() != self.identity.cluster_id {
            let message = "another etcd cluster answers at this address; open it anew, with a term floor";
            return Err(Error::new(ErrorKind::StoreChanged, call.operation, message));
        }
        let revision = header.revision();
        if revision < before {
            let message = format!(
                "the store's revision went back from {before} to {revision}: it was wiped or restored from an older copy; \
                 open it anew, with a term floor above every term that was in use"
            );
            return Err(Error::new(ErrorKind::StoreChanged, call.operation, message));
        }
        let now = self.now();
        let mut seen = lock(&self.seen);
        seen.revision = seen.revision.max(revision);
        seen.milestones.pass(revision, now);
        Ok(revision)
    }

    /// Why the record of the store's identity is not the one this handle knows; nothing if it is.
    pub(crate) fn judge(&self, call: &Call, meta: Option<&KeyValue>) -> Option<Error> {
        let changed = |message: &str| Some(Error::new(ErrorKind::StoreChanged, call.operation, message));
        let Some(meta) = meta else {
            return changed("the cluster's records are gone from the store; open it anew, with a term floor");
        };
        match keys::text(call.operation, "the store's identity", meta.value()) {
            Err(error) => Some(error),
            Ok(store) if store != self.identity.store => {
                changed("the cluster was begun anew in the store; open it anew, with a term floor")
            }
            Ok(_) if meta.mod_revision() != self.identity.revision => {
                changed("the cluster's records were written back from a copy; open it anew, with a term floor")
            }
            Ok(_) => None,
        }
    }

    /// The highest term this handle was shown under a lease's name: to be asked before a request is sent.
    pub(crate) fn highest_term(&self, name: &str) -> u64 {
        lock(&self.seen).terms.get(name).copied().unwrap_or(0)
    }

    /// Checks that a term has not fallen, and remembers it.
    pub(crate) fn never_falls(&self, call: &Call, name: &str, before: u64, term: u64) -> Result<()> {
        if term < before {
            let message = format!(
                "the term of lease {name} went back from {before} to {term}: the store was restored from an older copy; \
                 open it anew, with a term floor above every term that was in use"
            );
            return Err(Error::new(ErrorKind::StoreChanged, call.operation, message));
        }
        let mut seen = lock(&self.seen);
        let highest = seen.terms.entry(name.to_owned()).or_default();
        *highest = (*highest).max(term);
        Ok(())
    }

    pub(crate) fn asked_for(&self, ttl: Duration) {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.longest_ttl.fetch_max(millis, Ordering::Relaxed);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing behind these locks is left half-written by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
