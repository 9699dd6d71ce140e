//! [`Dialect`] and [`Session`] on a server: transactions, each on a connection of its lane.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use failover_core::{ClusterName, Durability, Error, ErrorKind, LeaseName};
use sqlx::MySqlConnection;

use super::bell::Ringer;
use super::classify::{Stage, classify, is_broken};
use super::connection::{self, Done};
use super::fence::FENCE;
use super::now;
use super::target::Target;
use super::watch::Watcher;
use crate::dialect::{Access, Dialect, Fault, Glance, Lane, Row, Save, Session, Sql, Value, Words, args};
use crate::fence::FenceWords;
use crate::hot::Hot;
use crate::lanes::{Connections, Taken, doubted};
use crate::schema;
use crate::store::StoreIdentity;

/// Tables of the values in a JSON array, so that a batch is one statement. Objects hold what may change of a job.
pub(super) const WORDS: Words = Words {
    lock: "FOR UPDATE",
    // The row is locked by it, as it would be by the update that follows: no two who hold it shared then both want to write.
    or_ignore: "ON DUPLICATE KEY UPDATE cluster = cluster",
    placeholder: |_| "?".to_owned(),
    among: "IN (SELECT i.id FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(64) PATH '$')) AS i)",
    job_rows: "JSON_TABLE(?, '$[*]' COLUMNS (job VARCHAR(64) PATH '$.job', revision BIGINT PATH '$.revision', \
        epoch BIGINT PATH '$.epoch', phase VARCHAR(64) PATH '$.phase', owner VARCHAR(64) PATH '$.owner', \
        incarnation VARCHAR(64) PATH '$.incarnation', retiring BIGINT PATH '$.retiring', failures BIGINT PATH '$.failures', \
        detail TEXT CHARACTER SET utf8mb4 PATH '$.detail', course TEXT CHARACTER SET utf8mb4 PATH '$.course', \
        runs TEXT CHARACTER SET utf8mb4 PATH '$.runs')) AS v",
    save_jobs_and_revision: None,
    save_jobs: Save::Rows(
        "UPDATE {jobs} AS j JOIN {job_rows} ON j.job = v.job SET j.revision = v.revision, j.epoch = v.epoch, \
        j.phase = v.phase, j.owner = v.owner, j.incarnation = v.incarnation, j.retiring = v.retiring, \
        j.failures = v.failures, j.detail = v.detail, j.course = v.course, j.runs = v.runs WHERE j.cluster = ?",
    ),
};

/// At most so many connections for what must not wait: beats, renewals and the reads that go with them.
const PULSE: usize = 4;
/// And for everything else.
const DURABLE: usize = 8;
/// And for the bells that are waited for.
const BELLS: usize = super::bell::MOST;

/// The connections of one purpose, and how they are made.
pub(super) struct Lines {
    target: Target,
    connections: Connections<MySqlConnection>,
}

impl Lines {
    /// At most so many at once.
    fn new(target: Target, most: usize) -> Self {
        Self { target, connections: Connections::new(most) }
    }

    pub(super) async fn take(&self, operation: &'static str) -> Result<Taken<MySqlConnection>, Fault> {
        self.connections.take(operation, || self.target.connect(operation)).await
    }
}

/// The server and the ways to it.
pub(super) struct Database {
    pub(super) cluster: ClusterName,
    pub(super) identity: StoreIdentity,
    pub(super) sql: Sql,
    pulse: Lines,
    durable: Lines,
    watch: Lines,
    ringing: Lines,
    listening: Lines,
    read: Arc<str>,
    write: Arc<str>,
}

impl Database {
    /// With what to connect to for beats and renewals, and for everything else.
    pub(super) fn new(
        (pulse, durable): (Target, Target),
        cluster: ClusterName,
        identity: StoreIdentity,
        sql: Sql,
    ) -> Self {
        let watch = Lines::new(pulse.clone(), 1);
        let (ringing, listening) = (Lines::new(pulse.clone(), 1), Lines::new(pulse.clone(), BELLS));
        let (pulse, durable) = (Lines::new(pulse, PULSE), Lines::new(durable, DURABLE));
        let look = concat!(
            "SELECT version, store, clock, @@server_id, @@global.read_only, ",
            now!(),
            " FROM {meta} WHERE id = 1"
        );
        let look = sql.render(look);
        // One view for all that a reader reads; a writer sees what it has locked.
        let read =
            format!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION READ ONLY; {look}").into();
        let write = format!("START TRANSACTION; {look}").into();
        Self { cluster, identity, sql, pulse, durable, watch, ringing, listening, read, write }
    }

    /// The connection for looking for changes.
    pub(super) async fn take_watch(&self, operation: &'static str) -> Result<Taken<MySqlConnection>, Fault> {
        self.watch.take(operation).await
    }

    /// The connection that has the locks of what is held here.
    pub(super) fn ringing(&self) -> &Lines {
        &self.ringing
    }

    /// Those that wait for the locks of others.
    pub(super) fn listening(&self) -> &Lines {
        &self.listening
    }

    fn lines(&self, lane: Lane) -> &Lines {
        match lane {
            Lane::Pulse => &self.pulse,
            Lane::Durable => &self.durable,
        }
    }

    /// Begins a transaction and looks whether this still is the store that was opened: one round trip.
    async fn begin(&self, operation: &'static str, lane: Lane, access: Access) -> Result<MysqlSession, Fault> {
        let begin = match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        };
        loop {
            let mut taken = self.lines(lane).take(operation).await?;
            let looked = connection::text(taken.get(), Arc::clone(begin)).await;
            match looked {
                Ok(mut rows) => {
                    let row = rows.pop().map(|values| Row { operation, values });
                    let checked = self.check_store(operation, row.as_ref(), access);
                    let opened = checked.and_then(|()| row.as_ref().map_or(Ok(0), |row| row.int(5)));
                    return match opened {
                        Ok(opened) => {
                            let read = (access == Access::Read).then_some(opened);
                            Ok(MysqlSession { operation, taken, read, hints: self.hint_statements() })
                        }
                        Err(error) => {
                            taken.close();
                            Err(error.into())
                        }
                    };
                }
                // The server had closed it while it was idle: nothing was lost but the connection.
                Err(error) if taken.reused() && is_broken(&error) => {}
                Err(error) => {
                    if !is_broken(&error) {
                        taken.close();
                    }
                    return Err(classify(operation, Stage::Before, error));
                }
            }
        }
    }

    /// Runs one query, which is one view by itself, together with the look at the store: one round trip.
    async fn glance(&self, operation: &'static str, lane: Lane, sql: &str, args: &[Value]) -> Result<Glance, Fault> {
        // `NOW` is the moment at which the statement began, before what it sees. The row of the store is there also without any.
        let look = "SELECT m.version, m.store, m.clock, @@server_id, 0, \
             TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', NOW(6)) * 1000, q.* \
             FROM {meta} AS m LEFT JOIN (SELECT 1 AS found, t.* FROM (";
        let sql: Arc<str> = format!("{}{sql}) AS t) AS q ON true WHERE m.id = 1", self.sql.get(look)).into();
        loop {
            let mut taken = self.lines(lane).take(operation).await?;
            let rows = match connection::rows(taken.get(), Arc::clone(&sql), args.to_vec()).await {
                Ok(rows) => rows,
                Err(error) if taken.reused() && is_broken(&error) => continue,
                Err(error) => {
                    if !is_broken(&error) {
                        taken.give_back();
                    }
                    return Err(classify(operation, Stage::Before, error));
                }
            };
            taken.give_back();
            let mut rows: Vec<Row> = rows.into_iter().map(|values| Row { operation, values }).collect();
            self.check_store(operation, rows.first(), Access::Read)?;
            let now = rows.first().map_or(Ok(0), |row| row.int(5))?;
            rows.retain(|row| row.int(6).is_ok());
            for row in &mut rows {
                row.values.drain(..7);
            }
            return Ok((now, rows));
        }
    }

    /// Judges the store's own row: every transaction does, so that nobody goes on with a store that is not the one it opened.
    fn check_store(&self, operation: &'static str, row: Option<&Row>, access: Access) -> Result<(), Error> {
        let changed = |message: &str| Err(Error::new(ErrorKind::StoreChanged, operation, message));
        let Some(row) = row else {
            return changed("the store's own row is gone from the database: open it anew, with a term floor");
        };
        let version = row.number(0)?;
        if version > schema::VERSION {
            return Err(Error::new(ErrorKind::TooNew, operation, schema::too_new(version, self.sql.prefix())));
        }
        if row.text(1)? != self.identity.store {
            return changed(
                "the database holds another store than the one this node opened: it was replaced or made anew; restart the \
                 node, with a term floor",
            );
        }
        if row.text(2)? != self.identity.clock || clock_of(row.int(3)?) != self.identity.clock {
            return changed(
                "another server (another @@server_id) answers than the one this node opened the store on: a replica that took \
                 its place may lack the last grants; open the store anew, with a term floor above every term that was in use",
            );
        }
        if access == Access::Write && row.int(4)? != 0 {
            return Err(Error::new(ErrorKind::Denied, operation, READ_ONLY));
        }
        Ok(())
    }

    fn hint_statements(&self) -> HintStatements {
        HintStatements {
            pulse: self.sql.get("UPDATE {clusters} SET pulse = pulse + 1 WHERE cluster = ?"),
            area: self.sql.get(
                "INSERT INTO {hints} (cluster, area, pulse) \
                 SELECT ?, ?, c.pulse FROM {clusters} AS c WHERE c.cluster = ? ON DUPLICATE KEY UPDATE pulse = VALUES(pulse)",
            ),
        }
    }

    /// Runs a statement that is a transaction of its own. It is safe to repeat, so it is when the server had closed the
    /// connection while that was idle.
    pub(super) async fn alone(
        &self,
        operation: &'static str,
        lane: Lane,
        template: &'static str,
        args: Vec<Value>,
    ) -> Result<Done, Fault> {
        let mut doubtful = false;
        loop {
            let taken = self.lines(lane).take(operation).await;
            // An earlier attempt may have been applied.
            let mut taken = taken.map_err(|fault| doubted(operation, doubtful, fault))?;
            match connection::run(taken.get(), self.sql.get(template), args.clone()).await {
                Ok(done) => {
                    taken.give_back();
                    return Ok(Done { repeated: doubtful, ..done });
                }
                Err(error) if is_broken(&error) && taken.reused() => doubtful = true,
                Err(error) => {
                    if !is_broken(&error) {
                        taken.give_back();
                    }
                    return Err(doubted(operation, doubtful, classify(operation, Stage::Commit, error)));
                }
            }
        }
    }
}

pub(super) const READ_ONLY: &str =
    "the server is read-only (@@read_only): connect to the one that takes writes, or make this one writable";

/// Whose clock it is: in a replication topology no two servers have the same id.
pub(super) fn clock_of(server_id: i64) -> String {
    format!("server {server_id}")
}

struct HintStatements {
    pulse: Arc<str>,
    area: Arc<str>,
}

/// A transaction. Dropped without an end, its connection is closed, which rolls it back.
struct MysqlSession {
    operation: &'static str,
    taken: Taken<MySqlConnection>,
    /// The moment from which a reader reads.
    read: Option<i64>,
    hints: HintStatements,
}

impl MysqlSession {
    fn connection(&mut self) -> &mut MySqlConnection {
        self.taken.get()
    }
}

#[async_trait]
impl Session for MysqlSession {
    async fn now(&mut self) -> Result<i64, Fault> {
        if let Some(now) = self.read {
            return Ok(now);
        }
        // A statement of its own: right even on a server where `SYSDATE` is `NOW` (sysdate-is-now).
        let operation = self.operation;
        let rows = connection::rows(self.connection(), concat!("SELECT ", now!()).into(), args![]).await;
        let values = rows.map_err(|e| classify(operation, Stage::Before, e))?.pop().unwrap_or_default();
        Ok(Row { operation, values }.int(0)?)
    }

    async fn rows(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<Vec<Row>, Fault> {
        let operation = self.operation;
        let rows = connection::rows(self.connection(), sql, args).await;
        let rows = rows.map_err(|e| classify(operation, Stage::Before, e))?;
        Ok(rows.into_iter().map(|values| Row { operation, values }).collect())
    }

    async fn run(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<u64, Fault> {
        let done = connection::run(self.connection(), sql, args).await;
        done.map(|done| done.rows).map_err(|e| classify(self.operation, Stage::Before, e))
    }

    async fn commit(mut self: Box<Self>, cluster: &str, areas: &[String]) -> Result<(), Fault> {
        if !areas.is_empty() {
            self.run(Arc::clone(&self.hints.pulse), args![cluster]).await?;
        }
        for area in areas {
            self.run(Arc::clone(&self.hints.area), args![cluster, area.as_str(), cluster]).await?;
        }
        let done = connection::text(self.connection(), "COMMIT".into()).await;
        let Self { operation, taken, .. } = *self;
        match done {
            Ok(_none) => {
                taken.give_back();
                Ok(())
            }
            Err(error) => Err(classify(operation, Stage::Commit, error)),
        }
    }

    async fn rollback(mut self: Box<Self>) {
        if connection::text(self.connection(), "ROLLBACK".into()).await.is_ok() {
            self.taken.give_back();
        }
    }
}

/// A server, for the traits.
pub(super) struct Mysql {
    pub(super) database: Arc<Database>,
    pub(super) watcher: Watcher,
    pub(super) ringer: Ringer,
    pub(super) durability: Durability,
    pub(super) timeout: Duration,
    /// Whether the server's clock goes on within a statement: then one statement can judge by it after it has locked.
    pub(super) clock_moves: bool,
}

#[async_trait]
impl Dialect for Mysql {
    async fn begin(&self, operation: &'static str, lane: Lane, access: Access) -> Result<Box<dyn Session>, Fault> {
        Ok(Box::new(self.database.begin(operation, lane, access).await?))
    }

    async fn changed(&self, area: &str, since: u64) -> Result<u64, Error> {
        self.watcher.changed(&self.database, area, since).await
    }

    fn holds(&self, name: &LeaseName, held: bool) {
        self.ringer.tell(&self.database, name, held);
    }

    fn words(&self) -> Words {
        WORDS
    }

    async fn shortcut(&self, operation: &'static str, of: &Hot<'_>) -> Result<Option<u64>, Fault> {
        if self.clock_moves { self.database.shortcut(operation, of).await } else { Ok(None) }
    }

    fn fence_words(&self) -> FenceWords {
        FENCE
    }

    async fn glance(
        &self,
        operation: &'static str,
        lane: Lane,
        sql: &str,
        args: &[Value],
    ) -> Result<Option<Glance>, Fault> {
        self.database.glance(operation, lane, sql, args).await.map(Some)
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}
