//! What an error of the server or of the connection to it means to a caller.

use failover_core::{Error, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;

use crate::dialect::Fault;

/// How far a call had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// There was no connection yet.
    Connect,
    /// Before its commit was asked for: nothing is applied.
    Before,
    /// Its commit was asked for, or that of a statement that is a transaction of its own.
    Commit,
}

/// The classification of a failed statement.
pub(super) fn classify(operation: &'static str, stage: Stage, error: sqlx::Error) -> Fault {
    let number = match &error {
        sqlx::Error::Database(e) => e.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number),
        _ => None,
    };
    let text = error.to_string();
    let (kind, message) = match number {
        Some(number) => by_number(number, &text, stage),
        None if stage == Stage::Connect && is_tls(&error) => (
            ErrorKind::Denied,
            "the server could not show by TLS that it is the one that was asked for: check the host's name in the address and \
             the certificate of the authority",
        ),
        None if stage == Stage::Connect => {
            (ErrorKind::Unavailable, "the server cannot be reached: check host and port, and that it runs")
        }
        None => (uncertain(stage), "the connection to the server broke: the call may be repeated"),
    };
    let busy = number.is_some_and(is_busy);
    let error = Error::new(kind, operation, message).with_source(error);
    if busy { Fault::Busy(error) } else { Fault::Failed(error) }
}

/// Whether the connection can be used no more: it broke, or nobody knows what will come out of it next.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    !matches!(error, sqlx::Error::Database(_))
}

/// The call's own time ran out.
pub(super) fn too_late(operation: &'static str, stage: Stage) -> Fault {
    let kind = uncertain(stage);
    let message =
        "the server did not answer in time (options `timeout` and `connect_timeout`): the call may be repeated";
    Fault::Failed(Error::new(kind, operation, message))
}

fn uncertain(stage: Stage) -> ErrorKind {
    match stage {
        Stage::Connect | Stage::Before => ErrorKind::Unavailable,
        Stage::Commit => ErrorKind::Unknown,
    }
}

fn is_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(e) => e.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Rolled back by the server because of others: a deadlock, a lock not had in time, a record changed under a snapshot. Also a
/// commit that fails so is rolled back.
fn is_busy(number: u16) -> bool {
    matches!(number, 1020 | 1205 | 1213 | 1614 | 3572)
}

/// The numbers are the same in both families; above 1900 they part.
fn by_number(number: u16, text: &str, stage: Stage) -> (ErrorKind, &'static str) {
    match number {
        _ if is_busy(number) => (
            ErrorKind::Unavailable,
            "others held the rows all the time: look for a long transaction of the host's own on these tables",
        ),
        1290 | 1792 | 1836 => (
            ErrorKind::Denied,
            "the server is read-only: connect to the one that takes writes, or make this one writable",
        ),
        1044 | 1045 | 1129 | 1130 | 1142 | 1143 | 1227 | 1251 | 1370 | 1698 | 1820 | 1862 | 2059 | 3118 | 3159
        | 4151 => {
            (ErrorKind::Denied, "the server does not permit it: check user, password and rights (see rights/mysql.sql)")
        }
        1049 if stage == Stage::Connect => (
            ErrorKind::Invalid,
            "the database named in the address does not exist on the server: create it, or correct the address",
        ),
        1046 | 1049 | 1146 => (
            ErrorKind::StoreChanged,
            "the tables of this store are gone from the database: open it anew, with a term floor",
        ),
        1054 | 1062 | 1136 | 1264 | 1292 | 1364 | 1366 | 1406 => {
            (ErrorKind::Corrupt, "the tables are not of this crate's schema: choose another table prefix")
        }
        1153 => (
            ErrorKind::Invalid,
            "the value is longer than the server's max_allowed_packet: raise that to 4 MiB or more; nothing was written",
        ),
        1021 | 1114 => (ErrorKind::Full, FULL),
        // A storage engine's error with the system's number for a full disk or quota.
        1026 | 1030 if text.contains(" 28 ") || text.contains("Errcode: 28") || text.contains("Errcode: 122") => {
            (ErrorKind::Full, FULL)
        }
        1040 | 1203 | 1226 if stage != Stage::Commit => (
            ErrorKind::Unavailable,
            "the server takes no more connections: raise max_connections or the account's limit",
        ),
        1286 => (ErrorKind::Invalid, "the server has no InnoDB, which this crate's tables need: enable it"),
        _ => (uncertain(stage), "the server failed: the call may be repeated"),
    }
}

const FULL: &str = "the server's disk or table space is full: make room; nothing was written";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_kinds() {
        for (number, text, kind) in [
            (1213, "", ErrorKind::Unavailable),
            (1205, "", ErrorKind::Unavailable),
            (1045, "", ErrorKind::Denied),
            (1142, "", ErrorKind::Denied),
            (1290, "", ErrorKind::Denied),
            (1146, "", ErrorKind::StoreChanged),
            (1049, "", ErrorKind::StoreChanged),
            (1114, "", ErrorKind::Full),
            (1030, "Got error 28 \"No space left on device\"", ErrorKind::Full),
            (1030, "Got error 5", ErrorKind::Unavailable),
            (1153, "", ErrorKind::Invalid),
            (1054, "", ErrorKind::Corrupt),
            (1053, "", ErrorKind::Unavailable),
        ] {
            assert_eq!(by_number(number, text, Stage::Before).0, kind, "{number}");
        }
        assert_eq!(by_number(1049, "", Stage::Connect).0, ErrorKind::Invalid, "it never was there");
        assert_eq!(by_number(1053, "", Stage::Commit).0, ErrorKind::Unknown, "shut down in a commit");
        assert!(is_busy(1213) && !is_busy(1053));
    }
}
