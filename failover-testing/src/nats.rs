//! [`Nats`]: a NATS server with `JetStream` of a test's own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::port;

/// A NATS server with `JetStream` on a free port. It needs no password, unless it was started with one.
///
/// It does not flush every write to the disk: what is tested here survives the kill of a process, not a power cut.
#[derive(Debug)]
pub struct Nats {
    daemon: Daemon,
    port: u16,
    directory: TempDir,
}

impl Nats {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// If it is not installed: the message names the package.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more options of `nats-server`, such as `["--user", "u", "--pass", "p"]`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = port::free();
        let store = directory.path().join("store").display().to_string();
        let number = port.to_string();
        let mut program = vec![program(), "-js", "-sd", &store, "-a", "127.0.0.1", "-p", &number];
        program.extend(options);
        let daemon = Daemon::start("nats-server", "nats-server", &program, &directory.path().join("log"));
        let mut server = Self { daemon, port, directory };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        // It listens only once `JetStream` has recovered what it keeps.
        self.daemon.wait_until(|| greets(address).unwrap_or(false));
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// Its address through another port, such as a [`Proxy`](crate::proxy::Proxy)'s.
    pub fn url_at(&self, port: u16) -> String {
        format!("nats://127.0.0.1:{port}")
    }

    /// Stops it (SIGSTOP): its connections stay open, nothing answers.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again with what it kept, after [`kill`](Self::kill), and waits until it serves.
    pub fn start_again(&mut self) {
        self.daemon.start_again();
        self.wait_until_ready();
    }

    /// Keeps a copy of all it has on disk, to [`restore`](Self::restore) later. It is killed and started again for it.
    pub fn back_up(&mut self) {
        self.kill();
        copy(&self.directory.path().join("store"), &self.directory.path().join("backup"));
        self.start_again();
    }

    /// Puts the state of the last [`back_up`](Self::back_up) in the place of what it has.
    pub fn restore(&mut self) {
        self.kill();
        remove(&self.directory.path().join("store"));
        copy(&self.directory.path().join("backup"), &self.directory.path().join("store"));
        self.start_again();
    }

    /// Loses all it has: killed, its directory removed, started again.
    pub fn wipe(&mut self) {
        self.kill();
        remove(&self.directory.path().join("store"));
        self.start_again();
    }
}

/// Debian keeps it where not everybody's `PATH` looks.
fn program() -> &'static str {
    let debian = "/usr/sbin/nats-server";
    if Path::new(debian).exists() { debian } else { "nats-server" }
}

/// Whether a server with `JetStream` introduces itself there.
fn greets(address: SocketAddr) -> std::io::Result<bool> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.starts_with("INFO ") && line.contains("\"jetstream\":true"))
}

fn remove(directory: &Path) {
    if directory.exists() {
        std::fs::remove_dir_all(directory).expect("a directory of our own can be removed");
    }
}

/// Copies a directory with all below it.
fn copy(from: &Path, to: &Path) {
    remove(to);
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("a directory can be read").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Asks the server by the text protocol, as nothing but a socket is at hand here.
    fn ask(port: u16, subject: &str, payload: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let size = payload.len();
        write!(
            &stream,
            "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer {size}\r\n{payload}\r\n"
        )
        .unwrap();
        BufReader::new(stream).lines().map(Result::unwrap).find(|line| line.starts_with('{')).unwrap()
    }

    #[test]
    fn a_stream_outlives_a_kill_comes_back_from_a_backup_and_not_from_a_wipe() {
        let mut server = Nats::start();
        let created =
            ask(server.port(), "$JS.API.STREAM.CREATE.s", r#"{"name":"s","subjects":["a"],"storage":"file"}"#);
        assert!(!created.contains("error"), "{created}");
        server.kill();
        server.start_again();
        let there = |server: &Nats| !ask(server.port(), "$JS.API.STREAM.INFO.s", "").contains("error");
        assert!(there(&server));
        server.back_up();
        server.wipe();
        assert!(!there(&server));
        server.restore();
        assert!(there(&server));
    }
}
