//! What differs between databases, and nothing else: the four traits are written once over this.
//!
//! Their statements are plain SQL in the common subset, with a few things left open that [`Sql`] fills in once per store:
//! `{table}` becomes the table's name with its prefix, the rest is what [`Words`] has. Instead of upserts, which every database
//! spells its own way, a row is first made sure of, then read under a lock, judged in Rust, and written by its primary key.
//!
//! That takes several statements. Where each is a round trip, a dialect may do the [`Hot`] operations in one that does it all
//! or touches nothing; only when it touched nothing is the long way gone, to tell why.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::{Durability, Error, ErrorKind, LeaseName, Member, NodeId};

use crate::fence::FenceWords;
use crate::hot::Hot;
use crate::keys::{TablePrefix, render_tables};

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It failed; what is known of its outcome is the error's kind.
    Failed(Error),
    /// Others were in the way and nothing was applied: run it again.
    Busy(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A bound value or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<u64> for Value {
    /// Counters start at zero and are raised one by one, floors are checked where they come in: none reaches the half.
    fn from(n: u64) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Int(n.into())
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Int(yes.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl From<&LeaseName> for Value {
    fn from(name: &LeaseName) -> Self {
        name.as_str().into()
    }
}

impl From<&NodeId> for Value {
    fn from(node: &NodeId) -> Self {
        node.as_str().into()
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a statement, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::dialect::Value::from($value)),*] };
}
pub(crate) use args;

/// One row of an answer. A column of another type than expected is a corrupt record.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) operation: &'static str,
    pub(crate) values: Vec<Value>,
}

impl Row {
    pub(crate) fn corrupt(&self, what: &str) -> Error {
        let message =
            format!("{what} in the database breaks its format and was left as it is; restore it or remove the row");
        Error::new(ErrorKind::Corrupt, self.operation, message)
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, Error> {
        match self.values.get(column) {
            Some(Value::Int(n)) => Ok(*n),
            _ => Err(self.corrupt("a number")),
        }
    }

    pub(crate) fn number(&self, column: usize) -> Result<u64, Error> {
        u64::try_from(self.int(column)?).map_err(|_| self.corrupt("a counter"))
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, Error> {
        match self.values.get(column) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.corrupt("a text")),
        }
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&[u8], Error> {
        match self.values.get(column) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(self.corrupt("a value")),
        }
    }

    /// A text that parses as an id.
    pub(crate) fn id<T: std::str::FromStr>(&self, column: usize) -> Result<T, Error> {
        self.text(column)?.parse().map_err(|_| self.corrupt("a name"))
    }

    /// An id that may be null.
    pub(crate) fn optional_id<T: std::str::FromStr>(&self, column: usize) -> Result<Option<T>, Error> {
        match self.values.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.id(column).map(Some),
        }
    }

    /// A node and its incarnation in two columns, both null or neither.
    pub(crate) fn optional_member(&self, column: usize) -> Result<Option<Member>, Error> {
        match (self.optional_id(column)?, self.optional_id(column + 1)?) {
            (Some(node), Some(incarnation)) => Ok(Some(Member::new(node, incarnation))),
            (None, None) => Ok(None),
            _ => Err(self.corrupt("a member")),
        }
    }

    /// Fails if the record in this row, whose format is in `column`, is newer than this build (law 15).
    pub(crate) fn check_format(&self, column: usize, what: impl FnOnce() -> String) -> Result<(), Error> {
        let (format, known) = (self.number(column)?, failover_core::record::FORMAT);
        if format <= u64::from(known) {
            return Ok(());
        }
        let message = format!(
            "the record of {} has format {format}, this build knows up to {known}: upgrade this node; the record was left as it is",
            what()
        );
        Err(Error::new(ErrorKind::TooNew, self.operation, message))
    }
}

/// Which connection a transaction runs on, and how durable it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Heartbeats and renewals, and the reads that go with them. Losing the last of them in a power cut shortens rights,
    /// nothing else, so it need not wait for the disk; and it never queues behind anything that does.
    Pulse,
    /// Grants, jobs and documents: what was acknowledged is on disk (law 2).
    Durable,
}

/// Whether a transaction writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// One database, for the traits.
#[async_trait]
pub(crate) trait Dialect: Send + Sync {
    /// Begins a transaction. It has made sure that this still is the store, and the schema, that was opened.
    async fn begin(&self, operation: &'static str, lane: Lane, access: Access) -> Result<Box<dyn Session>, Fault>;

    /// Waits until a transaction, of whatever process, that named this area of the store's cluster in [`Session::commit`]
    /// has committed after the pulse `since`, and tells the pulse of the latest. Pulses count such transactions.
    async fn changed(&self, area: &str, since: u64) -> Result<u64, Error>;

    /// A lease is held through this handle from now on, or was released and is not. For hints only; it may come late.
    fn holds(&self, _name: &LeaseName, _held: bool) {}

    /// How this database spells what [`Sql`] leaves open.
    fn words(&self) -> Words;

    /// The same for a host's own statements under a [`Fence`](crate::Fence).
    fn fence_words(&self) -> FenceWords;

    /// Does a hot operation in one statement, a transaction of its own: all of it, with the number that [`Hot`] asks for,
    /// or nothing at all, which is `None`. The statement's own condition holds everything that the long way checks: the
    /// store's identity and schema, the record's format, floors and reservations, counters that never fall; and it reads
    /// the clock after it has locked the row. A fault is as of a whole transaction.
    async fn shortcut(&self, _operation: &'static str, _of: &Hot<'_>) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    /// Runs a single query that needs no transaction around it, and tells the store's clock from before what it saw. `None` where
    /// that saves nothing. The order of the rows is not kept.
    async fn glance(
        &self,
        _operation: &'static str,
        _lane: Lane,
        _sql: &str,
        _args: &[Value],
    ) -> Result<Option<Glance>, Fault> {
        Ok(None)
    }

    /// What an acknowledged commit survives.
    fn durability(&self) -> Durability {
        Durability::SingleNode
    }

    /// The longest one call may take by itself, its retries included; without one it tries for ten seconds while others are
    /// in its way.
    fn timeout(&self) -> Option<Duration> {
        None
    }
}

/// The store's clock, and the rows of one query.
pub(crate) type Glance = (i64, Vec<Row>);

/// A transaction. Dropping it rolls it back.
#[async_trait]
pub(crate) trait Session: Send {
    /// The store's clock, in nanoseconds, now: in a write transaction, after the locks it depends on were taken (law 10).
    async fn now(&mut self) -> Result<i64, Fault>;

    /// Runs a statement and returns its rows.
    async fn rows(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<Vec<Row>, Fault>;

    /// Runs a statement and returns how many rows it changed.
    async fn run(&mut self, sql: Arc<str>, args: Vec<Value>) -> Result<u64, Fault>;

    /// Commits, and lets the waiting know that these areas of the cluster changed.
    async fn commit(self: Box<Self>, cluster: &str, areas: &[String]) -> Result<(), Fault>;

    /// Gives up what was done.
    async fn rollback(self: Box<Self>);
}

/// How a database spells what the common statements leave open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// Locks the selected rows until the transaction ends.
    pub(crate) lock: &'static str,
    /// Makes an insert of an existing row do nothing.
    pub(crate) or_ignore: &'static str,
    /// How the n-th bound value, from 1, is written.
    pub(crate) placeholder: fn(usize) -> String,
    /// Says that a column is among the texts of the JSON array that is bound here, so that the rows are looked up by it.
    pub(crate) among: &'static str,
    /// A table `v` of the JSON objects in the array that is bound here, with the columns that a job's row changes in.
    pub(crate) job_rows: &'static str,
    /// Writes jobs.
    pub(crate) save_jobs: Save,
    /// The same together with the cluster's revision, bound third, where one statement can write both.
    pub(crate) save_jobs_and_revision: Option<&'static str>,
}

/// How a database is told what moves and reports change of jobs.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "each database has its own way")]
pub(crate) enum Save {
    /// All at once: what `{job_rows}` has, bound first, for the jobs of a cluster, bound second.
    Rows(&'static str),
    /// Each value bound, in the order of those columns, of so many jobs, and the cluster last: where a statement is no round trip.
    /// The largest come first, and the last is of one job.
    Bound(&'static [(usize, &'static str)]),
}

/// The statements of a store as its database wants them, each rendered once.
pub(crate) struct Sql {
    prefix: TablePrefix,
    words: Words,
    rendered: RwLock<HashMap<&'static str, Arc<str>>>,
}

impl Sql {
    pub(crate) fn new(prefix: TablePrefix, words: Words) -> Self {
        Self { prefix, words, rendered: RwLock::default() }
    }

    pub(crate) fn prefix(&self) -> &TablePrefix {
        &self.prefix
    }

    pub(crate) fn get(&self, template: &'static str) -> Arc<str> {
        if let Some(sql) = self.rendered.read().unwrap_or_else(PoisonError::into_inner).get(template) {
            return Arc::clone(sql);
        }
        let sql: Arc<str> = self.render(template).into();
        self.rendered.write().unwrap_or_else(PoisonError::into_inner).insert(template, Arc::clone(&sql));
        sql
    }

    /// No statement of ours holds a brace or a question mark that means anything else.
    pub(crate) fn render(&self, template: &str) -> String {
        let mut sql = render_tables(&self.prefix, template);
        sql = sql.replace("{lock}", self.words.lock).replace("{or_ignore}", self.words.or_ignore);
        sql = sql.replace("{among}", self.words.among).replace("{job_rows}", self.words.job_rows);
        let mut parts = sql.split('?');
        let mut placed = parts.next().unwrap_or_default().to_owned();
        for (i, part) in parts.enumerate() {
            placed += &(self.words.placeholder)(i + 1);
            placed += part;
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_rendered_for_its_database() {
        let (lock, or_ignore, placeholder) = ("FOR UPDATE", "", (|n| format!("${n}")) as fn(usize) -> String);
        let words = Words {
            lock,
            or_ignore,
            placeholder,
            among: "IN (IDS)",
            job_rows: "ROWS",
            save_jobs: Save::Rows(""),
            save_jobs_and_revision: None,
        };
        let sql = Sql::new(TablePrefix::new("my_").unwrap(), words);
        assert_eq!(
            &*sql.get("SELECT a FROM {jobs} WHERE b = ? AND c = ? {lock}"),
            "SELECT a FROM my_jobs WHERE b = $1 AND c = $2 FOR UPDATE"
        );
    }

    #[test]
    fn a_column_of_the_wrong_type_is_corrupt_not_a_panic() {
        let row = Row { operation: "test", values: vec![Value::Text("x y".into()), Value::Int(-1), Value::Null] };
        assert_eq!(row.int(0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(row.number(1).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(row.id::<NodeId>(0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(row.optional_member(1).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(row.text(9).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
