//! Fences in a host's own statements on the server.

use async_trait::async_trait;
use failover_core::Result;
use sqlx::{AssertSqlSafe, Executor, MySql, MySqlConnection};

use super::connection::bind;
use crate::fence::{FenceConnection, FenceDatabase, FenceQuery, FenceValues, FenceWords, sealed, unchecked};

pub(super) const FENCE: FenceWords = FenceWords {
    // In the host's session, whose time zone is its own affair: the difference to UTC is taken out.
    moment: "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', SYSDATE(6)) \
             - TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), NOW(6))) * 1000",
    keep: " LOCK IN SHARE MODE",
    check: "SELECT 1 FROM {table}, {meta} AS m WHERE {condition} LOCK IN SHARE MODE",
    placeholder: |_| "?".to_owned(),
};

impl sealed::Sealed for MySql {}
impl sealed::Sealed for MySqlConnection {}

impl FenceDatabase for MySql {
    fn bind_fence(values: &FenceValues, query: FenceQuery<Self>) -> FenceQuery<Self> {
        values.0.iter().cloned().fold(query, bind)
    }
}

#[async_trait]
impl FenceConnection for MySqlConnection {
    async fn in_transaction(&mut self) -> Result<bool> {
        // Outside of a transaction a savepoint is forgotten at once. There is no other way to ask that all servers have.
        let broke = |e| unchecked(e, "the connection broke");
        self.execute("SAVEPOINT failover_fence").await.map_err(broke)?;
        match self.execute("ROLLBACK TO SAVEPOINT failover_fence").await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(_)) => Ok(false),
            Err(error) => Err(broke(error)),
        }
    }

    async fn check_fence(&mut self, check: String, values: &FenceValues) -> Result<bool> {
        let check = MySql::bind_fence(values, sqlx::query(AssertSqlSafe(check)));
        let found = check.fetch_optional(self).await;
        Ok(found.map_err(|e| unchecked(e, "roll back, and begin again"))?.is_some())
    }
}
