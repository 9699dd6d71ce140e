//! Transactions on the file: [`Dialect`] and [`Session`] for `SQLite`.

use std::sync::Arc;

use async_trait::async_trait;
use failover_core::{Error, ErrorKind, Result};
use sqlx::SqliteConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::classify::{Stage, classify};
use super::clock;
use super::connection::{self, Missing, Purpose, connect};
use super::fence::FENCE;
use super::file::DatabaseFile;
use super::watch::Watcher;
use crate::dialect::{Access, Dialect, Fault, Lane, Row, Save, Session, Sql, Value, Words, args};
use crate::fence::FenceWords;
use crate::schema;
use crate::store::StoreIdentity;

/// A job's name, and what moves and reports change of its row.
macro_rules! one {
    () => {
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

macro_rules! ten_of {
    ($some:expr) => {
        concat!(
            $some, ", ", $some, ", ", $some, ", ", $some, ", ", $some, ", ", $some, ", ", $some, ", ", $some, ", ",
            $some, ", ", $some
        )
    };
}

/// Bound one by one, and not as JSON, which is parsed again for each column. Materialized, so that it is looked through once, and not
/// for each job that the cluster has.
macro_rules! save {
    ($rows:expr) => {
        concat!(
            "WITH v (job, revision, epoch, phase, owner, incarnation, retiring, failures, detail, course, runs) AS MATERIALIZED (VALUES ",
            $rows,
            ") UPDATE {jobs} SET revision = v.revision, epoch = v.epoch, phase = v.phase, owner = v.owner, \
             incarnation = v.incarnation, retiring = v.retiring, failures = v.failures, detail = v.detail, course = v.course, \
             runs = v.runs FROM v WHERE {jobs}.cluster = ? AND {jobs}.job = v.job"
        )
    };
}

/// `SQLite` locks the whole file, in [`Access::Write`] from the beginning on.
pub(super) const WORDS: Words = Words {
    lock: "",
    or_ignore: "ON CONFLICT DO NOTHING",
    // Numbered ones are names to it, which are looked up one after the other for each value.
    placeholder: |_| "?".to_owned(),
    among: "IN (SELECT value FROM json_each(?))",
    job_rows: "(SELECT value->>'job' AS job, value->>'revision' AS revision, value->>'epoch' AS epoch FROM json_each(?)) AS v",
    save_jobs: Save::Bound(&[(100, save!(ten_of!(ten_of!(one!())))), (10, save!(ten_of!(one!()))), (1, save!(one!()))]),
    save_jobs_and_revision: None,
};

type Place = OwnedMutexGuard<Option<SqliteConnection>>;

/// The file and its connections. A place is empty while its connection is in a transaction, and stays so if that was not
/// brought to its end: the connection is closed, which rolls it back, and the next one opens another.
pub(super) struct Database {
    pub(super) file: Arc<DatabaseFile>,
    pub(super) identity: StoreIdentity,
    pub(super) sql: Sql,
    pulse: Arc<Mutex<Option<SqliteConnection>>>,
    durable: Arc<Mutex<Option<SqliteConnection>>>,
    watch: Arc<Mutex<Option<SqliteConnection>>>,
}

impl Database {
    pub(super) fn new(file: DatabaseFile, identity: StoreIdentity, sql: Sql, durable: SqliteConnection) -> Self {
        let (pulse, watch) = (Arc::default(), Arc::default());
        Self { file: Arc::new(file), identity, sql, pulse, durable: Arc::new(Mutex::new(Some(durable))), watch }
    }

    /// Begins a transaction, `IMMEDIATE` if it writes: one that began reading and then wants to write is refused without
    /// waiting, whatever the busy timeout, when another has written meanwhile.
    pub(super) async fn begin(
        &self,
        operation: &'static str,
        purpose: Purpose,
        access: Access,
    ) -> Result<SqliteSession, Fault> {
        let place = match purpose {
            Purpose::Pulse => &self.pulse,
            Purpose::Durable => &self.durable,
            Purpose::Watch => &self.watch,
        };
        let place = Arc::clone(place).lock_owned().await;
        self.check_file(operation, Touch::No).await?;
        let (mut place, mut connection) = self.connection(operation, purpose, place).await?;
        // Before the view of the store is taken, so that no age is overstated; a writer takes it again under the lock.
        let mut now = clock::now();
        let begin = match access {
            Access::Read => "BEGIN",
            Access::Write => "BEGIN IMMEDIATE",
        };
        if let Err(error) = connection::run(&mut connection, begin.into(), args![]).await {
            let fault = classify(operation, Stage::Before, error);
            if matches!(fault, Fault::Busy(_)) {
                *place = Some(connection);
            }
            return Err(fault);
        }
        if access == Access::Write {
            now = clock::now();
        }
        let file = Arc::clone(&self.file);
        let mut session = SqliteSession { operation, connection, place, file, now, hint: self.hint_statements() };
        self.check_store(&mut session).await?;
        Ok(session)
    }

    /// Takes the connection out of its place, or opens one. That is done in a task which keeps the place until it has ended,
    /// also when the caller gives up: against a disk that hangs, there is never more than one attempt for each place.
    async fn connection(
        &self,
        operation: &'static str,
        purpose: Purpose,
        mut place: Place,
    ) -> Result<(Place, SqliteConnection), Fault> {
        if let Some(connection) = place.take() {
            return Ok((place, connection));
        }
        let file = Arc::clone(&self.file);
        let opening = tokio::spawn(async move {
            let opened = connect(operation, file.path(), purpose, Missing::Refuse).await;
            opened.map(|connection| (place, connection))
        });
        opening.await.unwrap_or_else(|e| {
            let message = "no connection could be opened, because the runtime is shutting down";
            Err(Error::new(ErrorKind::Unavailable, operation, message).with_source(e).into())
        })
    }

    fn hint_statements(&self) -> HintStatements {
        HintStatements {
            pulse: self.sql.get("UPDATE {clusters} SET pulse = pulse + 1 WHERE cluster = ?"),
            area: self.sql.get(
                "INSERT INTO {hints} (cluster, area, pulse) \
                 VALUES (?, ?, (SELECT c.pulse FROM {clusters} c WHERE c.cluster = ?)) \
                 ON CONFLICT (cluster, area) DO UPDATE SET pulse = excluded.pulse",
            ),
        }
    }

    /// Reads the store's own row: every transaction does, so that nobody goes on with a store that is not the one it opened.
    async fn check_store(&self, session: &mut SqliteSession) -> Result<(), Fault> {
        let operation = session.operation;
        let rows = session.rows(self.sql.get("SELECT version, store, clock FROM {meta} WHERE id = 1"), args![]).await?;
        let changed = |message: String| Fault::Failed(Error::new(ErrorKind::StoreChanged, operation, message));
        let Some(row) = rows.first() else {
            return Err(changed(
                "the store's own row is gone from the database: open it anew, with a term floor".into(),
            ));
        };
        let version = row.number(0)?;
        if version > schema::VERSION {
            let message = schema::too_new(version, self.sql.prefix());
            return Err(Error::new(ErrorKind::TooNew, operation, message).into());
        }
        if row.text(1)? != self.identity.store {
            let message = "the database holds another store than the one this node opened: it was replaced or made anew; \
                           restart the node, with a term floor";
            return Err(changed(message.into()));
        }
        let clock = row.text(2)?;
        if clock != self.identity.clock {
            let message = format!(
                "the file is used from another host or time namespace, whose clock is `{clock}`; this node's is `{}`. A SQLite \
                 file serves the processes of one host only: give each host a store that all of them can reach",
                self.identity.clock
            );
            return Err(changed(message));
        }
        Ok(())
    }

    /// A number that another connection's commit changes, read from shared memory. Nothing if it cannot be read.
    pub(super) async fn data_version(&self) -> Option<i64> {
        let mut place = self.watch.lock().await;
        let rows = connection::rows(place.as_mut()?, "PRAGMA data_version".into(), args![]).await;
        match rows.ok()?.first()?.first()? {
            Value::Int(version) => Some(*version),
            _ => None,
        }
    }

    pub(super) async fn check_file(&self, operation: &'static str, touch: Touch) -> Result<(), Error> {
        check_file(&self.file, operation, touch).await
    }
}

/// Whether to give a hint along with the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    Yes,
    No,
}

/// On a thread of its own: a file system that hangs must not hang the caller's runtime.
async fn check_file(file: &Arc<DatabaseFile>, operation: &'static str, touch: Touch) -> Result<(), Error> {
    let file = Arc::clone(file);
    let checked = tokio::task::spawn_blocking(move || {
        if touch == Touch::Yes {
            file.touch();
        }
        file.check(operation)
    });
    checked.await.unwrap_or_else(|e| {
        let message = "the file could not be looked at, because the runtime is shutting down";
        Err(Error::new(ErrorKind::Unavailable, operation, message).with_source(e))
    })
}

struct HintStatements {
    pulse: Arc<str>,
    area: Arc<str>,
}

/// A transaction. Dropped without an end, its connection is closed, which rolls it back.
pub(super) struct SqliteSession {
    operation: &'static str,
    connection: SqliteConnection,
    place: Place,
    file: Arc<DatabaseFile>,
    now: i64,
    hint: HintStatements,
}

#[async_trait]
impl Session for SqliteSession {
    async fn now(&mut self) -> Result<i64, Fault> {
        Ok(self.now)
    }

    async fn rows(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<Vec<Row>, Fault> {
        let operation = self.operation;
        let rows = connection::rows(&mut self.connection, sql, args).await;
        let rows = rows.map_err(|e| classify(operation, Stage::Before, e))?;
        Ok(rows.into_iter().map(|values| Row { operation, values }).collect())
    }

    async fn run(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<u64, Fault> {
        let done = connection::run(&mut self.connection, sql, args).await;
        done.map_err(|e| classify(self.operation, Stage::Before, e))
    }

    async fn commit(mut self: Box<Self>, cluster: &str, areas: &[String]) -> Result<(), Fault> {
        if !areas.is_empty() {
            self.run(Arc::clone(&self.hint.pulse), args![cluster]).await?;
        }
        for area in areas {
            self.run(Arc::clone(&self.hint.area), args![cluster, area.as_str(), cluster]).await?;
        }
        let Self { operation, mut connection, mut place, file, .. } = *self;
        let done = connection::run(&mut connection, "COMMIT".into(), args![]).await;
        done.map_err(|e| classify(operation, Stage::Commit, e))?;
        *place = Some(connection);
        drop(place);
        // A file that was taken away meanwhile has taken this commit with it.
        let touch = if areas.is_empty() { Touch::No } else { Touch::Yes };
        check_file(&file, operation, touch).await.map_err(|error| {
            // If it cannot even be looked at, it is not known to be the one that was written to.
            let unknown = error.kind() == ErrorKind::Unavailable;
            if unknown {
                Error::new(ErrorKind::Unknown, operation, error.to_string()).with_source(error)
            } else {
                error
            }
        })?;
        Ok(())
    }

    async fn rollback(self: Box<Self>) {
        let Self { mut connection, mut place, .. } = *self;
        if connection::run(&mut connection, "ROLLBACK".into(), args![]).await.is_ok() {
            *place = Some(connection);
        }
    }
}

/// `SQLite`, for the traits.
pub(super) struct Sqlite {
    pub(super) database: Arc<Database>,
    pub(super) watcher: Watcher,
}

#[async_trait]
impl Dialect for Sqlite {
    async fn begin(&self, operation: &'static str, lane: Lane, access: Access) -> Result<Box<dyn Session>, Fault> {
        let purpose = match lane {
            Lane::Pulse => Purpose::Pulse,
            Lane::Durable => Purpose::Durable,
        };
        Ok(Box::new(self.database.begin(operation, purpose, access).await?))
    }

    async fn changed(&self, area: &str, since: u64) -> Result<u64, Error> {
        self.watcher.changed(&self.database, area, since).await
    }

    fn words(&self) -> Words {
        WORDS
    }

    fn fence_words(&self) -> FenceWords {
        FENCE
    }
}
