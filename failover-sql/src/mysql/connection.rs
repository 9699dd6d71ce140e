//! The few lines that run a statement on a connection.

use std::sync::Arc;

use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{AssertSqlSafe, Column, MySql, MySqlConnection, Row as _, TypeInfo, ValueRef};

use crate::dialect::Value;

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// How many rows it found (not: changed; the driver asks the server to count so). An insert that became an update counts two.
    pub(super) rows: u64,
    /// What the statement handed to `LAST_INSERT_ID`.
    pub(super) id: u64,
    /// Whether it was sent before, on a connection that broke.
    pub(super) repeated: bool,
}

/// Runs a prepared statement and returns its rows.
pub(super) async fn rows(
    connection: &mut MySqlConnection,
    sql: Arc<str>,
    args: Vec<Value>,
) -> Result<Vec<Vec<Value>>, sqlx::Error> {
    let rows = bound(sql, args).fetch_all(connection).await?;
    rows.iter().map(values).collect()
}

/// Runs a prepared statement.
pub(super) async fn run(
    connection: &mut MySqlConnection,
    sql: Arc<str>,
    args: Vec<Value>,
) -> Result<Done, sqlx::Error> {
    let done = bound(sql, args).execute(connection).await?;
    Ok(Done { rows: done.rows_affected(), id: done.last_insert_id(), repeated: false })
}

/// Runs several statements in one round trip, and returns the rows of all. For texts of ours that have no values in them.
pub(super) async fn text(connection: &mut MySqlConnection, sql: Arc<str>) -> Result<Vec<Vec<Value>>, sqlx::Error> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(values).collect()
}

pub(crate) type Query = sqlx::query::Query<'static, MySql, MySqlArguments>;

/// The statement's text is a template of ours with a checked table prefix in it; everything else is bound (law 18).
fn bound(sql: Arc<str>, args: Vec<Value>) -> Query {
    args.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), bind)
}

pub(crate) fn bind(query: Query, value: Value) -> Query {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Int(n) => query.bind(n),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    }
}

fn values(row: &MySqlRow) -> Result<Vec<Value>, sqlx::Error> {
    let columns = row.columns().iter();
    columns
        .map(|column| {
            let at = column.ordinal();
            let raw = row.try_get_raw(at)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            match raw.type_info().name() {
                // Names are kept as bytes, so that they are compared as such. One that is no text is refused where it is parsed.
                "VARBINARY" | "BINARY" => {
                    let bytes: Vec<u8> = row.try_get_unchecked(at)?;
                    Ok(String::from_utf8(bytes).map_or_else(|e| Value::Bytes(e.into_bytes()), Value::Text))
                }
                "VARCHAR" | "CHAR" | "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" => {
                    row.try_get_unchecked(at).map(Value::Text)
                }
                kind if kind.contains("INT") || kind == "BOOLEAN" => row.try_get_unchecked(at).map(Value::Int),
                _ => row.try_get_unchecked(at).map(Value::Bytes),
            }
        })
        .collect()
}
