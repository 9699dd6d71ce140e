//! Opening: the server and its settings, the schema, whose clock it is, the cluster's row.
//!
//! Any number of processes may do this at once on an empty database. DDL commits by itself, so the tables are made first, each
//! statement harmless to repeat, and the store's own row last: where it is, all is.

use std::sync::Arc;
use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use failover_core::{ClusterName, Error, ErrorKind, Invalid, Result};
use sqlx::MySqlConnection;
use uuid::Uuid;

use super::bell::Ringer;
use super::classify::{Stage, classify};
use super::options::MysqlOptions;
use super::server::Server;
use super::session::{Database, Mysql, WORDS, clock_of};
use super::target::Target;
use super::watch::Watcher;
use super::{connection, now};
use crate::dialect::{Fault, Row, Sql, Value, args};
use crate::schema;
use crate::store::{SqlStore, StoreIdentity};

const SCHEMA: &str = include_str!("../schema/mysql.sql");

/// How long an opening keeps trying while others hold the tables.
const PATIENCE: Duration = Duration::from_secs(30);

/// The operation's name in errors.
pub(super) const OPEN: &str = "open";

/// What a session is told first: nothing of it is left to the server's or the account's defaults.
const SETUP: &str = "SET NAMES utf8mb4; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET autocommit = 1, time_zone = '+00:00', lock_wait_timeout = 5, \
     sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', innodb_lock_wait_timeout = ";

pub(super) async fn open(options: &MysqlOptions, cluster: &ClusterName) -> Result<SqlStore> {
    if let Some(file) = options.authority_file()
        && let Err(error) = tokio::fs::metadata(file).await
    {
        let rule = format!("it must be a readable file with certificates (PEM): {error}");
        return Err(Error::invalid(OPEN, Invalid::new("ssl-ca", file.display(), rule)));
    }
    let common = options.common();
    // Whoever waits for a row longer than that begins anew at the end of the queue: for what many want at once, as long as the
    // call may take; for a node's own rows the least that all servers know.
    let seconds = common.timeout.as_secs().clamp(1, 60);
    let (setup, connect_timeout) = (format!("{SETUP}{seconds}").into(), common.connect_timeout);
    let target = Target { options: options.driver(), setup, connect_timeout };
    let clock = SystemClock::new();
    let give_up = clock.now() + PATIENCE;
    loop {
        let attempt = tokio::time::timeout(PATIENCE, attempt(&target, options, cluster)).await;
        match attempt.unwrap_or_else(|_elapsed| Err(super::classify::too_late(OPEN, Stage::Before))) {
            Ok(store) => return Ok(store),
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Busy(error)) if clock.now() >= give_up => return Err(error),
            Err(Fault::Busy(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn attempt(target: &Target, options: &MysqlOptions, cluster: &ClusterName) -> Result<SqlStore, Fault> {
    let common = options.common();
    let sql = Sql::new(common.prefix.clone(), WORDS);
    let mut opening = Opening { connection: target.connect(OPEN).await?, sql };
    let server = Server::look(&mut opening).await?;
    let durability = server.judge(options.accepts_volatile())?;
    opening.make_schema(common.create).await?;
    opening.check_engine().await?;
    opening.text("START TRANSACTION", Stage::Before).await?;
    let (identity, moment) = opening.settle_identity(server.id, common.term_floor.0).await?;
    let pulse = opening.settle_cluster(cluster, common.term_floor.0).await?;
    opening.text("COMMIT", Stage::Commit).await?;
    let Opening { sql, .. } = opening;
    let pulse_target = Target { setup: format!("{SETUP}1").into(), ..target.clone() };
    let targets = (pulse_target, target.clone());
    let database = Arc::new(Database::new(targets, cluster.clone(), identity.clone(), sql));
    let watcher = Watcher::new(pulse, moment);
    let ringer = Ringer::default();
    let dialect =
        Mysql { database, watcher, ringer, durability, timeout: common.timeout, clock_moves: server.clock_moves };
    Ok(SqlStore::new(dialect, cluster.clone(), common.prefix.clone(), identity, pulse))
}

/// A connection on which a store is being opened. Dropped before its commit, it leaves nothing but tables.
pub(super) struct Opening {
    connection: MySqlConnection,
    sql: Sql,
}

impl Opening {
    pub(super) async fn text(&mut self, statements: &str, stage: Stage) -> Result<Vec<Vec<Value>>, Fault> {
        let done = connection::text(&mut self.connection, statements.into()).await;
        done.map_err(|e| classify(OPEN, stage, e))
    }

    async fn run(&mut self, template: &'static str, args: Vec<Value>) -> Result<u64, Fault> {
        let done = connection::run(&mut self.connection, self.sql.get(template), args).await;
        done.map(|done| done.rows).map_err(|e| classify(OPEN, Stage::Before, e))
    }

    pub(super) async fn row(&mut self, template: &'static str, args: Vec<Value>) -> Result<Option<Row>, Fault> {
        let rows = connection::rows(&mut self.connection, self.sql.get(template), args).await;
        let mut rows = rows.map_err(|e| classify(OPEN, Stage::Before, e))?;
        Ok(rows.pop().map(|values| Row { operation: OPEN, values }))
    }

    /// Makes the tables that are missing, unless they are all there, so that it needs no right to, or are of a newer
    /// schema: then nothing is touched.
    async fn make_schema(&mut self, create: bool) -> Result<(), Fault> {
        match self.row("SELECT version FROM {meta} WHERE id = 1", args![]).await {
            Ok(Some(row)) => {
                let version = row.number(0)?;
                if version > schema::VERSION {
                    let message = schema::too_new(version, self.sql.prefix());
                    return Err(Error::new(ErrorKind::TooNew, OPEN, message).into());
                }
                return Ok(());
            }
            // What no table is called, the next statement finds out again.
            Err(Fault::Failed(error)) if error.kind() != ErrorKind::StoreChanged => return Err(error.into()),
            Err(Fault::Busy(error)) => return Err(Fault::Busy(error)),
            Ok(None) | Err(Fault::Failed(_)) => {}
        }
        if !create {
            let rule = "the tables of this prefix must exist, because `create` is false";
            return Err(Error::invalid(OPEN, Invalid::new("prefix", self.sql.prefix(), rule)).into());
        }
        for statement in schema::statements(SCHEMA, self.sql.prefix()) {
            self.text(&statement, Stage::Before).await?;
        }
        self.run(
            "INSERT INTO {meta} (id, version, store, clock) VALUES (1, ?, ?, CONCAT('server ', @@server_id)) \
             ON DUPLICATE KEY UPDATE id = id",
            args![schema::VERSION, Uuid::now_v7().to_string()],
        )
        .await?;
        Ok(())
    }

    /// Without transactions nothing here is true.
    async fn check_engine(&mut self) -> Result<(), Fault> {
        let like = self.sql.prefix().as_str().replace('_', "\\_") + "%";
        let row = self
            .row(
                "SELECT table_name, engine FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name LIKE ? AND engine <> 'InnoDB' LIMIT 1",
                args![like],
            )
            .await?;
        let Some(row) = row else { return Ok(()) };
        let rule = format!("table {} must have the engine InnoDB, which has transactions: convert it", row.text(0)?);
        Err(Error::invalid(OPEN, Invalid::new("engine", row.text(1)?, rule)).into())
    }

    /// Which store this is, and now. If its moments are of another server's clock, a replica may have taken that one's place without
    /// the last grants: only an operator who names a floor goes on. Then every lease and reservation gets its whole time again
    /// and every heartbeat is new: longer is safe.
    async fn settle_identity(&mut self, server: i64, floor: u64) -> Result<(StoreIdentity, i64), Fault> {
        let row =
            self.row(concat!("SELECT store, clock, ", now!(), " FROM {meta} WHERE id = 1 FOR UPDATE"), args![]).await?;
        let Some(row) = row else {
            return Err(Error::new(ErrorKind::Corrupt, OPEN, "the store's own row cannot be kept").into());
        };
        let (store, clock, now) = (row.text(0)?.to_owned(), clock_of(server), row.int(2)?);
        if row.text(1)? != clock {
            if floor == 0 {
                let message = format!(
                    "the store was last used on `{}` and this is `{clock}` (@@server_id): a replica that took its place may lack the \
                     last grants; open it with a term floor above every term that was in use",
                    row.text(1)?
                );
                return Err(Error::new(ErrorKind::StoreChanged, OPEN, message).into());
            }
            tracing::info!("the store has moved to another server: all leases get their whole time again");
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
        Ok((StoreIdentity { store, clock }, now))
    }

    /// The cluster's row and its pulse.
    async fn settle_cluster(&mut self, cluster: &ClusterName, floor: u64) -> Result<u64, Fault> {
        self.run(
            "INSERT INTO {clusters} (cluster) VALUES (?) ON DUPLICATE KEY UPDATE cluster = cluster",
            args![cluster.as_str()],
        )
        .await?;
        self.run(
            "UPDATE {clusters} SET term_floor = ?, epoch_floor = GREATEST(epoch_floor, ?) WHERE cluster = ? AND term_floor < ?",
            args![floor, floor, cluster.as_str(), floor],
        )
        .await?;
        let row = self.row("SELECT pulse FROM {clusters} WHERE cluster = ?", args![cluster.as_str()]).await?;
        Ok(row.map(|row| row.number(0)).transpose()?.unwrap_or(0))
    }
}
