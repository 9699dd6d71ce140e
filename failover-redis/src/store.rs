//! [`RedisStore`]: one handle on one cluster, and what it knows of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use failover_core::{ClusterName, Durability, Error, ErrorKind, LeaseName, Result};

use crate::durability::declared;
use crate::keys::Keys;
use crate::link::Link;
use crate::options::RedisOptions;
use crate::renewals::Renewals;
use crate::router::Router;
use crate::scripts::{Lane, Scripts};
use crate::watch::Watcher;

/// All four stores of one cluster, in one Redis server, a set of them under Sentinel, or a Redis cluster.
///
/// Clones share its connections; each is woken for every change by itself. Open it and use it inside one tokio runtime.
///
/// A handle that finds that its store was wiped, replaced or went back to an older state fails every later call with
/// [`StoreChanged`](ErrorKind::StoreChanged), for ever: only opening anew ends that (law 2).
pub struct RedisStore {
    pub(crate) shared: Arc<Shared>,
    /// The pulse up to which this handle was woken, for each area it waited for: a change between two waits is not slept
    /// through.
    heard: Mutex<HashMap<String, u64>>,
}

pub(crate) struct Shared {
    cluster: ClusterName,
    pub(crate) keys: Keys,
    pub(crate) options: RedisOptions,
    pub(crate) router: Router,
    pub(crate) scripts: Scripts,
    /// Which store it is, from when the cluster was made in it.
    pub(crate) identity: OnceLock<String>,
    pulse: Link,
    durable: Link,
    durability: OnceLock<Durability>,
    /// The longest that was asked for through this handle, in microseconds.
    pub(crate) longest_ttl: AtomicU64,
    /// Why this handle is of no use any more.
    ended: OnceLock<Error>,
    /// The server's run that was taught the scripts last.
    taught: Mutex<String>,
    seen: Mutex<Seen>,
    pub(crate) renewals: Renewals,
    watcher: Watcher,
}

/// The highest counters the store has shown: lower ones later mean that it lost some.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) revision: u64,
    pub(crate) version: u64,
    terms: HashMap<LeaseName, u64>,
}

impl Seen {
    pub(crate) fn term(&self, name: &LeaseName) -> u64 {
        self.terms.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn saw_term(&mut self, name: &LeaseName, term: u64) {
        let highest = self.terms.entry(name.clone()).or_default();
        *highest = term.max(*highest);
    }

    pub(crate) fn saw_revision(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    pub(crate) fn saw_version(&mut self, version: u64) {
        self.version = self.version.max(version);
    }
}

impl RedisStore {
    pub(crate) async fn open(options: &RedisOptions, cluster: &ClusterName) -> Result<Self> {
        let shared = Shared {
            cluster: cluster.clone(),
            keys: Keys::new(&options.prefix, cluster),
            options: options.clone(),
            router: Router::new(options)?,
            scripts: Scripts::new(),
            identity: OnceLock::new(),
            pulse: Link::default(),
            durable: Link::default(),
            durability: OnceLock::new(),
            longest_ttl: AtomicU64::new(0),
            ended: OnceLock::new(),
            taught: Mutex::default(),
            seen: Mutex::default(),
            renewals: Renewals::default(),
            watcher: Watcher::default(),
        };
        let within = options.timeout;
        let connection = tokio::time::timeout(within, shared.connect("open")).await.map_err(|_| {
            let message = format!("nobody answered within {within:?}: see that the servers run, or raise `timeout`");
            Error::new(ErrorKind::Unavailable, "open", message)
        })??;
        shared.durability.get_or_init(|| declared(&connection.facts, options));
        shared.durable.put(&Arc::new(connection));
        Ok(Self { shared: Arc::new(shared), heard: Mutex::default() })
    }

    /// Waits until an area has changed since this handle was last woken for it. The first time it completes as soon as
    /// the changes are listened to: whoever then looks misses none.
    pub(crate) async fn changed_in(&self, area: &str) -> Result<()> {
        self.shared.alive()?;
        let since = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(area).copied().unwrap_or(0);
        let pulse = self.shared.watcher.changed(&self.shared, area, since).await?;
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(area.to_owned(), pulse);
        Ok(())
    }
}

impl Clone for RedisStore {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), heard: Mutex::default() }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("cluster", &self.shared.cluster).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn link(&self, lane: Lane) -> &Link {
        match lane {
            Lane::Pulse => &self.pulse,
            Lane::Durable => &self.durable,
        }
    }

    /// Takes all connections out of use: their server is not the right one any more.
    pub(crate) fn disconnect(&self) {
        self.pulse.clear();
        self.durable.clear();
    }

    /// Whether this run of a server has to be taught the scripts; then the caller does, and nobody else.
    pub(crate) fn teaches(&self, run: &str) -> bool {
        let mut taught = self.taught.lock().unwrap_or_else(PoisonError::into_inner);
        let new = *taught != run;
        if new {
            run.clone_into(&mut taught);
        }
        new
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability.get().copied().unwrap_or(Durability::Volatile)
    }

    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alive(&self) -> Result<()> {
        self.ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Remembers an error that ends this handle, and wakes who waits: there is nothing left to wait for.
    pub(crate) fn note(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::StoreChanged && self.ended.set(error.clone()).is_ok() {
            self.watcher.end(error.clone());
        }
        error
    }
}
