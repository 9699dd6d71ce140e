//! What an SQLSTATE means to a caller (postgresql.org/docs/current/errcodes-appendix.html).

use failover_core::{Error, ErrorKind};

use crate::dialect::Fault;

/// How far a transaction had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// There was no session yet.
    Connect,
    /// Before its commit was asked for: nothing is applied.
    Before,
    /// Its commit was asked for, or it is a statement that is its own transaction.
    Commit,
}

pub(super) fn classify(operation: &'static str, stage: Stage, error: sqlx::Error) -> Fault {
    let code = sqlstate(&error);
    let (kind, message) = match (&code, &error) {
        (Some(code), _) => by_code(code, stage),
        (None, sqlx::Error::Tls(_)) => UNTRUSTED,
        // The TLS library tells of a certificate it refuses as of invalid data.
        (None, sqlx::Error::Io(e)) if stage == Stage::Connect && e.kind() == std::io::ErrorKind::InvalidData => {
            UNTRUSTED
        }
        (None, sqlx::Error::Configuration(_)) => (
            ErrorKind::Invalid,
            "a certificate or key of the address cannot be used: check sslrootcert, sslcert, sslkey",
        ),
        (None, _) if stage == Stage::Connect => (
            ErrorKind::Unavailable,
            "the server cannot be reached: check the address, and whether it runs and accepts connections there",
        ),
        (None, _) => (uncertain(stage), "the connection to the server broke: the call may be repeated"),
    };
    let busy = matches!(code.as_deref(), Some("40001" | "40P01" | "55P03"));
    let error = Error::new(kind, operation, message).with_source(error);
    if busy { Fault::Busy(error) } else { Fault::Failed(error) }
}

/// The server's code of an error, if it is the server's.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

const UNTRUSTED: (ErrorKind, &str) = (
    ErrorKind::Denied,
    "TLS failed: the server has none, or its certificate is not for this host name or not of a trusted authority: check \
     sslmode, sslrootcert and the host in the address",
);

fn uncertain(stage: Stage) -> ErrorKind {
    match stage {
        Stage::Connect | Stage::Before => ErrorKind::Unavailable,
        Stage::Commit => ErrorKind::Unknown,
    }
}

fn by_code(code: &str, stage: Stage) -> (ErrorKind, &'static str) {
    match code {
        "40001" | "40P01" | "55P03" => (
            ErrorKind::Unavailable,
            "others held the rows all the time: look for a long transaction of the host's own (pg_stat_activity, pg_locks)",
        ),
        "57014" => (ErrorKind::Unavailable, "the server took too long and gave the statement up: nothing was applied"),
        "28P01" | "28000" => {
            (ErrorKind::Denied, "the server refuses the user or its password: check both, and pg_hba.conf")
        }
        "42501" => (
            ErrorKind::Denied,
            "the user may not do that: give it the rights in failover-sql/rights/postgres.sql, or let its owner make the tables",
        ),
        "3D000" => (ErrorKind::Invalid, "there is no such database: create it, or correct its name in the address"),
        "25006" | "55000" => {
            (ErrorKind::Unavailable, "the server is a standby or read-only: let the address point at the primary")
        }
        "53100" => (ErrorKind::Full, "the server's disk is full: make room; nothing was written"),
        "53300" => {
            (ErrorKind::Unavailable, "the server has no connection left: raise max_connections, or use a pooler")
        }
        "3F000" if stage == Stage::Connect => (ErrorKind::Denied, NO_SCHEMA),
        "3F000" | "42P01" => (
            ErrorKind::StoreChanged,
            "the tables of this store are gone from the database: open it anew, with a term floor",
        ),
        "26000" | "42P05" | "08P01" => (
            ErrorKind::Unavailable,
            "the server lost or mixed up a prepared statement: is there a pooler? then say pooler=transaction",
        ),
        "42703" | "42804" | "22P02" => {
            (ErrorKind::Corrupt, "the tables are not of this crate's schema: choose another table prefix")
        }
        _ if code.starts_with("23") => {
            (ErrorKind::Corrupt, "the tables are not of this crate's schema: choose another table prefix")
        }
        _ => (uncertain(stage), "the server failed or is going down: the call may be repeated"),
    }
}

const NO_SCHEMA: &str = "there is no schema to make the tables in: set the user's search_path, or create one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_kinds() {
        for (code, kind) in [
            ("40P01", ErrorKind::Unavailable),
            ("28P01", ErrorKind::Denied),
            ("42501", ErrorKind::Denied),
            ("3D000", ErrorKind::Invalid),
            ("25006", ErrorKind::Unavailable),
            ("53100", ErrorKind::Full),
            ("42P01", ErrorKind::StoreChanged),
            ("23502", ErrorKind::Corrupt),
            ("57P01", ErrorKind::Unavailable),
        ] {
            assert_eq!(by_code(code, Stage::Before).0, kind, "{code}");
        }
        assert_eq!(by_code("57P01", Stage::Commit).0, ErrorKind::Unknown, "it may have been applied");
        assert_eq!(by_code("57014", Stage::Commit).0, ErrorKind::Unavailable, "a statement that was given up was not");
    }
}
