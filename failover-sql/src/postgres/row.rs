//! Statements and rows: from our values to the server's and back.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Postgres, Row as _, TypeInfo, ValueRef, query::Query};

use crate::dialect::Value;

/// Whether the server remembers a statement for the next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepare {
    /// Under a name, for as long as the session lives: one round trip from the second time on.
    Once,
    /// Anew each time: behind a pooler the next transaction may be in another session.
    Always,
}

pub(super) async fn rows(
    connection: &mut PgConnection,
    prepare: Prepare,
    sql: Arc<str>,
    args: Vec<Value>,
) -> Result<Vec<Vec<Value>>, sqlx::Error> {
    let rows = bound(prepare, sql, args).fetch_all(connection).await?;
    rows.iter().map(values).collect()
}

pub(super) async fn run(
    connection: &mut PgConnection,
    prepare: Prepare,
    sql: Arc<str>,
    args: Vec<Value>,
) -> Result<u64, sqlx::Error> {
    Ok(bound(prepare, sql, args).execute(connection).await?.rows_affected())
}

type PgQuery = Query<'static, Postgres, PgArguments>;

/// The statement's text is a template of ours with a checked table prefix in it; everything else is bound (law 18).
fn bound(prepare: Prepare, sql: Arc<str>, args: Vec<Value>) -> PgQuery {
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(prepare == Prepare::Once);
    args.into_iter().fold(query, bind)
}

pub(super) fn bind(query: PgQuery, value: Value) -> PgQuery {
    match value {
        // Every column of ours that may be null is a text.
        Value::Null => query.bind(None::<String>),
        Value::Int(n) => query.bind(n),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    }
}

fn values(row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
    let columns = row.columns().iter();
    columns
        .map(|column| {
            let at = column.ordinal();
            let raw = row.try_get_raw(at)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            match raw.type_info().name() {
                "INT8" => row.try_get(at).map(Value::Int),
                "BOOL" => row.try_get::<bool, _>(at).map(Value::from),
                "TEXT" => row.try_get(at).map(Value::Text),
                // A type that is none of ours is refused where it is read.
                _ => row.try_get_unchecked(at).map(Value::Bytes),
            }
        })
        .collect()
}
