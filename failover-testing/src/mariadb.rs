//! [`Mariadb`]: a `MariaDB` server of a test's own.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::certificates::Certificates;
use crate::daemon::Daemon;
use crate::port;
use crate::room::Room;

const SERVER: &str = "mariadb-server-core";
const CLIENT: &str = "mariadb-client-core";

/// A `MariaDB` server on a free port. `root` has no password; the database `failover` is there, more are made as wanted.
///
/// It tells its clients that every commit is flushed to disk and does not do it (`innodb_flush_method = nosync`): what is tested
/// here survives the kill of a process, not a power cut.
#[derive(Debug)]
pub struct Mariadb {
    daemon: Daemon,
    port: u16,
    directory: Room,
    databases: AtomicU64,
}

impl Mariadb {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// If it is not installed: the message names the package.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with this certificate: it speaks TLS with those who ask for it.
    pub fn start_with_tls(certificates: &Certificates) -> Self {
        let option = |name: &str, path: PathBuf| format!("--ssl-{name}={}", path.display());
        let key = option("key", certificates.key());
        Self::start_with(&[&key, &option("cert", certificates.certificate()), &option("ca", certificates.authority())])
    }

    /// The same, with more options of `mariadbd`: of two that disagree the later counts, and these come last.
    pub fn start_with(options: &[&str]) -> Self {
        let directory = Room::new("mariadb");
        let at = directory.path().display();
        let port = port::free();
        let mut program = vec![program("mariadbd"), "--no-defaults".into()];
        program.extend(as_root().map(str::to_owned));
        program.extend([
            format!("--datadir={at}/data"),
            format!("--port={port}"),
            format!("--socket={at}/s"),
            format!("--pid-file={at}/pid"),
        ]);
        let fixed = "--bind-address=127.0.0.1 --skip-name-resolve --skip-log-bin --max-connections=1000 \
                     --innodb-flush-log-at-trx-commit=1 --innodb-flush-method=nosync --innodb-buffer-pool-size=32M \
                     --innodb-log-file-size=8M";
        program.extend(fixed.split_whitespace().map(str::to_owned));
        program.extend(options.iter().map(|&option| option.to_owned()));
        fill(directory.path());
        let daemon = Daemon::start("mariadb", SERVER, &program, &directory.path().join("log"));
        let mut server = Self { daemon, port, directory, databases: AtomicU64::new(0) };
        server.wait_until_ready();
        server.execute("CREATE DATABASE failover");
        server
    }

    fn wait_until_ready(&mut self) {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        self.daemon.wait_until(|| greets(address).unwrap_or(false));
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the database `failover`, for `root`.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same through another port, such as a [`Proxy`](crate::proxy::Proxy)'s.
    pub fn url_at(&self, port: u16) -> String {
        format!("mysql://root@127.0.0.1:{port}/failover")
    }

    /// Makes another database, empty, and tells its name.
    pub fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}"));
        name
    }

    /// The address of a database, for `root`.
    pub fn url_of(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements as `root` and returns what they print: rows as lines, columns between tabs.
    ///
    /// # Panics
    /// If one fails.
    pub fn execute(&self, sql: &str) -> String {
        self.try_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same; what the server said if one fails.
    ///
    /// # Errors
    /// The server's message.
    pub fn try_execute(&self, sql: &str) -> Result<String, String> {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
        client.arg(format!("--socket={}", self.directory.path().join("s").display())).args(["--execute", sql]);
        let done = client.stdin(Stdio::null()).output();
        let done =
            done.unwrap_or_else(|e| panic!("`mariadb` cannot be started ({e}); on Debian: apt-get install {CLIENT}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }

    /// Makes an account that may do nothing yet.
    pub fn account(&self, name: &str, password: &str) {
        self.execute(&format!("CREATE OR REPLACE USER '{name}'@'%' IDENTIFIED BY '{password}'"));
    }

    /// Stops its process (SIGSTOP): sockets stay open, nothing answers.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again, on the same data, and waits until it serves.
    pub fn start_again(&mut self) {
        self.daemon.start_again();
        self.wait_until_ready();
    }

    /// Kills it and starts it again on nothing: as new, with an empty database `failover`.
    pub fn start_empty(&mut self) {
        self.daemon.kill();
        std::fs::remove_dir_all(self.directory.path().join("data")).expect("the data can be removed");
        fill(self.directory.path());
        self.start_again();
        self.execute("CREATE DATABASE failover");
    }

    /// What it printed.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

/// Whether a server greets at the address: its first packet begins with the version of the protocol, ten.
fn greets(address: SocketAddr) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut start = [0; 5];
    connection.read_exact(&mut start)?;
    Ok(start[4] == 10)
}

/// As root the server wants to be told that this is meant.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

/// Servers are in a directory that not everybody searches.
fn program(name: &str) -> String {
    let installed = format!("/usr/sbin/{name}");
    if Path::new(&installed).exists() { installed } else { name.to_owned() }
}

/// Puts the data of a fresh server into `directory`: a copy of what this machine has made once, beside the test's program.
fn fill(directory: &Path) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let test = std::env::current_exe().expect("the test's own path");
    let templates = test.parent().expect("a file is in a directory");
    let template = templates.join("mariadb-template-1");
    if !template.exists() {
        let making = tempfile::tempdir_in(templates).expect("a temporary directory");
        install(&making.path().join("data"));
        // Another process may have been first; then its is as good.
        let _first = std::fs::rename(making.path().join("data"), &template);
    }
    let copied = Command::new("cp").arg("-a").arg(&template).arg(directory.join("data")).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} cannot be copied", template.display());
}

fn install(data: &Path) {
    let mut install = Command::new("mariadb-install-db");
    install.arg("--no-defaults").arg(format!("--datadir={}", data.display())).args(as_root());
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    let done = install.arg("--innodb-log-file-size=8M").stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|e| {
        panic!("`mariadb-install-db` cannot be started ({e}); on Debian: apt-get install {SERVER} {CLIENT}")
    });
    let printed = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&printed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_its_data_over_a_kill_and_loses_it_when_emptied() {
        let mut server = Mariadb::start();
        let database = server.database();
        server.execute(&format!("CREATE TABLE {database}.t (a INT); INSERT INTO {database}.t VALUES (7)"));
        server.kill();
        assert!(server.try_execute("SELECT 1").is_err(), "it is gone");
        server.start_again();
        assert_eq!(server.execute(&format!("SELECT a FROM {database}.t")), "7\n");
        server.start_empty();
        assert!(server.try_execute(&format!("SELECT a FROM {database}.t")).is_err());
        assert_eq!(server.execute("SHOW TABLES IN failover"), "");
    }

    #[test]
    fn a_server_speaks_tls() {
        let certificates = Certificates::for_server("127.0.0.1");
        let server = Mariadb::start_with_tls(&certificates);
        assert_eq!(server.execute("SELECT @@have_ssl"), "YES\n");
    }
}
