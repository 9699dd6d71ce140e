//! [`SqlStore`]: one handle on one cluster in one database, and the transactions its traits are made of.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use failover_core::time::{Clock, SystemClock, Time};
use failover_core::{ClusterName, Durability, Error, ErrorKind, Result};

use crate::dialect::{Access, Dialect, Fault, Glance, Hot, Lane, Row, Seen, Session, Sql, Value, Words};
use crate::fence::FenceWords;
use crate::keys::TablePrefix;

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
        let mut tx = Tx { session, sql, store: self, operation, areas: BTreeSet::new(), seen, shown: Vec::new() };
        match work(&mut tx).await {
            Ok(answer) => {
                let Tx { session, areas, seen, shown, .. } = tx;
                drop(seen);
                let areas: Vec<String> = areas.into_iter().collect();
                asked.store(access == Access::Write, Ordering::Relaxed);
                session.commit(self.cluster.as_str(), &areas).await?;
                self.remember(shown);
                Ok(answer)
            }
            Err(fault) => {
                tx.session.rollback().await;
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

/// The future of a transaction's work.
pub(crate) type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 't>>;

/// A transaction on behalf of one cluster.
///
/// `'a` is the lifetime of what the work borrows: it bounds the `'t` of [`Work`], so that a closure may borrow its arguments.
pub(crate) struct Tx<'a> {
    session: Box<dyn Session>,
    sql: &'a Sql,
    store: &'a Shared,
    operation: &'static str,
    areas: BTreeSet<String>,
    seen: Arc<HashMap<String, u64>>,
    shown: Vec<(String, u64)>,
}

impl Tx<'_> {
    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    pub(crate) fn words(&self) -> Words {
        self.store.dialect.words()
    }

    /// The cluster's name, to be bound: it leads every primary key, so several clusters share a database.
    pub(crate) fn cluster(&self) -> &str {
        self.store.cluster.as_str()
    }

    pub(crate) async fn now(&mut self) -> Result<i64, Fault> {
        self.session.now().await
    }

    pub(crate) async fn rows(&mut self, template: &'static str, args: Vec<Value>) -> Result<Vec<Row>, Fault> {
        self.session.rows(self.sql.get(template), args).await
    }

    pub(crate) async fn row(&mut self, template: &'static str, args: Vec<Value>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(template, args).await?.pop())
    }

    pub(crate) async fn run(&mut self, template: &'static str, args: Vec<Value>) -> Result<u64, Fault> {
        self.session.run(self.sql.get(template), args).await
    }

    /// The cluster's own row: its counters and floors, locked in a write transaction.
    pub(crate) async fn counters(&mut self) -> Result<Counters, Fault> {
        let cluster = self.cluster().to_owned();
        let row = self
            .row(
                "SELECT term_floor, revision, epoch_floor, feed_floor, state_version FROM {clusters} WHERE cluster = ? {lock}",
                vec![cluster.into()],
            )
            .await?;
        let Some(row) = row else {
            let message = "the cluster's row is gone from the database: somebody emptied its tables; open it anew, with a term floor";
            return Err(Error::new(ErrorKind::StoreChanged, self.operation, message).into());
        };
        let counters = Counters {
            term_floor: row.number(0)?,
            revision: row.number(1)?,
            epoch_floor: row.number(2)?,
            feed_floor: row.number(3)?,
            state_version: row.number(4)?,
        };
        self.never_falls(REVISION, counters.revision)?;
        self.never_falls(STATE_VERSION, counters.state_version)?;
        Ok(counters)
    }

    /// Announces a change in an area when this transaction commits.
    pub(crate) fn hint(&mut self, area: impl Into<String>) {
        self.areas.insert(area.into());
    }

    /// Checks that a counter the store shows has not fallen since this handle last saw it: a database that was restored
    /// from a copy in place keeps its identity, and only this tells (law 2).
    pub(crate) fn never_falls(&mut self, counter: &str, value: u64) -> Result<(), Fault> {
        match self.seen.get(counter) {
            Some(highest) if value < *highest => {
                let message = format!(
                    "{counter} went back from {highest} to {value}: the database was restored from an older copy; \
                     open it anew, with a term floor above every term that was in use"
                );
                Err(Error::new(ErrorKind::StoreChanged, self.operation, message).into())
            }
            _ => {
                self.shown.push((counter.to_owned(), value));
                Ok(())
            }
        }
    }

    /// Remembers a counter this transaction raised, once it has committed.
    pub(crate) fn raised(&mut self, counter: &str, value: u64) {
        self.shown.push((counter.to_owned(), value));
    }
}

/// The name under which a handle remembers the highest revision it was shown.
pub(crate) const REVISION: &str = "the revision of the jobs";
/// The name under which a handle remembers the highest document version it was shown.
pub(crate) const STATE_VERSION: &str = "the version of the documents";

/// A cluster's counters and floors. None ever falls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) term_floor: u64,
    pub(crate) revision: u64,
    pub(crate) epoch_floor: u64,
    pub(crate) feed_floor: u64,
    pub(crate) state_version: u64,
}
