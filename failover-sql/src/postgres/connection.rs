//! Connections: how one is made, and what it is asked first.
//!
//! Each is told its limits in its first message, among them a setting of our own. A pooler in transaction mode refuses or drops
//! what it cannot keep for a client, so whoever does not find that setting again speaks to one. (Guessing from a failed
//! prepared statement would be too late: it may be another client's of the same name, run with our values.)

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use failover_core::{Durability, Error, ErrorKind, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};

use super::classify::{Stage, classify, sqlstate};
use super::options::{Pooler, PostgresOptions, Promotion};
use crate::dialect::Fault;

/// A connection.
pub(super) struct Link {
    pub(super) connection: PgConnection,
    /// Whether each transaction may be in another of the server's sessions.
    pub(super) pooled: bool,
    /// Whether what takes over has been run on it.
    pub(super) warm: bool,
}

/// Where a store is: tables that were restored, copied or promoted are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) clock: String,
    pub(super) timeline: String,
}

/// A server, and what is known of the way to it.
pub(super) struct Server {
    pub(super) options: PostgresOptions,
    direct: PgConnectOptions,
    pooled: PgConnectOptions,
    learned: AtomicU8,
    durability: AtomicU8,
    hello: String,
}

const UNKNOWN: u8 = 0;
const DIRECT: u8 = 1;
const POOLED: u8 = 2;

const DURABILITIES: [Durability; 4] =
    [Durability::Volatile, Durability::AsyncReplica, Durability::SingleNode, Durability::SyncReplica];

/// The identity of the server, the database and the meta table, in that statement.
pub(super) fn clock_sql(meta: &str) -> String {
    format!(
        "(SELECT system_identifier::text FROM pg_control_system()) || '/' || \
         (SELECT oid::text FROM pg_database WHERE datname = current_database()) || '/' || \
         coalesce(to_regclass('{meta}')::oid::text, '')"
    )
}

pub(super) const TIMELINE_SQL: &str = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";

impl Server {
    pub(super) fn new(options: PostgresOptions) -> Self {
        let (address, tls) = (&options.address, &options.tls);
        let mut plain = PgConnectOptions::new_without_pgpass()
            .host(&address.host)
            .port(address.port)
            .username(&address.user)
            .database(&address.database)
            .application_name("failover")
            // Poolers know nothing of it.
            .extra_float_digits(None)
            .ssl_mode(match tls.mode.as_str() {
                "disable" => PgSslMode::Disable,
                "require" => PgSslMode::Require,
                "verify-ca" => PgSslMode::VerifyCa,
                "verify-full" => PgSslMode::VerifyFull,
                _ => PgSslMode::Prefer,
            })
            // Neither statements nor what is slow about them: hosts see our own events.
            .disable_statement_logging();
        if let Some(password) = &address.password {
            plain = plain.password(password.reveal());
        }
        if let Some(root) = &tls.root {
            plain = plain.ssl_root_cert(root);
        }
        if let Some(certificate) = &tls.certificate {
            plain = plain.ssl_client_cert(certificate);
        }
        if let Some(key) = &tls.key {
            plain = plain.ssl_client_key(key);
        }
        let settings = settings(options.common.timeout);
        let direct = plain.clone().options(settings.iter().map(|(name, value)| (*name, value.as_str())));
        let direct = direct.options([
            ("failover.direct", "yes"),
            ("default_transaction_isolation", "read committed"),
            // Every statement of ours looks rows up by key, whatever the values: to plan it again takes longer than to run it.
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        let learned = match options.pooler {
            Pooler::Auto => UNKNOWN,
            Pooler::None => DIRECT,
            Pooler::Transaction => POOLED,
        };
        let clock = clock_sql(&format!("{}meta", options.common.prefix));
        let hello = format!(
            "SELECT current_setting('failover.direct', true), pg_is_in_recovery()::text, current_setting('fsync'), \
                current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication)::text, \
                CASE WHEN NOT pg_is_in_recovery() THEN {clock} END, \
                CASE WHEN NOT pg_is_in_recovery() THEN {TIMELINE_SQL} END"
        );
        let (learned, durability) = (AtomicU8::new(learned), AtomicU8::new(0));
        Self { options, direct, pooled: plain.statement_cache_capacity(0), learned, durability, hello }
    }

    /// Whether there is a pooler, as far as is known.
    pub(super) fn is_pooled(&self) -> bool {
        self.learned.load(Ordering::Relaxed) == POOLED
    }

    /// What to listen with: only where a session is our own.
    pub(super) fn listening(&self) -> Option<PgConnectOptions> {
        let direct = self.learned.load(Ordering::Relaxed) == DIRECT;
        direct.then(|| self.direct.clone())
    }

    pub(super) fn durability(&self) -> Durability {
        DURABILITIES.get(usize::from(self.durability.load(Ordering::Relaxed))).copied().unwrap_or(Durability::Volatile)
    }

    /// Connects, and tells where it came to.
    pub(super) async fn connect(&self, operation: &'static str) -> Result<(Link, Origin), Fault> {
        let limit = self.options.common.connect_timeout;
        tokio::time::timeout(limit, self.reach(operation)).await.unwrap_or_else(|_elapsed| {
            let message = format!(
                "no connection to the server within {limit:?}: check the address and the network, or raise connect_timeout"
            );
            Err(Error::new(ErrorKind::Unavailable, operation, message).into())
        })
    }

    async fn reach(&self, operation: &'static str) -> Result<(Link, Origin), Fault> {
        let failed = |e| classify(operation, Stage::Connect, e);
        let learned = self.learned.load(Ordering::Relaxed);
        if learned != POOLED {
            match self.direct.connect().await {
                Ok(connection) => {
                    let (mut link, origin, alone) = self.greet(operation, connection).await?;
                    link.pooled = !alone && self.options.pooler == Pooler::Auto;
                    self.learned.store(if link.pooled { POOLED } else { DIRECT }, Ordering::Relaxed);
                    if !link.pooled {
                        return Ok((link, origin));
                    }
                }
                Err(error) if learned == UNKNOWN && refuses_settings(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let connection = self.pooled.connect().await.map_err(failed)?;
        let (mut link, origin, _) = self.greet(operation, connection).await?;
        link.pooled = true;
        self.learned.store(POOLED, Ordering::Relaxed);
        Ok((link, origin))
    }

    async fn greet(
        &self,
        operation: &'static str,
        mut connection: PgConnection,
    ) -> Result<(Link, Origin, bool), Fault> {
        let failed = |e| classify(operation, Stage::Connect, e);
        // Not prepared: nobody knows yet where the next message goes.
        let row = sqlx::raw_sql(AssertSqlSafe(self.hello.as_str())).fetch_one(&mut connection).await.map_err(failed)?;
        let text = |at| text(&row, at).map_err(failed);
        if text(1)?.as_deref() != Some("false") {
            let message = "the server is a standby: let the address point at the primary";
            return Err(Error::new(ErrorKind::Unavailable, operation, message).into());
        }
        let durability = match (text(2)?.as_deref(), text(3)?.as_deref(), text(4)?.as_deref()) {
            (Some("off"), ..) => Durability::Volatile,
            (_, Some(names), _) if !names.is_empty() => Durability::SyncReplica,
            (_, _, Some("0")) => Durability::SingleNode,
            _ => Durability::AsyncReplica,
        };
        let index = DURABILITIES.iter().position(|d| *d == durability).and_then(|i| u8::try_from(i).ok());
        self.durability.store(index.unwrap_or(0), Ordering::Relaxed);
        let origin = Origin { clock: text(5)?.unwrap_or_default(), timeline: text(6)?.unwrap_or_default() };
        let alone = text(0)?.is_some();
        Ok((Link { connection, pooled: false, warm: false }, origin, alone))
    }

    /// Whether this is where the store was opened.
    pub(super) fn check_origin(&self, operation: &'static str, opened: &Origin, found: &Origin) -> Result<(), Error> {
        let same = opened.clock == found.clock;
        if same && (opened.timeline == found.timeline || self.options.promotion == Promotion::Accept) {
            return Ok(());
        }
        Err(moved(operation, same))
    }
}

pub(super) fn moved(operation: &'static str, same_tables: bool) -> Error {
    let message = if same_tables {
        "the server is on another timeline: a replica was promoted or a backup recovered, and the last grants may be lost; open it \
         anew, with a term floor above every term that was in use (or say promotion=accept if every promoted replica is synchronous)"
    } else {
        "the tables are in another server or database than they were made in: they were restored or copied; open them anew, with \
         a term floor above every term that was in use"
    };
    Error::new(ErrorKind::StoreChanged, operation, message)
}

/// What bounds a session, or each transaction where there is none: a node that is gone holds no lock for longer.
fn settings(timeout: Duration) -> Vec<(&'static str, String)> {
    // A wait for a lock ends before the call does, so that its error tells what was waited for; not much before, because who
    // asks again is the last in the queue.
    let (all, lock) = (timeout.as_millis().max(1), (timeout * 3 / 4).as_millis().max(1));
    vec![
        ("statement_timeout", all.to_string()),
        ("idle_in_transaction_session_timeout", all.to_string()),
        ("lock_timeout", lock.to_string()),
        // Whatever the user's default: a renewal that a crash undoes would let another in while its holder trusts it.
        ("synchronous_commit", "on".to_owned()),
    ]
}

/// Begins a transaction that brings its bounds along.
pub(super) fn begin_with_settings(begin: &str, timeout: Duration) -> String {
    let settings = settings(timeout).into_iter().map(|(name, value)| format!("; SET LOCAL {name} = {value}"));
    settings.fold(begin.to_owned(), |begin, setting| begin + &setting)
}

/// Whether a pooler refused what our first message asked for.
fn refuses_settings(error: &sqlx::Error) -> bool {
    let code = sqlstate(error);
    let text = error.to_string();
    match code.as_deref() {
        Some("08P01" | "0A000") => true,
        // Some give no code.
        Some(code) => !code.starts_with("28") && text.contains("startup parameter"),
        None => text.contains("startup parameter"),
    }
}

fn text(row: &PgRow, at: usize) -> Result<Option<String>, sqlx::Error> {
    row.try_get_unchecked(at)
}
