//! Fencing a host's own writes: they take effect only while its token is current (law 1).
//!
//! Why a condition in the statement and not a question before it: between an answer and the write that trusts it a process may
//! be paused for longer than its lease. A condition is judged where the write happens, under the same lock.

use failover_core::{Epoch, Error, ErrorKind, FencingToken, JobRecord, Lease, Member, Result};

use crate::dialect::Value;
use crate::keys::render_tables;
use crate::store::SqlStore;

/// A condition on a host's own statements, in the database that also holds this crate's tables: the token is current.
///
/// A lease's is while its term is the highest under its name, its holder the same and its time not over; a job's while its
/// owner runs it under that epoch. The store must be the one the token came from.
///
/// # In one statement
/// ```
/// # async fn example(store: failover_sql::SqlStore, lease: failover_core::Lease, host: &mut sqlx::SqliteConnection)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let fence = store.fence(&lease);
/// // Two values of its own come first.
/// let sql = format!("UPDATE accounts SET balance = balance - ? WHERE id = ? AND {}", fence.condition_after(2));
/// let update = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(5).bind("alice");
/// // The condition's values are bound last, because it comes last.
/// let done = fence.bind(update).execute(host).await?;
/// if done.rows_affected() == 0 {
///     println!("fenced, or there is no such account");
/// }
/// # Ok(()) }
/// ```
///
/// # In a transaction
/// ```
/// # async fn example(store: failover_sql::SqlStore, lease: failover_core::Lease, host: &mut sqlx::SqliteConnection)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use sqlx::Connection;
///
/// let mut tx = host.begin_with("BEGIN IMMEDIATE").await?;
/// sqlx::query("UPDATE accounts SET balance = balance - 5 WHERE id = 'alice'").execute(&mut *tx).await?;
/// match store.fence(&lease).check(&mut tx).await? {
///     Ok(()) => tx.commit().await?,
///     Err(fenced) => return Err(fenced.into()), // dropping the transaction rolls it back
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Fence {
    /// With `?` for every value.
    condition: String,
    /// A statement that finds one row if the condition, which it ends with, holds, and then keeps it true until its transaction
    /// ends.
    check: String,
    placeholder: fn(usize) -> String,
    values: FenceValues,
    token: FencingToken,
}

/// The token is not current any more: nothing may be written under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token {token} is not current any more: stop the work under it and write nothing")]
pub struct Fenced {
    /// The token.
    pub token: FencingToken,
}

impl SqlStore {
    /// The condition that this lease is current.
    pub fn fence(&self, lease: &Lease) -> Fence {
        let mut values = vec![self.shared.cluster.as_str().into(), (&lease.name).into(), lease.term.0.into()];
        values.extend(self.identified(&lease.holder));
        let condition = "l.cluster = ? AND l.name = ? AND l.term = ? AND l.holder = ? AND l.incarnation = ? \
            AND m.id = 1 AND m.store = ? AND m.clock = ? AND l.ends > {moment}";
        self.condition("{leases} AS l", condition, values, lease.token())
    }

    /// The condition that this run of a job is current: its owner has it, under its epoch.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the record has no owner.
    pub fn fence_job(&self, job: &JobRecord) -> Result<Fence> {
        let Some(owner) = &job.owner else {
            let invalid =
                failover_core::Invalid::new("job", job.spec.id(), "only a job that has an owner can be fenced");
            return Err(Error::invalid("fence_job", invalid));
        };
        let Epoch(epoch) = job.epoch;
        let mut values = vec![self.shared.cluster.as_str().into(), job.spec.id().as_str().into(), epoch.into()];
        values.extend(self.identified(owner));
        // The moment has no part in it: a job's owner is its owner until an assignment says otherwise.
        let condition = "l.cluster = ? AND l.job = ? AND l.epoch = ? AND l.owner = ? AND l.incarnation = ? \
            AND m.id = 1 AND m.store = ? AND m.clock = ? AND {moment} > 0";
        Ok(self.condition("{jobs} AS l", condition, values, job.token()))
    }

    fn identified(&self, member: &Member) -> [Value; 4] {
        let identity = &self.shared.identity;
        let (store, clock) = (identity.store.as_str().into(), identity.clock.as_str().into());
        [(&member.node).into(), member.incarnation.to_string().into(), store, clock]
    }

    fn condition(&self, table: &str, condition: &str, values: Vec<Value>, token: FencingToken) -> Fence {
        let words = self.shared.fence_words();
        let exists = format!("EXISTS (SELECT 1 FROM {table}, {{meta}} AS m WHERE {condition}{})", words.keep);
        let rendered = |sql: &str| render_tables(&self.shared.prefix, sql).replace("{moment}", words.moment);
        let check =
            words.check.replace("{table}", table).replace("{condition}", condition).replace("{exists}", &exists);
        Fence {
            condition: rendered(&exists),
            check: rendered(&check),
            placeholder: words.placeholder,
            values: FenceValues(values),
            token,
        }
    }
}

impl Fence {
    /// The condition, for the end of a `WHERE`, in a statement that has no values of its own. For one that has, take
    /// [`condition_after`](Self::condition_after).
    pub fn condition(&self) -> String {
        self.condition_after(0)
    }

    /// The condition, for the end of a statement in which this many values are bound before those of the condition.
    pub fn condition_after(&self, bound: usize) -> String {
        placed(&self.condition, self.placeholder, bound)
    }

    /// What is fenced.
    pub fn token(&self) -> &FencingToken {
        &self.token
    }

    /// Binds the values of the condition, after those that were bound already. Bind and execute at once: on `SQLite` the
    /// lease's time is compared with the moment of this call, on a server with that of the statement.
    pub fn bind<DB: FenceDatabase>(&self, query: FenceQuery<DB>) -> FenceQuery<DB> {
        DB::bind_fence(&self.values, query)
    }

    /// Checks the token inside the host's transaction. After `Ok(Ok(()))` nobody is granted a higher one before that
    /// transaction ends, because the check takes a lock: on `SQLite` the file's write lock, on a server one on the lease's row,
    /// which renewals do not wait for.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if `host` is in no transaction: then nothing would hold the answer true until the write.
    /// [`Unavailable`](ErrorKind::Unavailable) if the lock is not to be had, or the database failed. On `SQLite` also when the
    /// transaction began by reading and another has written since: begin with `BEGIN IMMEDIATE`.
    pub async fn check<C: FenceConnection>(&self, host: &mut C) -> Result<std::result::Result<(), Fenced>> {
        if !host.in_transaction().await? {
            let rule = "it must be in a transaction: begin one (on SQLite with BEGIN IMMEDIATE), check, write, commit";
            return Err(Error::invalid("fence", failover_core::Invalid::new("connection", "autocommit", rule)));
        }
        let current = host.check_fence(placed(&self.check, self.placeholder, 0), &self.values).await?;
        Ok(if current { Ok(()) } else { Err(Fenced { token: self.token.clone() }) })
    }
}

/// Writes the values' places, the first of which comes after `bound` others.
fn placed(sql: &str, placeholder: fn(usize) -> String, bound: usize) -> String {
    let mut parts = sql.split('?');
    let mut placed = parts.next().unwrap_or_default().to_owned();
    for (i, part) in parts.enumerate() {
        placed += &placeholder(bound + i + 1);
        placed += part;
    }
    placed
}

/// How a database spells what fences leave open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FenceWords {
    /// The store's clock in a host's statement: an expression, or a value to be bound.
    pub(crate) moment: &'static str,
    /// What, at the end of a condition in a statement, locks the rows it has found: a server may find them in a view of the past, and
    /// grant a higher token before the statement writes.
    pub(crate) keep: &'static str,
    /// A statement that locks what `{condition}` reads, of `{table}` and the meta table, and gives a row or changes one if it
    /// holds. `{exists}` is the condition by itself.
    pub(crate) check: &'static str,
    /// How the n-th value, from 1, is written in a host's statement.
    pub(crate) placeholder: fn(usize) -> String,
}

/// A query of a host's own, to which a [`Fence`] adds its values.
pub type FenceQuery<DB> = sqlx::query::Query<'static, DB, <DB as sqlx::Database>::Arguments>;

/// The values of a condition.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct FenceValues(pub(crate) Vec<Value>);

/// A database whose statements can be fenced. Only this crate implements it.
pub trait FenceDatabase: sqlx::Database + sealed::Sealed {
    #[doc(hidden)]
    fn bind_fence(values: &FenceValues, query: FenceQuery<Self>) -> FenceQuery<Self>;
}

/// A host's connection on which a token can be checked. Only this crate implements it.
#[async_trait::async_trait]
pub trait FenceConnection: sealed::Sealed + Send {
    #[doc(hidden)]
    async fn in_transaction(&mut self) -> Result<bool>;

    #[doc(hidden)]
    async fn check_fence(&mut self, check: String, values: &FenceValues) -> Result<bool>;
}

impl<DB: sqlx::Database> sealed::Sealed for sqlx::Transaction<'_, DB> {}

#[async_trait::async_trait]
impl<DB> FenceConnection for sqlx::Transaction<'_, DB>
where
    DB: sqlx::Database,
    DB::Connection: FenceConnection,
{
    async fn in_transaction(&mut self) -> Result<bool> {
        Ok(true)
    }

    async fn check_fence(&mut self, check: String, values: &FenceValues) -> Result<bool> {
        (**self).check_fence(check, values).await
    }
}

pub(crate) mod sealed {
    /// Keeps the traits of fences to this crate.
    pub trait Sealed {}
}

/// What a host is told whose check failed.
pub(crate) fn unchecked(error: sqlx::Error, advice: &str) -> Error {
    let message = format!("the token could not be checked: {advice}");
    Error::new(ErrorKind::Unavailable, "fence", message).with_source(error)
}
