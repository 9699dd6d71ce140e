//! What a `SQLite` result code means to a caller (sqlite.org/rescode.html).

use failover_core::{Error, ErrorKind};

use crate::dialect::Fault;

/// How far a transaction had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before its commit was asked for: nothing is applied.
    Before,
    /// Its commit was asked for.
    Commit,
}

/// The classification of a failed statement.
pub(super) fn classify(operation: &'static str, stage: Stage, error: sqlx::Error) -> Fault {
    let text = error.to_string();
    let code = match &error {
        sqlx::Error::Database(e) => e.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    let (kind, message) = match code {
        Some(code) => by_code(code, &text, stage),
        None => (uncertain(stage), "the connection to the database broke: the call may be repeated"),
    };
    let busy = matches!(code.map(|code| code & 0xff), Some(5 | 6));
    let error = Error::new(kind, operation, message).with_source(error);
    // A commit in WAL mode holds the write lock already, so it is never busy; were it, its transaction would still be open and
    // is rolled back.
    if busy { Fault::Busy(error) } else { Fault::Failed(error) }
}

fn uncertain(stage: Stage) -> ErrorKind {
    match stage {
        Stage::Before => ErrorKind::Unavailable,
        Stage::Commit => ErrorKind::Unknown,
    }
}

fn by_code(code: u32, text: &str, stage: Stage) -> (ErrorKind, &'static str) {
    // Extended codes carry the primary one in their low byte.
    match (code, code & 0xff) {
        // READONLY_DBMOVED
        (1032, _) => (
            ErrorKind::StoreChanged,
            "the database file was moved or deleted under this running node: restart it, with a term floor",
        ),
        (_, 5 | 6) => (
            ErrorKind::Unavailable,
            "others held the database's lock all the time: look for a long transaction of the host's own",
        ),
        // IOERR_SHMSIZE: the shared memory file could not grow.
        (4874, _) | (_, 13) => (
            ErrorKind::Full,
            "the disk is full, or the database has reached its page limit: make room; nothing was written",
        ),
        (_, 3 | 8 | 23) => {
            (ErrorKind::Denied, "the database cannot be written: check the rights of the file and its directory")
        }
        (_, 11 | 26) => (
            ErrorKind::Corrupt,
            "the file is no SQLite database or is damaged: check the path, or restore the file; it was left as it is",
        ),
        (_, 14) => (
            ErrorKind::Unavailable,
            "the database cannot be opened: check the directory's rights and the process's limit of open files",
        ),
        (_, 1) if text.contains("no such table") => (
            ErrorKind::StoreChanged,
            "the tables of this store are gone from the database: open it anew, with a term floor",
        ),
        (_, 1) if text.contains("no such column") => {
            (ErrorKind::Corrupt, "the tables are not of this crate's schema: choose another table prefix")
        }
        (_, 19 | 20) => (ErrorKind::Corrupt, "the tables are not of this crate's schema: choose another table prefix"),
        _ => (uncertain(stage), "the database failed: the call may be repeated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_kinds() {
        for (code, text, kind) in [
            (5, "", ErrorKind::Unavailable),
            (517, "", ErrorKind::Unavailable),
            (8, "", ErrorKind::Denied),
            (1544, "", ErrorKind::Denied),
            (1032, "", ErrorKind::StoreChanged),
            (13, "", ErrorKind::Full),
            (4874, "", ErrorKind::Full),
            (11, "", ErrorKind::Corrupt),
            (26, "", ErrorKind::Corrupt),
            (1, "no such table: failover_meta", ErrorKind::StoreChanged),
            (10, "", ErrorKind::Unavailable),
        ] {
            assert_eq!(by_code(code, text, Stage::Before).0, kind, "{code}");
        }
        assert_eq!(by_code(10, "", Stage::Commit).0, ErrorKind::Unknown, "a failed commit may have been applied");
        assert_eq!(by_code(13, "", Stage::Commit).0, ErrorKind::Full);
    }
}
