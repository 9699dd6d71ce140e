//! Opening: the tables, the store's own row, where it is, the cluster's row.
//!
//! Any number of processes may do this to a fresh database at once: a lock that ends with its transaction lets one after the
//! other make what is missing, and all that is written, is written in one transaction.

use std::sync::Arc;
use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use failover_core::{ClusterName, Error, ErrorKind, Invalid, Result};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::classify::{Stage, classify};
use super::connection::{Link, Origin, Server, TIMELINE_SQL, begin_with_settings, clock_sql, moved};
use super::fence::MOMENT;
use super::options::{PostgresOptions, Promotion};
use super::row::{self, Prepare};
use super::session::{Database, Postgres, WORDS};
use super::watch::Listener;
use crate::dialect::{Fault, Row, Sql, Value, args};
use crate::schema;
use crate::store::{SqlStore, StoreIdentity};

pub(crate) const SCHEMA: &str = include_str!("../schema/postgres.sql");

/// How long an opening keeps trying while others are in its way.
const PATIENCE: Duration = Duration::from_secs(30);

/// The operation's name in errors.
const OPEN: &str = "open";

pub(super) async fn open(options: &PostgresOptions, cluster: &ClusterName) -> Result<SqlStore> {
    let clock = SystemClock::new();
    let give_up = clock.now() + PATIENCE;
    loop {
        match attempt(options, cluster).await {
            Ok(store) => return Ok(store),
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Busy(error)) if clock.now() >= give_up => return Err(error),
            Err(Fault::Busy(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn attempt(options: &PostgresOptions, cluster: &ClusterName) -> Result<SqlStore, Fault> {
    let server = Server::new(options.clone());
    let (link, _) = server.connect(OPEN).await?;
    let mut opening = Opening { link, sql: Sql::new(options.common.prefix.clone(), WORDS) };
    let begin = begin_with_settings("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE", options.common.timeout);
    opening.raw(begin, Stage::Before).await?;
    opening.make_schema(options).await?;
    let floor = options.common.term_floor.0;
    opening.settle_cluster(cluster).await?;
    let (identity, origin) = opening.settle_identity(options, cluster, floor).await?;
    opening.raise_floor(cluster, floor).await?;
    opening.raw("COMMIT".into(), Stage::Commit).await?;
    let Opening { sql, .. } = opening;
    let database = Database::new(server, sql, identity.clone(), origin);
    let (database, listener) = (Arc::new(database), Listener::new(cluster.as_str()));
    let dialect = Postgres { database, listener, cluster: cluster.clone() };
    Ok(SqlStore::new(dialect, cluster.clone(), options.common.prefix.clone(), identity, 0))
}

/// A connection on which a store is being opened. Dropped before its commit, it leaves nothing.
struct Opening {
    link: Link,
    sql: Sql,
}

impl Opening {
    async fn raw(&mut self, sql: String, stage: Stage) -> Result<(), Fault> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.link.connection).await;
        done.map(|_| ()).map_err(|e| classify(OPEN, stage, e))
    }

    async fn run(&mut self, template: &str, args: Vec<Value>) -> Result<u64, Fault> {
        let sql = self.sql.render(template).into();
        let done = row::run(&mut self.link.connection, Prepare::Always, sql, args).await;
        done.map_err(|e| classify(OPEN, Stage::Before, e))
    }

    async fn row(&mut self, template: &str, args: Vec<Value>) -> Result<Option<Row>, Fault> {
        let sql = self.sql.render(template).into();
        let rows = row::rows(&mut self.link.connection, Prepare::Always, sql, args).await;
        let mut rows = rows.map_err(|e| classify(OPEN, Stage::Before, e))?;
        Ok(rows.pop().map(|values| Row { operation: OPEN, values }))
    }

    /// How many of the tables there are.
    async fn tables(&mut self) -> Result<usize, Fault> {
        let mut count = 0;
        for table in schema::POSTGRES_TABLES {
            let name = format!("{}{table}", self.sql.prefix());
            let row = self.row("SELECT to_regclass(?) IS NOT NULL", args![name]).await?;
            count += usize::from(row.is_some_and(|row| row.int(0).is_ok_and(|there| there != 0)));
        }
        Ok(count)
    }

    /// Makes the tables that are missing, unless they are of a newer schema: then nothing is touched.
    async fn make_schema(&mut self, options: &PostgresOptions) -> Result<(), Fault> {
        let all = schema::POSTGRES_TABLES.len();
        if self.tables().await? < all {
            if !options.common.create {
                let rule =
                    format!("the tables `{}*` are not there; leave `create` out to have them made", self.sql.prefix());
                return Err(Error::invalid(OPEN, Invalid::new("create", "false", rule)).into());
            }
            // It ends with the transaction, so a pooler is no obstacle.
            let lock = self.sql.prefix().as_str().to_owned();
            self.row("SELECT pg_advisory_xact_lock(hashtext(?), 7)::text", args![lock]).await?;
        }
        self.check_version().await?;
        if self.tables().await? == all {
            return Ok(());
        }
        for statement in schema::statements(SCHEMA, self.sql.prefix()) {
            self.raw(statement, Stage::Connect).await?;
        }
        Ok(())
    }

    async fn check_version(&mut self) -> Result<(), Fault> {
        let meta = self.sql.render("{meta}");
        let there = self.row("SELECT to_regclass(?) IS NOT NULL", args![meta]).await?;
        if there.map(|row| row.int(0)).transpose()? == Some(1) {
            let row = self.row("SELECT version FROM {meta} WHERE id = 1", args![]).await?;
            if let Some(version) = row.map(|row| row.number(0)).transpose()?.filter(|v| *v > schema::VERSION) {
                let message = schema::too_new(version, self.sql.prefix());
                return Err(Error::new(ErrorKind::TooNew, OPEN, message).into());
            }
        }
        Ok(())
    }

    /// The cluster's row, locked from here on.
    async fn settle_cluster(&mut self, cluster: &ClusterName) -> Result<(), Fault> {
        self.run("INSERT INTO {clusters} (cluster) VALUES (?) {or_ignore}", args![cluster.as_str()]).await?;
        self.row("SELECT term_floor FROM {clusters} WHERE cluster = ? {lock}", args![cluster.as_str()]).await?;
        Ok(())
    }

    /// Which store this is, and whether it is where it was made. If it is not, it takes an operator's floor, above the one it
    /// has, to go on: then every lease gets its whole time again, which is longer, and every cluster the floor.
    async fn settle_identity(
        &mut self,
        options: &PostgresOptions,
        cluster: &ClusterName,
        floor: u64,
    ) -> Result<(StoreIdentity, Origin), Fault> {
        let meta = self.sql.render("{meta}");
        let (clock_sql, timeline_sql) = (clock_sql(&meta), TIMELINE_SQL);
        let select = format!(
            "SELECT m.store, m.clock, m.timeline, {clock_sql}, {timeline_sql}, \
             (SELECT c.term_floor FROM {{clusters}} AS c WHERE c.cluster = ?) FROM {{meta}} AS m WHERE m.id = 1"
        );
        let mut row = self.row(&select, args![cluster.as_str()]).await?;
        if row.is_none() {
            let insert = format!(
                "INSERT INTO {{meta}} (id, version, store, clock, timeline) VALUES (1, ?, ?, {clock_sql}, {timeline_sql}) {{or_ignore}}"
            );
            self.run(&insert, args![schema::VERSION, Uuid::now_v7().to_string()]).await?;
            row = self.row(&select, args![cluster.as_str()]).await?;
        }
        let Some(row) = row else {
            return Err(Error::new(ErrorKind::Corrupt, OPEN, "the store's own row cannot be kept").into());
        };
        let found = Origin { clock: row.text(3)?.to_owned(), timeline: row.text(4)?.to_owned() };
        let (same_tables, same_timeline) = (row.text(1)? == found.clock, row.text(2)? == found.timeline);
        if !(same_tables && same_timeline) {
            let accepted = same_tables && options.promotion == Promotion::Accept;
            if !accepted && floor <= row.number(5)? {
                return Err(moved(OPEN, same_tables).into());
            }
            self.run(
                "UPDATE {meta} SET clock = ?, timeline = ? WHERE id = 1",
                args![found.clock.as_str(), found.timeline.as_str()],
            )
            .await?;
            if !accepted {
                self.run(
                    "UPDATE {clusters} SET term_floor = greatest(term_floor, ?), epoch_floor = greatest(epoch_floor, ?)",
                    args![floor, floor],
                )
                .await?;
                let again = format!(
                    "UPDATE {{leases}} SET ends = {MOMENT} + lasts WHERE holder IS NOT NULL OR successor IS NOT NULL"
                );
                self.run(&again, args![]).await?;
            }
        }
        Ok((StoreIdentity { store: row.text(0)?.to_owned(), clock: found.clock.clone() }, found))
    }

    async fn raise_floor(&mut self, cluster: &ClusterName, floor: u64) -> Result<(), Fault> {
        self.run(
            "UPDATE {clusters} SET term_floor = ?, epoch_floor = greatest(epoch_floor, ?) WHERE cluster = ? AND term_floor < ?",
            args![floor, floor, cluster.as_str(), floor],
        )
        .await?;
        Ok(())
    }
}
