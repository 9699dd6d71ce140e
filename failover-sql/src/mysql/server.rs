//! What a server says of itself, and whether this store can work with that.

use failover_core::{Durability, Error, ErrorKind, Invalid, Result};

use super::classify::Stage;
use super::open::{OPEN, Opening};
use super::session::READ_ONLY;
use crate::dialect::{Fault, Row, Value};

/// The least `max_allowed_packet`: the longest document, and a batch of the longest reports as JSON, with room to spare.
const PACKET: i64 = 1024 * 1024;

/// Settings that decide what this store can promise.
pub(super) struct Server {
    /// `server_id`: no two servers of a replication topology share it.
    pub(super) id: i64,
    /// Whether `SYSDATE` goes on within a statement: not with `sysdate-is-now`.
    pub(super) clock_moves: bool,
    packet: i64,
    read_only: bool,
    flush: i64,
    binary_log: Option<BinaryLog>,
    galera: bool,
    replicas: i64,
}

struct BinaryLog {
    sync: i64,
    format: String,
}

impl Server {
    pub(super) async fn look(opening: &mut Opening) -> Result<Self, Fault> {
        let rows = opening
            .text(
                "SELECT @@server_id, SLEEP(0.002) = 1 OR SYSDATE(6) > NOW(6), \
                 @@max_allowed_packet, @@global.read_only, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, \
                 CAST(@@binlog_format AS CHAR)",
                Stage::Before,
            )
            .await?;
        let row = first(rows);
        // Neither is there on every server, and asking so needs no right.
        let galera = first(opening.text("SHOW VARIABLES LIKE 'wsrep_on'", Stage::Before).await?);
        let replicas = first(opening.text("SHOW GLOBAL STATUS LIKE 'Slaves_connected'", Stage::Before).await?);
        Ok(Self {
            id: row.int(0)?,
            clock_moves: row.int(1)? != 0,
            packet: row.int(2)?,
            read_only: row.int(3)? != 0,
            flush: row.int(4)?,
            binary_log: (row.int(5)? != 0).then_some(BinaryLog { sync: row.int(6)?, format: row.text(7)?.to_owned() }),
            galera: galera.text(1).is_ok_and(|on| on.eq_ignore_ascii_case("ON")),
            replicas: replicas.text(1).ok().and_then(|n| n.parse().ok()).unwrap_or(0),
        })
    }

    /// What an acknowledged grant survives there, or why the store is not opened there.
    pub(super) fn judge(&self, accept_volatile: bool) -> Result<Durability> {
        let refuse = |field: &str, value: &dyn std::fmt::Display, rule: &str| {
            Err(Error::invalid(OPEN, Invalid::new(field, value, rule)))
        };
        if self.read_only {
            return Err(Error::new(ErrorKind::Denied, OPEN, READ_ONLY));
        }
        if self.galera {
            let rule = "the servers of a Galera cluster judge by several clocks, and each decides for itself until it commits: \
                        use a single server";
            return refuse("wsrep_on", &"ON", rule);
        }
        if self.packet < PACKET {
            return refuse(
                "max_allowed_packet",
                &self.packet,
                "the server must take packets of at least 1 MiB: raise it there",
            );
        }
        if let Some(BinaryLog { format, .. }) = &self.binary_log
            && format.eq_ignore_ascii_case("STATEMENT")
        {
            let rule = "the server must log rows (ROW or MIXED): with statements it refuses READ COMMITTED";
            return refuse("binlog_format", format, rule);
        }
        // With a binary log, a transaction that is not in it after a crash is rolled back.
        let sync = self.binary_log.as_ref().map_or(1, |log| log.sync);
        if self.flush == 1 && sync == 1 {
            let replicated = self.replicas > 0;
            return Ok(if replicated { Durability::AsyncReplica } else { Durability::SingleNode });
        }
        if accept_volatile {
            return Ok(Durability::Volatile);
        }
        let (field, value) = match self.flush {
            1 => ("sync_binlog", sync),
            flush => ("innodb_flush_log_at_trx_commit", flush),
        };
        let rule = "the server must flush what it acknowledges, or a power cut takes terms back: set it to 1, or accept that by \
                    its name: `durability=volatile`";
        refuse(field, &value, rule)
    }
}

fn first(rows: Vec<Vec<Value>>) -> Row {
    Row { operation: OPEN, values: rows.into_iter().next().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Server {
        Server {
            id: 1,
            clock_moves: true,
            packet: 16 * PACKET,
            read_only: false,
            flush: 1,
            binary_log: None,
            galera: false,
            replicas: 0,
        }
    }

    fn logged(sync: i64, format: &str) -> Server {
        Server { binary_log: Some(BinaryLog { sync, format: format.into() }), ..sound() }
    }

    #[test]
    fn what_a_server_does_not_flush_has_to_be_accepted_by_name() {
        assert_eq!(sound().judge(false).unwrap(), Durability::SingleNode);
        assert_eq!(Server { replicas: 1, ..sound() }.judge(false).unwrap(), Durability::AsyncReplica);
        assert_eq!(logged(1, "MIXED").judge(false).unwrap(), Durability::SingleNode);
        for (server, field) in
            [(Server { flush: 2, ..sound() }, "innodb_flush_log_at_trx_commit"), (logged(0, "ROW"), "sync_binlog")]
        {
            let error = server.judge(false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(field) && error.to_string().contains("durability=volatile"), "{error}");
            assert_eq!(server.judge(true).unwrap(), Durability::Volatile);
        }
    }

    #[test]
    fn settings_that_break_promises_are_refused_by_name() {
        for (server, says) in [
            (Server { read_only: true, ..sound() }, "read_only"),
            (Server { galera: true, ..sound() }, "wsrep_on"),
            (Server { packet: 65536, ..sound() }, "max_allowed_packet"),
            (logged(1, "STATEMENT"), "binlog_format"),
        ] {
            let error = server.judge(true).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
