//! Tables of the service's own, in the same file: which server did something for which job under which token, and who was paged.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use failover::sql::{Fence, SqlStore};
use failover::{JobRun, NodeId, ResponseRun};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteQueryResult};
use stage::Error;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS work (
        id     INTEGER PRIMARY KEY,
        job    TEXT NOT NULL,
        server TEXT NOT NULL,
        token  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS pages (
        id       INTEGER PRIMARY KEY,
        server   TEXT NOT NULL,
        paged_by TEXT NOT NULL
    ) STRICT";

/// Opens the file as any program would that has tables in it.
pub(crate) async fn open(file: &Path) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(5));
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    Ok(pool)
}

/// Enters that a server did something for a job. The token goes with the write: the condition is judged where the write happens, so a
/// server that is paused just before this line does not write over its successor.
pub(crate) async fn enter(pool: &SqlitePool, store: &SqlStore, run: &JobRun, server: &NodeId) -> Result<(), Error> {
    let (job, token) = (run.spec().id().to_string(), i64::try_from(run.token().number)?);
    let fence = store.fence_job(run.job())?;
    let sql = format!("INSERT INTO work (job, server, token) SELECT ?, ?, ? WHERE {}", fence.condition_after(3));
    let query = sqlx::query(AssertSqlSafe(sql)).bind(job).bind(server.to_string()).bind(token);
    made(&fence.bind(query).execute(pool).await?, &fence)
}

/// Enters that a server is down, for whoever is on call; under the token of the active server, which is the one that responds.
pub(crate) async fn page(pool: &SqlitePool, store: &SqlStore, run: &ResponseRun) -> Result<(), Error> {
    let (down, by) = (run.incident().claim.node.to_string(), run.right().lease().holder.node.to_string());
    let fence = store.fence(run.right().lease());
    let sql = format!("INSERT INTO pages (server, paged_by) SELECT ?, ? WHERE {}", fence.condition_after(2));
    let query = sqlx::query(AssertSqlSafe(sql)).bind(down).bind(by);
    made(&fence.bind(query).execute(pool).await?, &fence)
}

/// Nothing is written under a token that is not current any more.
fn made(done: &SqliteQueryResult, fence: &Fence) -> Result<(), Error> {
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(format!("{} is not current any more", fence.token()).into()),
    }
}

/// Which servers were reported to whoever is on call, and by whom: one row for each page, in order.
pub(crate) async fn pages(pool: &SqlitePool) -> Result<Vec<(String, String)>, Error> {
    Ok(sqlx::query_as("SELECT server, paged_by FROM pages ORDER BY id").fetch_all(pool).await?)
}

/// The reckoning, from what the servers entered: for each job who worked on it, one after the other.
pub(crate) async fn reckon(pool: &SqlitePool) -> Result<BTreeMap<String, String>, Error> {
    let rows = sqlx::query_as::<_, (String, String, i64)>("SELECT job, server, token FROM work ORDER BY id");
    let mut jobs: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for (job, server, token) in rows.fetch_all(pool).await? {
        jobs.entry(job).or_default().push((server, token));
    }
    jobs.into_iter().map(|(job, entries)| Ok((job, stage::one_at_a_time(entries)?))).collect()
}
