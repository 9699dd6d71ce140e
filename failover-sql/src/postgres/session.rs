//! Transactions on the server: [`Dialect`] and [`Session`] for `PostgreSQL`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::{ClusterName, Durability, Error, ErrorKind, LeaseName, Result};
use serde_json::Value as Json;
use sqlx::AssertSqlSafe;

use super::classify::{Stage, classify, sqlstate};
use super::connection::{Link, Origin, Server, TIMELINE_SQL, begin_with_settings, clock_sql};
use super::fence::{FENCE, MOMENT};
use super::options::Promotion;
use super::row::{self, Prepare};
use super::shortcut::{complete, payload, statement};
use super::watch::Listener;
use crate::dialect::{Access, Dialect, Fault, Glance, Lane, Row, Save, Session, Sql, Value, Words, args};
use crate::fence::FenceWords;
use crate::hot::Hot;
use crate::lanes::{Connections, Taken, doubted, perhaps_applied};
use crate::schema;
use crate::store::StoreIdentity;

/// What moves and reports change of a job's row `j`, from a row `v`.
macro_rules! saved {
    () => {
        "revision = v.revision, epoch = v.epoch, phase = v.phase, owner = v.owner, incarnation = v.incarnation, \
         retiring = v.retiring, failures = v.failures, detail = v.detail, course = v.course, runs = v.runs"
    };
}
pub(super) use saved;

/// Which jobs, the rows of them being bound at `$rows`. By name too, or a server that knows nothing of the table yet would look through
/// all jobs of the cluster for them.
macro_rules! which {
    ($rows:literal) => {
        concat!(
            "j.job = v.job AND j.job = ANY (ARRAY(SELECT r->>'job' FROM jsonb_array_elements(",
            $rows,
            "::jsonb) AS r))"
        )
    };
}
pub(super) use which;

pub(super) const WORDS: Words = Words {
    lock: "FOR UPDATE",
    or_ignore: "ON CONFLICT DO NOTHING",
    placeholder: |n| format!("${n}"),
    among: "= ANY (ARRAY(SELECT jsonb_array_elements_text(?::jsonb)))",
    job_rows: "jsonb_to_recordset(?::jsonb) AS v (job text, revision bigint, epoch bigint, phase text, owner text, \
        incarnation text, retiring bigint, failures bigint, detail text, course text, runs text)",
    save_jobs: Save::Rows(concat!(
        "UPDATE {jobs} AS j SET ",
        saved!(),
        " FROM {job_rows} WHERE j.cluster = ? AND ",
        which!("$1")
    )),
    save_jobs_and_revision: Some(concat!(
        "WITH counted AS (UPDATE {clusters} SET revision = $3 WHERE cluster = $2) UPDATE {jobs} AS j SET ",
        saved!(),
        " FROM {job_rows} WHERE j.cluster = $2 AND ",
        which!("$1")
    )),
};

/// How many transactions of one lane may run at once.
const MOST: usize = 3;

/// One store on the server.
pub(super) struct Database {
    pub(super) server: Server,
    pub(super) sql: Sql,
    pub(super) identity: StoreIdentity,
    pub(super) origin: Origin,
    /// What notifications go through; see [`payload`].
    pub(super) channel: String,
    /// The condition that this is where the store was opened.
    here: String,
    finish: [Arc<str>; 2],
    /// A query by itself, with what makes sure of the store.
    glance: String,
    /// Whether a lease was held through this handle.
    holds: AtomicBool,
    shortcuts: Mutex<HashMap<(&'static str, bool), Arc<str>>>,
    pulse: Connections<Link>,
    durable: Connections<Link>,
}

impl Database {
    pub(super) fn new(server: Server, sql: Sql, identity: StoreIdentity, origin: Origin) -> Self {
        let channel = sql.render("{meta}");
        let mut here = format!("m.clock = {}", clock_sql(&channel));
        if server.options.promotion == Promotion::Refuse {
            here = format!("{here} AND m.timeline = {TIMELINE_SQL}");
        }
        // The statement before the commit: it gives the hints, and makes sure of the store.
        let finish = |here: &str| -> Arc<str> {
            sql.render(&format!(
                "SELECT m.version, m.store, m.clock, ({here}), (SELECT count(pg_notify(?, p.payload)::text) \
                 FROM jsonb_array_elements_text(?::jsonb) AS p (payload)) FROM {{meta}} AS m WHERE m.id = 1"
            ))
            .into()
        };
        let finish = [finish("true"), finish(&here)];
        let moment = MOMENT.replace("clock_timestamp", "statement_timestamp");
        let glance = sql.render(&format!(
            "SELECT m.version, m.store, m.clock, true, {moment}, r.* FROM {{meta}} AS m LEFT JOIN ({{query}}) AS r ON true WHERE m.id = 1"
        ));
        let (pulse, durable, shortcuts) = (Connections::new(MOST), Connections::new(MOST), Mutex::default());
        let holds = AtomicBool::new(false);
        Self { server, sql, identity, origin, channel, here, finish, glance, holds, shortcuts, pulse, durable }
    }

    pub(super) fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    async fn take(&self, operation: &'static str, lane: Lane) -> Result<Taken<Link>, Fault> {
        let connections = match lane {
            Lane::Pulse => &self.pulse,
            Lane::Durable => &self.durable,
        };
        connections
            .take(operation, || async {
                let (link, origin) = self.server.connect(operation).await?;
                self.server.check_origin(operation, &self.origin, &origin)?;
                Ok(link)
            })
            .await
    }

    /// Begins a transaction. A connection that lay idle may have ended meanwhile, as when the server was restarted: that shows
    /// here, where nothing is lost by taking another.
    async fn begin(&self, operation: &'static str, lane: Lane, access: Access) -> Result<Taken<Link>, Fault> {
        let mode = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",
        };
        let mut again = true;
        loop {
            let mut taken = self.take(operation, lane).await?;
            let link = taken.get();
            let begin = if link.pooled {
                begin_with_settings(mode, self.server.options.common.timeout)
            } else {
                mode.to_owned()
            };
            match sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut link.connection).await {
                Ok(_) => return Ok(taken),
                Err(sqlx::Error::Io(_)) if std::mem::take(&mut again) => {}
                // A session that the server ended, as when it is stopped in good order.
                Err(e) if is_ended(&e) && std::mem::take(&mut again) => {}
                Err(e) => return Err(classify(operation, Stage::Before, e)),
            }
        }
    }

    pub(super) fn shortcut(&self, template: &'static str, pooled: bool) -> Arc<str> {
        let mut known = self.shortcuts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = if pooled { self.here.as_str() } else { "true" };
        Arc::clone(known.entry((template, pooled)).or_insert_with(|| self.sql.render(&complete(template, here)).into()))
    }

    /// A shortcut behind a pooler: its parts are several messages, and only a transaction keeps them in one session. Or one that must not be sent twice.
    async fn shortcut_in_transaction(
        self: &Arc<Self>,
        operation: &'static str,
        lane: Lane,
        template: &'static str,
        args: Vec<Value>,
    ) -> Result<Option<u64>, Fault> {
        let mut taken = self.begin(operation, lane, Access::Write).await?;
        let sql = self.shortcut(template, taken.get().pooled);
        let mut session = PgSession { operation, access: Access::Write, taken, database: Arc::clone(self) };
        let rows = session.rows(sql, args).await?;
        let number = rows.first().map(|row| row.number(0)).transpose()?;
        session.end().await?;
        Ok(number)
    }

    fn check(&self, operation: &'static str, row: Option<&Row>) -> Result<(), Error> {
        let changed = |message: &str| Error::new(ErrorKind::StoreChanged, operation, message);
        let Some(row) = row else {
            return Err(changed("the store's own row is gone from the database: open it anew, with a term floor"));
        };
        let version = row.number(0)?;
        if version > schema::VERSION {
            return Err(Error::new(ErrorKind::TooNew, operation, schema::too_new(version, self.sql.prefix())));
        }
        if row.text(1)? != self.identity.store {
            let message = "the database holds another store than the one this node opened: it was replaced or made anew; \
                           restart the node, with a term floor";
            return Err(changed(message));
        }
        if row.text(2)? != self.identity.clock || row.int(3)? == 0 {
            return Err(super::connection::moved(operation, row.text(2)? == self.identity.clock));
        }
        Ok(())
    }
}

/// Whether a session was at its end before the statement came to it.
fn is_ended(error: &sqlx::Error) -> bool {
    let code = sqlstate(error);
    // Shut down, crashed, gave up an idle session.
    matches!(code.as_deref(), Some("57P01" | "57P02" | "57P05" | "25P03"))
}

/// A transaction. Dropped without an end, its connection is closed, and the server rolls it back: at once if it learns of that,
/// else when the session's limits say so.
struct PgSession {
    operation: &'static str,
    access: Access,
    taken: Taken<Link>,
    database: Arc<Database>,
}

impl PgSession {
    fn prepare(link: &Link) -> Prepare {
        if link.pooled { Prepare::Always } else { Prepare::Once }
    }

    /// Commits.
    async fn end(mut self) -> Result<(), Fault> {
        let operation = self.operation;
        let stage = if self.access == Access::Write { Stage::Commit } else { Stage::Before };
        let done = sqlx::raw_sql("COMMIT").execute(&mut self.link().connection).await;
        done.map_err(|e| classify(operation, stage, e))?;
        self.taken.give_back();
        Ok(())
    }

    fn link(&mut self) -> &mut Link {
        self.taken.get()
    }
}

#[async_trait]
impl Session for PgSession {
    async fn now(&mut self) -> Result<i64, Fault> {
        // A reader's view is taken after its statement has come: from there no age is overstated.
        let sql = match self.access {
            Access::Read => format!("SELECT {MOMENT}").replace("clock_timestamp", "statement_timestamp"),
            Access::Write => format!("SELECT {MOMENT}"),
        };
        let rows = self.rows(sql.into(), args![]).await?;
        rows.first()
            .map_or(Err(Error::new(ErrorKind::Corrupt, self.operation, "the server has no clock").into()), |row| {
                Ok(row.int(0)?)
            })
    }

    async fn rows(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<Vec<Row>, Fault> {
        let operation = self.operation;
        let link = self.link();
        let prepare = Self::prepare(link);
        let rows = row::rows(&mut link.connection, prepare, sql, args).await;
        let rows = rows.map_err(|e| classify(operation, Stage::Before, e))?;
        Ok(rows.into_iter().map(|values| Row { operation, values }).collect())
    }

    async fn run(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<u64, Fault> {
        let operation = self.operation;
        let link = self.link();
        let prepare = Self::prepare(link);
        let done = row::run(&mut link.connection, prepare, sql, args).await;
        done.map_err(|e| classify(operation, Stage::Before, e))
    }

    async fn commit(mut self: Box<Self>, cluster: &str, areas: &[String]) -> Result<(), Fault> {
        let operation = self.operation;
        let database = Arc::clone(&self.database);
        let pooled = self.link().pooled;
        let hints = areas.iter().map(|area| payload(cluster, area)).collect::<Json>().to_string();
        let finish = Arc::clone(&database.finish[usize::from(pooled)]);
        let rows = self.rows(finish, args![database.channel.as_str(), hints]).await?;
        database.check(operation, rows.first())?;
        self.end().await
    }

    async fn rollback(mut self: Box<Self>) {
        let link = self.link();
        if sqlx::raw_sql("ROLLBACK").execute(&mut link.connection).await.is_ok() {
            self.taken.give_back();
        }
    }
}

/// `PostgreSQL`, for the traits.
pub(super) struct Postgres {
    pub(super) database: Arc<Database>,
    pub(super) listener: Listener,
    pub(super) cluster: ClusterName,
}

#[async_trait]
impl Dialect for Postgres {
    async fn begin(&self, operation: &'static str, lane: Lane, access: Access) -> Result<Box<dyn Session>, Fault> {
        let database = Arc::clone(&self.database);
        let taken = database.begin(operation, lane, access).await?;
        Ok(Box::new(PgSession { operation, access, taken, database }))
    }

    async fn changed(&self, area: &str, since: u64) -> Result<u64, Error> {
        self.listener.changed(&self.database, area, since).await
    }

    fn holds(&self, _name: &LeaseName, held: bool) {
        self.database.holds.fetch_or(held, Ordering::Relaxed);
    }

    fn words(&self) -> Words {
        WORDS
    }

    fn fence_words(&self) -> FenceWords {
        FENCE
    }

    async fn shortcut(&self, operation: &'static str, of: &Hot<'_>) -> Result<Option<u64>, Fault> {
        let database = &self.database;
        let lane = match of {
            Hot::Beat { .. } | Hot::Renew { .. } => Lane::Pulse,
            Hot::Acquire { .. } | Hot::Release { .. } | Hot::Assign { .. } | Hot::Install { .. } | Hot::Put { .. } => {
                Lane::Durable
            }
        };
        let (template, args) = statement(of, self.cluster.as_str(), &database.identity, &database.channel);
        // Where nothing is, nothing would tell a second attempt that the first was applied and what it wrote is gone again: what begins a transaction finds out
        // whether the connection still is one.
        if database.server.is_pooled() || matches!(of, Hot::Put { over: None, .. }) {
            return database.shortcut_in_transaction(operation, lane, template, args).await;
        }
        // All but one may be sent again, whether or not they were applied (law 5).
        let (mut again, mut sent) = (!matches!(of, Hot::Assign { .. }), false);
        loop {
            let taken = database.take(operation, lane).await;
            let mut taken = taken.map_err(|fault| doubted(operation, sent, fault))?;
            let link = taken.get();
            let sql = database.shortcut(template, false);
            match row::rows(&mut link.connection, Prepare::Once, sql, args.clone()).await {
                Ok(rows) => {
                    let row = rows.into_iter().next().map(|values| Row { operation, values });
                    let number = row.map(|row| row.number(0)).transpose()?;
                    database.keep(lane, taken);
                    if sent && number.is_none() && matches!(of, Hot::Release { .. } | Hot::Put { .. }) {
                        return Err(perhaps_applied(operation));
                    }
                    return Ok(number);
                }
                Err(e) if (matches!(e, sqlx::Error::Io(_)) || is_ended(&e)) && std::mem::take(&mut again) => {
                    sent = true;
                }
                Err(e) => return Err(doubted(operation, sent, classify(operation, Stage::Commit, e))),
            }
        }
    }

    async fn glance(
        &self,
        operation: &'static str,
        lane: Lane,
        sql: &str,
        args: &[Value],
    ) -> Result<Option<Glance>, Fault> {
        let database = &self.database;
        if database.server.is_pooled() {
            return Ok(None);
        }
        let sql: Arc<str> = database.glance.replace("{query}", sql).into();
        let mut again = true;
        loop {
            let mut taken = database.take(operation, lane).await?;
            let link = taken.get();
            let rows = match row::rows(&mut link.connection, Prepare::Once, Arc::clone(&sql), args.to_vec()).await {
                Ok(rows) => rows,
                Err(sqlx::Error::Io(_)) if std::mem::take(&mut again) => continue,
                Err(e) if is_ended(&e) && std::mem::take(&mut again) => continue,
                Err(e) => return Err(classify(operation, Stage::Before, e)),
            };
            database.keep(lane, taken);
            let rows: Vec<Row> = rows.into_iter().map(|values| Row { operation, values }).collect();
            database.check(operation, rows.first())?;
            let now = rows.first().map_or(Ok(0), |row| row.int(4))?;
            let found = rows.into_iter().map(|row| Row { operation, values: row.values.into_iter().skip(5).collect() });
            // Nothing found is one row of nothing; no query of ours begins with what may be null.
            return Ok(Some((now, found.filter(|row| row.values.first() != Some(&Value::Null)).collect())));
        }
    }

    fn durability(&self) -> Durability {
        self.database.server.durability()
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.database.server.options.common.timeout)
    }
}
