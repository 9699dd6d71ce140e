//! Fences in a host's own statements on the file.

use async_trait::async_trait;
use failover_core::Result;
use sqlx::{AssertSqlSafe, Executor, Sqlite, SqliteConnection};

use super::{bind, now};
use crate::dialect::Value;
use crate::fence::{FenceConnection, FenceDatabase, FenceQuery, FenceValues, FenceWords, sealed, unchecked};

pub(super) const FENCE: FenceWords = FenceWords {
    moment: "?",
    keep: "",
    // Changes nothing, but as a write takes the write lock.
    check: "UPDATE {meta} SET version = version WHERE id = 1 AND {exists}",
    placeholder: |_| "?".to_owned(),
};

impl sealed::Sealed for Sqlite {}
impl sealed::Sealed for SqliteConnection {}

impl FenceDatabase for Sqlite {
    fn bind_fence(values: &FenceValues, query: FenceQuery<Self>) -> FenceQuery<Self> {
        values.0.iter().cloned().chain([Value::from(now())]).fold(query, bind)
    }
}

#[async_trait]
impl FenceConnection for SqliteConnection {
    async fn in_transaction(&mut self) -> Result<bool> {
        // `SQLite` refuses to begin a transaction inside of one, and that is the only way to ask from here.
        if self.execute("BEGIN").await.is_err() {
            return Ok(true);
        }
        let ended = self.execute("ROLLBACK").await;
        ended.map(|_| false).map_err(|e| unchecked(e, "the connection broke"))
    }

    async fn check_fence(&mut self, check: String, values: &FenceValues) -> Result<bool> {
        let check = Sqlite::bind_fence(values, sqlx::query(AssertSqlSafe(check)));
        let done =
            check.execute(self).await.map_err(|e| unchecked(e, "roll back, and begin again with BEGIN IMMEDIATE"))?;
        Ok(done.rows_affected() == 1)
    }
}
