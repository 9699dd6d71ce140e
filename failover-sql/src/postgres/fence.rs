//! Fences in a host's own statements on the server.

use async_trait::async_trait;
use failover_core::Result;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres};

use super::row::bind;
use crate::fence::{FenceConnection, FenceDatabase, FenceQuery, FenceValues, FenceWords, sealed, unchecked};

/// The server's clock at this moment. `now()` would be the beginning of the host's transaction.
pub(super) const MOMENT: &str = "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)";

pub(super) const FENCE: FenceWords = FenceWords {
    moment: MOMENT,
    keep: " FOR KEY SHARE OF l",
    // The weakest lock: a grant and a release take the one it is in the way of, a renewal does not.
    check: "SELECT 1 FROM {table}, {meta} AS m WHERE {condition} FOR KEY SHARE OF l",
    placeholder: |n| format!("${n}"),
};

impl sealed::Sealed for Postgres {}
impl sealed::Sealed for PgConnection {}

impl FenceDatabase for Postgres {
    fn bind_fence(values: &FenceValues, query: FenceQuery<Self>) -> FenceQuery<Self> {
        values.0.iter().cloned().fold(query, bind)
    }
}

#[async_trait]
impl FenceConnection for PgConnection {
    async fn in_transaction(&mut self) -> Result<bool> {
        if self.is_in_transaction() {
            return Ok(true);
        }
        // One that was begun by a statement of the host's own: only inside of one a savepoint is possible.
        if self.execute("SAVEPOINT failover_fence").await.is_err() {
            return Ok(false);
        }
        let released = self.execute("RELEASE SAVEPOINT failover_fence").await;
        released.map(|_| true).map_err(|e| unchecked(e, ADVICE))
    }

    async fn check_fence(&mut self, check: String, values: &FenceValues) -> Result<bool> {
        // The lock may have been waited for: what is judged again after that is the row, not the clock. So it is asked twice.
        for _ in 0..2 {
            let query = sqlx::query(AssertSqlSafe(check.clone())).persistent(false);
            let row = Postgres::bind_fence(values, query).fetch_optional(&mut *self).await;
            if row.map_err(|e| unchecked(e, ADVICE))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

const ADVICE: &str = "roll back, and begin again";
