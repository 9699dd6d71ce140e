//! Opening: the file, the journal, the schema, the clock, the cluster's row.
//!
//! Any number of processes may do this to a fresh file at once. Each step is harmless to repeat, and all that is written, is
//! written in one transaction: a crash or a full disk leaves nothing half-made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use failover_core::{ClusterName, Error, ErrorKind, Result};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::classify::{Stage, classify};
use super::clock;
use super::connection::{self, Missing, Purpose, connect};
use super::file::{self, DatabaseFile};
use super::options::SqliteOptions;
use super::session::{Database, Sqlite, WORDS};
use super::watch::Watcher;
use crate::dialect::{Fault, Row, Sql, Value, args};
use crate::schema;
use crate::store::{SqlStore, StoreIdentity};

const SCHEMA: &str = include_str!("../schema/sqlite.sql");

/// How long an opening keeps trying while others hold the file.
const PATIENCE: Duration = Duration::from_secs(30);

/// The operation's name in errors.
const OPEN: &str = "open";

pub(super) async fn open(options: &SqliteOptions, cluster: &ClusterName) -> Result<SqlStore> {
    let path = on_a_thread({
        let options = options.clone();
        move || file::prepare(&options)
    })
    .await?;
    let clock = SystemClock::new();
    let give_up = clock.now() + PATIENCE;
    loop {
        match attempt(&path, options, cluster).await {
            Ok(store) => return Ok(store),
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Busy(error)) if clock.now() >= give_up => return Err(error),
            // The switch to WAL needs the file for itself and does not wait for it.
            Err(Fault::Busy(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(Error::new(ErrorKind::Unavailable, OPEN, "the runtime is shutting down").with_source(e))
    })
}

async fn attempt(path: &Path, options: &SqliteOptions, cluster: &ClusterName) -> Result<SqlStore, Fault> {
    let missing = if options.creates() { Missing::Create } else { Missing::Refuse };
    let connection = connect(OPEN, path, Purpose::Durable, missing).await?;
    let mut opening = Opening { connection, sql: Sql::new(options.table_prefix().clone(), WORDS) };
    opening.use_wal(path).await?;
    let path: PathBuf = path.to_owned();
    let file = on_a_thread(move || DatabaseFile::remember(&path)).await?;
    opening.run("BEGIN IMMEDIATE", args![]).await?;
    opening.make_schema().await?;
    let identity = opening.settle_identity().await?;
    let pulse = opening.settle_cluster(cluster, options.floor().0).await?;
    let committed = opening.run("COMMIT", args![]).await;
    committed?;
    let Opening { connection, sql } = opening;
    let database = Database::new(file, identity.clone(), sql, connection);
    // The file may have been replaced after the connection had opened it and before it was remembered; then the first
    // transaction finds another store in it, or none.
    database.check_file(OPEN, super::session::Touch::No).await?;
    let watcher = Watcher::new(cluster.clone(), pulse);
    let dialect = Sqlite { database: database.into(), watcher };
    Ok(SqlStore::new(dialect, cluster.clone(), options.table_prefix().clone(), identity, pulse))
}

/// A connection on which a store is being opened. Dropped before its commit, it leaves nothing.
struct Opening {
    connection: SqliteConnection,
    sql: Sql,
}

impl Opening {
    async fn run(&mut self, template: &'static str, args: Vec<Value>) -> Result<u64, Fault> {
        let stage = if template == "COMMIT" { Stage::Commit } else { Stage::Before };
        let done = connection::run(&mut self.connection, self.sql.get(template), args).await;
        done.map_err(|e| classify(OPEN, stage, e))
    }

    async fn row(&mut self, template: &'static str, args: Vec<Value>) -> Result<Option<Row>, Fault> {
        let rows = connection::rows(&mut self.connection, self.sql.get(template), args).await;
        let mut rows = rows.map_err(|e| classify(OPEN, Stage::Before, e))?;
        Ok(rows.pop().map(|values| Row { operation: OPEN, values }))
    }

    async fn use_wal(&mut self, path: &Path) -> Result<(), Fault> {
        let mode = self.row("PRAGMA journal_mode = WAL", args![]).await?;
        if mode.as_ref().is_some_and(|row| row.text(0).is_ok_and(|mode| mode.eq_ignore_ascii_case("wal"))) {
            return Ok(());
        }
        let message = format!(
            "{} cannot be used with a write-ahead log, which needs shared memory: put it on a local file system",
            path.display()
        );
        Err(Error::new(ErrorKind::Unavailable, OPEN, message).into())
    }

    /// Makes the tables that are missing, unless they are of a newer schema: then nothing is touched.
    async fn make_schema(&mut self) -> Result<(), Fault> {
        let meta = self.sql.render("{meta}");
        let exists = self.row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", args![meta]).await?;
        if exists.is_some() {
            let row = self.row("SELECT version FROM {meta} WHERE id = 1", args![]).await?;
            if let Some(version) = row.map(|row| row.number(0)).transpose()?.filter(|v| *v > schema::VERSION) {
                let message = schema::too_new(version, self.sql.prefix());
                return Err(Error::new(ErrorKind::TooNew, OPEN, message).into());
            }
        }
        for statement in schema::statements(SCHEMA, self.sql.prefix()) {
            let done = connection::run(&mut self.connection, statement.into(), args![]).await;
            done.map_err(|e| classify(OPEN, Stage::Before, e))?;
        }
        Ok(())
    }

    /// Which store this is. If its moments are of another clock, the host was restarted since: every lease and reservation
    /// then gets its whole time again and every heartbeat is new. Nobody is left to renew them, and longer is safe.
    async fn settle_identity(&mut self) -> Result<StoreIdentity, Fault> {
        let clock = on_a_thread(clock::identity).await?;
        self.run(
            "INSERT INTO {meta} (id, version, store, clock) VALUES (1, ?, ?, ?) {or_ignore}",
            args![schema::VERSION, Uuid::now_v7().to_string(), clock.as_str()],
        )
        .await?;
        let now = clock::now();
        let row = self
            .row(
                "SELECT store, clock, \
                    EXISTS (SELECT 1 FROM {leases} WHERE ends - lasts > ?) OR EXISTS (SELECT 1 FROM {heartbeats} WHERE seen > ?) \
                 FROM {meta} WHERE id = 1",
                args![now, now],
            )
            .await?;
        let Some(row) = row else {
            return Err(Error::new(ErrorKind::Corrupt, OPEN, "the store's own row cannot be kept").into());
        };
        let store = row.text(0)?.to_owned();
        // Moments in the future are of another clock too: one whose identity is not known to change.
        if row.text(1)? != clock || row.int(2)? != 0 {
            tracing::info!(
                "the host was restarted since the store was last used: all leases get their whole time again"
            );
            self.run("UPDATE {meta} SET clock = ? WHERE id = 1", args![clock.as_str()]).await?;
            self.run(
                "UPDATE {leases} SET ends = ? + lasts WHERE holder IS NOT NULL OR successor IS NOT NULL",
                args![now],
            )
            .await?;
            self.run("UPDATE {leases} SET ends = 0, lasts = 0 WHERE holder IS NULL AND successor IS NULL", args![])
                .await?;
            self.run("UPDATE {heartbeats} SET seen = ?", args![now]).await?;
        }
        Ok(StoreIdentity { store, clock })
    }

    /// The cluster's row and its pulse.
    async fn settle_cluster(&mut self, cluster: &ClusterName, floor: u64) -> Result<u64, Fault> {
        self.run("INSERT INTO {clusters} (cluster) VALUES (?) {or_ignore}", args![cluster.as_str()]).await?;
        self.run(
            "UPDATE {clusters} SET term_floor = ?, epoch_floor = MAX(epoch_floor, ?) WHERE cluster = ? AND term_floor < ?",
            args![floor, floor, cluster.as_str(), floor],
        )
        .await?;
        let row = self.row("SELECT pulse FROM {clusters} WHERE cluster = ?", args![cluster.as_str()]).await?;
        Ok(row.map(|row| row.number(0)).transpose()?.unwrap_or(0))
    }
}
