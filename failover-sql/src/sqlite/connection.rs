//! Connections, and the few lines that run a statement on one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use failover_core::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Row as _, SqliteConnection, TypeInfo, ValueRef};

use super::classify::{Stage, classify};
use crate::dialect::{Fault, Value};

/// How long `SQLite` itself waits for a lock, on the connection's own thread. Short, because a caller who gave up meanwhile
/// leaves that thread busy; whoever is still interested tries again.
const BUSY: Duration = Duration::from_millis(100);

/// How many rows of an answer a connection's thread reads ahead.
const ROWS: usize = 256;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Heartbeats and renewals, `synchronous = NORMAL`: a commit is not flushed to disk at once. A power cut may lose the last
    /// beats and renewals, which only shortens rights; and every process that had one died with this host.
    Pulse,
    /// Grants, jobs and documents, `synchronous = FULL`: a term once granted survives a power cut (law 2).
    Durable,
    /// Reading change hints.
    Watch,
}

/// Whether a missing file is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

pub(super) async fn connect(
    operation: &'static str,
    path: &Path,
    purpose: Purpose,
    missing: Missing,
) -> Result<SqliteConnection, Fault> {
    let synchronous = match purpose {
        Purpose::Pulse | Purpose::Watch => SqliteSynchronous::Normal,
        Purpose::Durable => SqliteSynchronous::Full,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(missing == Missing::Create)
        .busy_timeout(BUSY)
        .synchronous(synchronous)
        // A batch of jobs does not wait for its reader on the way.
        .row_buffer_size(ROWS)
        .thread_name(|n| format!("failover-sql-{n}"))
        // Neither statements nor what is slow about them: hosts see our own events.
        .disable_statement_logging();
    options.connect().await.map_err(|e| classify(operation, Stage::Before, e))
}

/// Runs a statement and returns its rows.
pub(super) async fn rows(
    connection: &mut SqliteConnection,
    sql: Arc<str>,
    args: Vec<Value>,
) -> Result<Vec<Vec<Value>>, sqlx::Error> {
    let rows = bound(sql, args).fetch_all(connection).await?;
    rows.iter().map(values).collect()
}

/// Runs a statement and returns how many rows it changed.
pub(super) async fn run(
    connection: &mut SqliteConnection,
    sql: Arc<str>,
    args: Vec<Value>,
) -> Result<u64, sqlx::Error> {
    Ok(bound(sql, args).execute(connection).await?.rows_affected())
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// The statement's text is a template of ours with a checked table prefix in it; everything else is bound (law 18).
fn bound(sql: Arc<str>, args: Vec<Value>) -> Query {
    args.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), bind)
}

pub(super) fn bind(query: Query, value: Value) -> Query {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Int(n) => query.bind(n),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    }
}

fn values(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    let columns = row.columns().iter();
    columns
        .map(|column| {
            let at = column.ordinal();
            let raw = row.try_get_raw(at)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            match raw.type_info().name() {
                "INTEGER" => row.try_get_unchecked(at).map(Value::Int),
                "TEXT" => row.try_get_unchecked(at).map(Value::Text),
                // A REAL cannot be in a STRICT table of ours; as bytes it is refused where it is read.
                _ => row.try_get_unchecked(at).map(Value::Bytes),
            }
        })
        .collect()
}
