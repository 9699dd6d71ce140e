//! Fencing a host's own writes: they take effect only while its token is current (law 1).
//!
//! Why a condition in the statement and not a question before it: between an answer and the write that trusts it a process may
//! be paused for longer than its lease. A condition is judged where the write happens, under the same lock.

use failover_core::{Epoch, Error, ErrorKind, FencingToken, JobRecord, Lease, Member, Result};

use crate::dialect::{Value, render_tables};
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
/// let sql = format!("UPDATE accounts SET balance = balance - ? WHERE id = ? AND {}", fence.condition());
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
    condition: String,
    /// A statement that writes but changes nothing, to which the condition is added.
    touch: String,
    /// All but the last value, which is the moment.
    values: Vec<Value>,
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
        let shared = &self.shared;
        let condition = "EXISTS (SELECT 1 FROM {leases} AS l, {meta} AS m WHERE l.cluster = ? AND l.name = ? AND l.term = ? \
             AND l.holder = ? AND l.incarnation = ? AND m.id = 1 AND m.store = ? AND m.clock = ? AND l.ends > ?)";
        let mut values = vec![shared.cluster.as_str().into(), (&lease.name).into(), lease.term.0.into()];
        values.extend(self.identified(&lease.holder));
        self.condition(condition, values, lease.token())
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
        let shared = &self.shared;
        // The moment has no part in it: a job's owner is its owner until an assignment says otherwise.
        let condition = "EXISTS (SELECT 1 FROM {jobs} AS j, {meta} AS m WHERE j.cluster = ? AND j.job = ? AND j.epoch = ? \
             AND j.owner = ? AND j.incarnation = ? AND m.id = 1 AND m.store = ? AND m.clock = ? AND ? > 0)";
        let mut values = vec![shared.cluster.as_str().into(), job.spec.id().as_str().into(), epoch.into()];
        values.extend(self.identified(owner));
        Ok(self.condition(condition, values, job.token()))
    }

    fn identified(&self, member: &Member) -> [Value; 4] {
        let identity = &self.shared.identity;
        let (store, clock) = (identity.store.as_str().into(), identity.clock.as_str().into());
        [(&member.node).into(), member.incarnation.to_string().into(), store, clock]
    }

    /// With the plain `?` of a host's own statement, whose values come before ours.
    fn condition(&self, condition: &str, values: Vec<Value>, token: FencingToken) -> Fence {
        let rendered = |template| render_tables(&self.shared.prefix, template);
        let touch = rendered("UPDATE {meta} SET version = version WHERE id = 1");
        Fence { condition: rendered(condition), touch, values, token }
    }
}

impl Fence {
    /// The condition, for a `WHERE`. It holds eight `?`, so it goes with plain `?` placeholders and has to be the last part of
    /// the statement that has any.
    pub fn condition(&self) -> &str {
        &self.condition
    }

    /// What is fenced.
    pub fn token(&self) -> &FencingToken {
        &self.token
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::sqlite::SqliteArguments;
    use sqlx::{AssertSqlSafe, Executor, Sqlite, SqliteConnection, query::Query};

    use super::{Error, ErrorKind, Fence, Fenced, Result};
    use crate::dialect::Value;
    use crate::sqlite::{bind, now};

    impl Fence {
        /// Binds the values of the condition, after those that were bound already. Bind and execute at once: the
        /// lease's time is compared with the moment of this call.
        pub fn bind(&self, query: Query<'static, Sqlite, SqliteArguments>) -> Query<'static, Sqlite, SqliteArguments> {
            let values = self.values.iter().cloned().chain([Value::from(now())]);
            values.fold(query, bind)
        }

        /// Checks the token inside the host's transaction. After `Ok(Ok(()))` nobody is granted a higher one before that
        /// transaction ends, because the check takes the file's write lock.
        ///
        /// # Errors
        /// [`Invalid`](ErrorKind::Invalid) if `host` is in no transaction: then nothing would hold the answer true until the write.
        /// [`Unavailable`](ErrorKind::Unavailable) if the write lock is not to be had, as when the transaction began by reading
        /// and another has written since: begin with `BEGIN IMMEDIATE`.
        pub async fn check(&self, host: &mut SqliteConnection) -> Result<std::result::Result<(), Fenced>> {
            // `SQLite` refuses to begin a transaction inside of one, and that is the only way to ask from here.
            if host.execute("BEGIN").await.is_ok() {
                let ended = host.execute("ROLLBACK").await;
                let rule = "it must be in a transaction: begin one (BEGIN IMMEDIATE), check, write, commit";
                let error = Error::invalid("fence", failover_core::Invalid::new("connection", "autocommit", rule));
                return Err(ended.err().map_or(error.clone(), |e| error.with_source(e)));
            }
            // Changes nothing, but as a write takes the write lock.
            let check = self.bind(sqlx::query(AssertSqlSafe(format!("{} AND {}", self.touch, self.condition))));
            let current = check.execute(host).await.map(|done| done.rows_affected() == 1).map_err(|e| {
                let message = "the token could not be checked: roll back, and begin again with BEGIN IMMEDIATE";
                Error::new(ErrorKind::Unavailable, "fence", message).with_source(e)
            })?;
            Ok(if current { Ok(()) } else { Err(Fenced { token: self.token.clone() }) })
        }
    }
}
