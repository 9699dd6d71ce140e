//! [`SqlStore`]: one handle on one cluster in one database, and the transactions its traits are made of.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use failover_core::time::{Clock, SystemClock, Time};
use failover_core::{ClusterName, Durability, Error, ErrorKind, LeaseName, Result};

use crate::dialect::{Access, Dialect, Fault, Glance, Lane, Sql, Value, Words};
use crate::fence::FenceWords;
use crate::hot::{Hot, Seen};
use crate::keys::TablePrefix;
use crate::tx::{REVISION, STATE_VERSION, Tx, Work};

/// How long a call keeps trying while others hold the database. Callers that need an answer sooner set their own deadline
/// and drop the call.
const PATIENCE: Duration = Duration::from_secs(10);

/// All four stores of one cluster, in one SQL database.
///
/// Clones share its connections; each is woken for every change by itself.
///
/// A handle that finds that its database was replaced or its terms went backwards fails every later call with
/// [`StoreChanged`](ErrorKind::StoreChanged), for ever: only opening anew ends that (law 2).
pub struct SqlStore {
    pub(crate) shared: Arc<Shared>,
    /// The pulse up to which this handle was woken, for each area it waited for: a change between two waits is not slept
    /// through.
    heard: Mutex<HashMap<String, u64>>,
}

pub(crate) struct Shared {
    pub(crate) cluster: ClusterName,
    pub(crate) sql: Sql,
    /// The same statements without locks: a reader takes none.
    reads: Sql,
    pub(crate) prefix: TablePrefix,
    /// Which store it is, for conditions in a host's own statements.
    pub(crate) identity: StoreIdentity,
    dialect: Box<dyn Dialect>,
    /// The pulse when it was opened.
    opened: u64,
    /// Why this handle is of no use any more.
    ended: OnceLock<Error>,
    /// The highest counters the store has shown, by what they count: a lower one later means that it lost some.
    seen: Mutex<Arc<HashMap<String, u64>>>,
}

/// What tells one store from another that took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreIdentity {
    /// A random id, from when its tables were made.
    pub(crate) store: String,
    /// Whose clock its moments are of.
    pub(crate) clock: String,
}

impl SqlStore {
    pub(crate) fn new(
        dialect: impl Dialect + 'static,
        cluster: ClusterName,
        prefix: TablePrefix,
        identity: StoreIdentity,
        opened: u64,
    ) -> Self {
        let sql = Sql::new(prefix.clone(), dialect.words());
        let reads = Sql::new(prefix.clone(), Words { lock: "", ..dialect.words() });
        let (dialect, ended, seen) = (Box::new(dialect), OnceLock::new(), Mutex::default());
        let shared = Shared { cluster, sql, reads, prefix, identity, dialect, opened, ended, seen };
        Self { shared: Arc::new(shared), heard: Mutex::default() }
    }

    /// The cluster this handle is for.
    pub fn cluster(&self) -> &ClusterName {
        &self.shared.cluster
    }

    pub(crate) async fn changed_in(&self, area: &str) -> Result<()> {
        let shared = &*self.shared;
        shared.alive()?;
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(area).copied();
        let since = heard.unwrap_or(shared.opened);
        let pulse = shared.dialect.changed(area, since).await.map_err(|e| shared.note(e))?;
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(area.to_owned(), pulse);
        Ok(())
    }

    /// Runs a write transaction, again and again while others are in its way.
    pub(crate) async fn write<'a, T: Send>(
        &'a self,
        operation: &'static str,
        lane: Lane,
        work: impl for<'t> FnMut(&'t mut Tx<'a>) -> Work<'t, T> + Send,
    ) -> Result<T> {
        self.transact(operation, lane, Access::Write, work).await
    }

    /// Runs a read transaction: one consistent view of all that it reads.
    pub(crate) async fn read<'a, T: Send>(
        &'a self,
        operation: &'static str,
        lane: Lane,
        work: impl for<'t> FnMut(&'t mut Tx<'a>) -> Work<'t, T> + Send,
    ) -> Result<T> {
        self.transact(operation, lane, Access::Read, work).await
    }

    async fn transact<'a, T: Send>(
        &'a self,
        operation: &'static str,
        lane: Lane,
        access: Access,
        mut work: impl for<'t> FnMut(&'t mut Tx<'a>) -> Work<'t, T> + Send,
    ) -> Result<T> {
        let shared = &*self.shared;
        // Whether a write may have been applied, if this has to be given up.
        let asked = AtomicBool::new(false);
        let insisting = async {
            let mut patience = shared.patience();
            loop {
                shared.alive()?;
                match shared.attempt(operation, lane, access, &mut work, &asked).await {
                    Ok(answer) => return Ok(answer),
                    Err(Fault::Failed(error)) => return Err(shared.note(error)),
                    Err(Fault::Busy(error)) => patience.wait(operation, error).await?,
                }
            }
        };
        shared.in_time(operation, &asked, insisting).await
    }

    /// Tells whether a lease is held through this handle: a hint for those who wait for its end.
    pub(crate) fn holds(&self, name: &LeaseName, held: bool) {
        self.shared.dialect.holds(name, held);
    }

    /// Does a hot operation in one statement, where the database has one for it. `None` if nothing was touched: then the long
    /// way is to be gone.
    pub(crate) async fn shortcut(&self, operation: &'static str, of: Hot<'_>) -> Result<Option<u64>> {
        let shared = &*self.shared;
        let asked = AtomicBool::new(true);
        let insisting = async {
            let mut patience = shared.patience();
            loop {
                shared.alive()?;
                match shared.dialect.shortcut(operation, &of).await {
                    Ok(answer) => return Ok(answer),
                    Err(Fault::Failed(error)) => return Err(shared.note(error)),
                    Err(Fault::Busy(error)) => patience.wait(operation, error).await?,
                }
            }
        };
        shared.in_time(operation, &asked, insisting).await
    }

    /// Runs a single query, where the database does that for less than a transaction; see [`Dialect::glance`].
    pub(crate) async fn glance(
        &self,
        operation: &'static str,
        lane: Lane,
        template: &'static str,
        args: Vec<Value>,
    ) -> Result<Option<Glance>> {
        let shared = &*self.shared;
        let asked = AtomicBool::new(false);
        let sql = shared.reads.get(template);
        let insisting = async {
            let mut patience = shared.patience();
            loop {
                shared.alive()?;
                match shared.dialect.glance(operation, lane, &sql, &args).await {
                    Ok(answer) => return Ok(answer),
                    Err(Fault::Failed(error)) => return Err(shared.note(error)),
                    Err(Fault::Busy(error)) => patience.wait(operation, error).await?,
                }
            }
        };
        shared.in_time(operation, &asked, insisting).await
    }

    /// The highest counters this handle was shown, with that of one lease.
    pub(crate) fn seen(&self, term: &str) -> Seen {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = |counter: &str| seen.get(counter).copied().unwrap_or(0);
        Seen { term: highest(term), revision: highest(REVISION), state_version: highest(STATE_VERSION) }
    }

    /// Remembers a counter that was shown outside of a transaction of [`Tx`].
    pub(crate) fn shown(&self, counter: String, value: u64) {
        self.shared.remember(vec![(counter, value)]);
    }

    pub(crate) fn declared(&self) -> Durability {
        self.shared.dialect.durability()
    }
}

/// How long others may be in the way.
struct Patience {
    clock: SystemClock,
    ends: Time,
}

impl Patience {
    /// Waits a moment, unless it is at its end: then that is the error.
    async fn wait(&mut self, operation: &'static str, error: Error) -> Result<()> {
        if self.clock.now() >= self.ends {
            return Err(error);
        }
        // Different for everybody, so that those who collided do not collide again.
        let jitter = RandomState::new().hash_one(operation) % 8;
        tokio::time::sleep(Duration::from_millis(1 + jitter)).await;
        Ok(())
    }
}

impl Clone for SqlStore {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), heard: Mutex::default() }
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("cluster", &self.shared.cluster).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn fence_words(&self) -> FenceWords {
        self.dialect.fence_words()
    }

    pub(crate) fn words(&self) -> Words {
        self.dialect.words()
    }

    fn patience(&self) -> Patience {
        let clock = SystemClock::new();
        let ends = clock.now() + self.dialect.timeout().unwrap_or(PATIENCE);
        Patience { clock, ends }
    }

    /// Ends a call that takes longer than it may. Its connection is dropped with it, and never used again.
    async fn in_time<T>(
        &self,
        operation: &'static str,
        asked: &AtomicBool,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(limit) = self.dialect.timeout() else { return call.await };
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_elapsed| {
            let kind = if asked.load(Ordering::Relaxed) { ErrorKind::Unknown } else { ErrorKind::Unavailable };
            let message =
                format!("no answer within {limit:?}: look at the server, the way to it, and what holds its locks");
            Err(Error::new(kind, operation, message))
        })
    }

    async fn attempt<'a, T: Send>(
        &'a self,
        operation: &'static str,
        lane: Lane,
        access: Access,
        work: &mut (impl for<'t> FnMut(&'t mut Tx<'a>) -> Work<'t, T> + Send),
        asked: &AtomicBool,
    ) -> Result<T, Fault> {
        // Taken before the transaction's view of the store is, so that nothing this handle sees meanwhile makes it look old.
        let seen = Arc::clone(&self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let session = self.dialect.begin(operation, lane, access).await?;
        let sql = if access == Access::Read { &self.reads } else { &self.sql };
        let mut tx = Tx::new(session, sql, self.cluster.as_str(), self.dialect.words(), operation, seen);
        match work(&mut tx).await {
            Ok(answer) => {
                asked.store(access == Access::Write, Ordering::Relaxed);
                let shown = tx.commit().await?;
                self.remember(shown);
                Ok(answer)
            }
            Err(fault) => {
                tx.rollback().await;
                asked.store(false, Ordering::Relaxed);
                Err(fault)
            }
        }
    }

    fn remember(&self, shown: Vec<(String, u64)>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (counter, value) in shown {
            if seen.get(&counter).is_none_or(|highest| *highest < value) {
                Arc::make_mut(&mut seen).insert(counter, value);
            }
        }
    }

    fn alive(&self) -> Result<()> {
        self.ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Remembers an error that ends this handle.
    fn note(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::StoreChanged {
            let _first = self.ended.set(error.clone());
        }
        error
    }
}
