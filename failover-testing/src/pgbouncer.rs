//! [`Pgbouncer`]: a transaction-mode pooler in front of a `PostgreSQL` server.

use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::port;
use crate::postgres::{Postgres, SUPERUSER, as_server_words};
use crate::room::Room;

/// `pgbouncer` in transaction mode: one server connection serves many clients, each for one transaction at a time.
#[derive(Debug)]
pub struct Pgbouncer {
    daemon: Daemon,
    _room: Room,
    port: u16,
}

impl Pgbouncer {
    /// In front of all databases of a server.
    ///
    /// # Panics
    /// If it cannot be started: the message names the package.
    pub fn start(server: &Postgres) -> Self {
        let room = Room::new("failover-pgbouncer-");
        let port = port::free();
        let file = room.path().join("pgbouncer.ini");
        let password = server.password().map(|password| format!(" password={password}")).unwrap_or_default();
        // Two server connections a database: a session that came to count on one would lose it at once.
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={SUPERUSER}{password}\n[pgbouncer]\nlisten_addr=127.0.0.1\n\
             listen_port={port}\nauth_type=any\npool_mode=transaction\ndefault_pool_size=2\nmin_pool_size=0\n\
             max_client_conn=2000\nserver_idle_timeout=5\nunix_socket_dir=\n",
            server.port()
        );
        std::fs::write(&file, text).expect("a file can be written");
        let mut program = as_server_words();
        program.push(find("pgbouncer", &["/usr/sbin", "/usr/bin"]).display().to_string());
        program.push(file.display().to_string());
        let mut daemon = Daemon::start("pgbouncer", "pgbouncer", &program, &room.path().join("log"));
        daemon.wait_for_port(port);
        Self { daemon, _room: room, port }
    }

    /// The port it listens on, on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it printed.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn find(name: &str, directories: &[&str]) -> PathBuf {
    let found = directories.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("`{name}` is not installed; on Debian: apt-get install {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::psql;

    #[test]
    fn a_pooler_serves_the_databases_of_its_server() {
        let server = Postgres::start();
        let (pooler, database) = (Pgbouncer::start(&server), server.database());
        let done = psql(pooler.port(), None, database.name(), "SELECT 1 + 1");
        assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "2", "{}", pooler.log());
    }
}
