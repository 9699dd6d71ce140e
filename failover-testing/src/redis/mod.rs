//! Redis: one server, a primary with replicas and Sentinels, a cluster.

#![allow(clippy::missing_panics_doc, reason = "a server that cannot be started, or does not obey, fails the test")]

mod client;
mod cluster;
mod sentinel;

use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::daemon::Daemon;

pub use client::command;
pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;

/// One Redis server on the loopback, with a directory of its own. It keeps nothing on disk unless it is told to.
#[derive(Debug)]
pub struct Redis {
    daemon: Daemon,
    directory: TempDir,
    port: u16,
    tls_port: Option<u16>,
    password: Option<String>,
    durable: bool,
}

/// Arguments of a server that has every write on disk before it answers.
pub const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

impl Redis {
    /// A server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server that has every write on disk before it answers.
    pub fn durable() -> Self {
        Self::start_with(DURABLE)
    }

    /// A server with more arguments, such as `--requirepass` with a password. They come last, so they win.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::launch(None, arguments)
    }

    /// A server that also listens with this certificate, at [`tls_port`](Self::tls_port).
    pub fn with_tls(certificates: &Certificates, arguments: &[&str]) -> Self {
        let text = |path: PathBuf| path.to_str().expect("a path that is text").to_owned();
        let (port, authority) = (crate::port::free(), text(certificates.authority()));
        let (certificate, key) = (text(certificates.certificate()), text(certificates.key()));
        let number = port.to_string();
        let mut all = vec!["--tls-port", &number, "--tls-auth-clients", "no", "--tls-ca-cert-file", &authority];
        all.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
        all.extend(arguments);
        Self::launch(Some(port), &all)
    }

    /// A replica of the server at a port, in step with it when this returns. A [`Proxy`](crate::proxy::Proxy)'s port lets a test cut the two apart.
    pub fn replica_of(primary: u16, arguments: &[&str]) -> Self {
        let port = primary.to_string();
        let mut all = vec!["--replicaof", "127.0.0.1", &port];
        all.extend(arguments);
        let mut replica = Self::start_with(&all);
        let (port, password) = (replica.port, replica.password.clone());
        replica.daemon.wait_until(|| {
            let told = command(port, password.as_deref(), &["INFO", "replication"]);
            told.is_ok_and(|told| told.contains("master_link_status:up"))
        });
        replica
    }

    fn launch(tls_port: Option<u16>, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = crate::port::free();
        let number = port.to_string();
        let place = directory.path().to_str().expect("a path that is text");
        let mut program = vec!["redis-server", "--port", &number, "--bind", "127.0.0.1", "--dir", place];
        program.extend(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
        program.extend(arguments);
        let daemon = Daemon::start("redis-server", "redis-server", &program, &directory.path().join("log"));
        let password = arguments.iter().position(|argument| *argument == "--requirepass");
        let password = password.and_then(|at| arguments.get(at + 1)).map(|password| (*password).to_owned());
        let durable = arguments.contains(&"always");
        let mut redis = Self { daemon, directory, port, tls_port, password, durable };
        redis.wait_until_ready();
        redis
    }

    fn wait_until_ready(&mut self) {
        let (port, password) = (self.port, self.password.clone());
        // A server that is still loading its data answers with an error.
        self.daemon.wait_until(|| command(port, password.as_deref(), &["PING"]).is_ok_and(|answer| answer == "PONG"));
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port it listens on with TLS.
    ///
    /// # Panics
    /// If it was started without.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("the server was started with TLS")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Its address, as `failover-redis` reads it, accepting that it keeps nothing if that is so.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The address of the same server through another port, a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let accepted = if self.durable { "" } else { "?durability=volatile" };
        format!("redis://{password}127.0.0.1:{port}{accepted}")
    }

    /// Runs a command and returns its answer as text, the parts of an array on lines of their own.
    ///
    /// # Panics
    /// If it fails.
    pub fn command(&self, parts: &[&str]) -> String {
        self.try_command(parts).unwrap_or_else(|e| panic!("{parts:?}: {e}"))
    }

    /// Runs a command that may fail.
    ///
    /// # Errors
    /// The server's own, as text, or that of the connection.
    pub fn try_command(&self, parts: &[&str]) -> io::Result<String> {
        command(self.port, self.password.as_deref(), parts)
    }

    /// How often it has run this command since its start, in the words of its own statistics, such as `evalsha`.
    ///
    /// # Panics
    /// If it does not tell.
    pub fn calls(&self, command: &str) -> u64 {
        let told = self.command(&["INFO", "commandstats"]);
        let of = |line: &str| {
            let rest = line.strip_prefix("cmdstat_")?.strip_prefix(command)?.strip_prefix(":calls=")?;
            rest.split(',').next()?.parse().ok()
        };
        told.lines().find_map(of).unwrap_or(0)
    }

    /// Loses all data, behind the back of everybody who is connected.
    pub fn wipe(&self) {
        self.command(&["FLUSHALL"]);
    }

    /// Stops it (SIGSTOP): sockets stay open, nothing answers.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Kills it (SIGKILL). What it had not written to disk is lost.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again after [`kill`](Self::kill), with what its directory holds; ready when this returns.
    pub fn start_again(&mut self) {
        self.daemon.start_again();
        self.wait_until_ready();
    }

    /// Kills it and starts it again with an empty directory.
    pub fn restart_empty(&mut self) {
        self.kill();
        for entry in std::fs::read_dir(self.directory.path()).expect("its directory").flatten() {
            let path = entry.path();
            let _gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
        self.start_again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_server_keeps_what_it_was_told_and_a_plain_one_does_not() {
        for (mut redis, kept) in [(Redis::durable(), "v"), (Redis::start(), "(nil)")] {
            redis.command(&["SET", "k", "v"]);
            redis.kill();
            redis.start_again();
            assert_eq!(redis.command(&["GET", "k"]), kept);
            redis.restart_empty();
            assert_eq!(redis.command(&["DBSIZE"]), "0");
        }
    }

    #[test]
    fn a_server_counts_the_calls_of_each_command() {
        let redis = Redis::start();
        redis.command(&["SET", "k", "v"]);
        redis.command(&["SET", "k", "w"]);
        redis.command(&["SETNX", "k", "x"]);
        assert_eq!((redis.calls("set"), redis.calls("setnx"), redis.calls("get")), (2, 1, 0));
    }

    #[test]
    fn a_replica_follows_its_primary() {
        let primary = Redis::start();
        let mut replica = Redis::replica_of(primary.port(), &[]);
        primary.command(&["SET", "k", "v"]);
        let port = replica.port();
        replica.daemon.wait_until(|| command(port, None, &["GET", "k"]).is_ok_and(|value| value == "v"));
        assert!(replica.try_command(&["SET", "k", "w"]).is_err(), "it is read-only");
        assert!(replica.command(&["INFO", "replication"]).contains("role:slave"));
    }

    #[test]
    fn a_failover_of_the_sentinels_changes_the_primary() {
        let set = RedisSentinel::start(&[]);
        let before = set.primary();
        set.fail_over();
        assert_ne!(set.primary(), before);
    }

    #[test]
    fn a_slot_of_the_cluster_moves_with_its_keys() {
        let cluster = RedisCluster::start(&[]);
        let slot = cluster.slot("{tag}");
        let (from, to) = (cluster.owner(slot), cluster.other(slot));
        cluster.command(from, &["SET", "{tag}k", "v"]);
        assert!(cluster.try_command(to, &["GET", "{tag}k"]).unwrap_err().to_string().contains("MOVED"));
        cluster.migrate(slot, to);
        assert_eq!((cluster.owner(slot), cluster.command(to, &["GET", "{tag}k"])), (to, "v".to_owned()));
    }
}
