//! etcd: one server, or three that form a cluster, each a child process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::daemon::{Daemon, PATIENCE};
use crate::port;

/// The Debian package that brings the server.
const PACKAGE: &str = "etcd-server";

/// One etcd server.
///
/// Data is not flushed to disk one by one (`--unsafe-no-fsync`): it survives a kill of the process, which is what tests do.
#[derive(Debug)]
pub struct Etcd {
    directory: TempDir,
    daemon: Daemon,
    addresses: Addresses,
    initial_cluster: String,
    authority: Option<PathBuf>,
    /// The password of `root`, once users have to prove who they are.
    root: Option<String>,
}

#[derive(Debug, Clone)]
struct Addresses {
    name: String,
    client: u16,
    peer: u16,
    /// Health and metrics over plain HTTP, whatever clients have to speak.
    metrics: u16,
}

impl Addresses {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), client: port::free(), peer: port::free(), metrics: port::free() }
    }

    /// As a part of `--initial-cluster`.
    fn initial(&self) -> String {
        format!("{}=http://127.0.0.1:{}", self.name, self.peer)
    }
}

impl Etcd {
    /// A server with an empty store, ready when this returns.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with these arguments added to its command line.
    pub fn start_with(arguments: &[&str]) -> Self {
        let addresses = Addresses::new("test");
        let initial_cluster = addresses.initial();
        let mut etcd = Self::launch(addresses, &initial_cluster, None, arguments);
        etcd.wait_until_ready();
        etcd
    }

    /// One whose clients have to speak TLS. It proves who it is with the certificate.
    pub fn start_with_tls(certificates: &Certificates) -> Self {
        let addresses = Addresses::new("test");
        let initial_cluster = addresses.initial();
        let mut etcd = Self::launch(addresses, &initial_cluster, Some(certificates), &[]);
        etcd.wait_until_ready();
        etcd
    }

    fn launch(addresses: Addresses, cluster: &str, tls: Option<&Certificates>, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let Addresses { name, client, peer, metrics } = &addresses;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let clients = format!("{scheme}://127.0.0.1:{client}");
        let peers = format!("http://127.0.0.1:{peer}");
        let data = directory.path().join("data");
        let mut program = vec!["etcd".to_owned(), "--unsafe-no-fsync".to_owned()];
        for (option, value) in [
            ("name", name.as_str()),
            ("data-dir", data.to_str().expect("a path in UTF-8")),
            ("listen-client-urls", &clients),
            ("advertise-client-urls", &clients),
            ("listen-peer-urls", &peers),
            ("initial-advertise-peer-urls", &peers),
            ("initial-cluster", cluster),
            ("listen-metrics-urls", &format!("http://127.0.0.1:{metrics}")),
        ] {
            program.extend([format!("--{option}"), value.to_owned()]);
        }
        if let Some(tls) = tls {
            for (option, file) in [("cert-file", tls.certificate()), ("key-file", tls.key())] {
                program.extend([format!("--{option}"), file.to_str().expect("a path in UTF-8").to_owned()]);
            }
        }
        program.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let daemon = Daemon::start("etcd", PACKAGE, &program, &directory.path().join("log"));
        let authority = tls.map(Certificates::authority);
        Self { directory, daemon, addresses, initial_cluster: cluster.to_owned(), authority, root: None }
    }

    /// Waits until it serves, which needs a leader.
    fn wait_until_ready(&mut self) {
        let metrics = self.addresses.metrics;
        self.daemon.wait_until(|| http(metrics, "/health").is_some_and(|body| body.contains(r#""health":"true""#)));
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.addresses.client
    }

    /// Its address for this project's backends, without a user.
    pub fn url(&self) -> String {
        self.url_at(self.port())
    }

    /// The address of the same server behind another port of the loopback: a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        let scheme = if self.authority.is_some() { "etcds" } else { "etcd" };
        format!("{scheme}://127.0.0.1:{port}")
    }

    /// Stops the process (SIGSTOP): connections stay open, nothing answers.
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

    /// Starts it again with the data it had, and waits until it serves.
    pub fn start_again(&mut self) {
        self.daemon.start_again();
        self.wait_until_ready();
    }

    /// Loses all data and starts anew under the same addresses: to etcd the same cluster, with revisions that begin again.
    pub fn wipe(&mut self) {
        self.kill();
        self.lose_data();
        self.start_again();
        self.root = None;
    }

    fn lose_data(&self) {
        std::fs::remove_dir_all(self.directory.path().join("data")).expect("the data can be removed");
    }

    /// Copies all data into a file of its own, for [`restore`](Self::restore).
    pub fn save(&self) -> PathBuf {
        let copy = self.directory.path().join("snapshot");
        self.ctl(&["snapshot", "save", copy.to_str().expect("a path in UTF-8")]);
        copy
    }

    /// Replaces the data by a copy that [`save`](Self::save) made, as an operator does after a loss.
    pub fn restore(&mut self, copy: &std::path::Path) {
        self.kill();
        self.lose_data();
        let data = self.directory.path().join("data");
        let peers = format!("http://127.0.0.1:{}", self.addresses.peer);
        let (copy, data) = (copy.to_str().expect("a path in UTF-8"), data.to_str().expect("a path in UTF-8"));
        let mut restore = vec!["snapshot", "restore", copy, "--data-dir", data, "--name", &self.addresses.name];
        restore.extend(["--initial-cluster", &self.initial_cluster, "--initial-advertise-peer-urls", &peers]);
        run(Command::new("etcdctl").env("ETCDCTL_API", "3").args(restore));
        self.start_again();
    }

    /// From now on users have to prove who they are; `root` may do everything with this password.
    pub fn require_users(&mut self, root: &str) {
        self.ctl(&["user", "add", &format!("root:{root}")]);
        self.ctl(&["user", "grant-role", "root", "root"]);
        self.ctl(&["auth", "enable"]);
        self.root = Some(root.to_owned());
    }

    /// Runs `etcdctl` on this server, as `root` if users are required, and returns what it printed.
    ///
    /// # Panics
    /// If it is missing or fails.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        run(self.ctl_command().args(arguments))
    }

    /// `etcdctl` with what it needs to reach this server, to be given a command.
    pub fn ctl_command(&self) -> Command {
        let mut command = Command::new("etcdctl");
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={scheme}://127.0.0.1:{}", self.port()));
        if let Some(authority) = &self.authority {
            command.arg("--cacert").arg(authority);
        }
        if let Some(root) = &self.root {
            command.arg(format!("--user=root:{root}"));
        }
        command
    }

    /// How many messages it has got from clients and peers since its start, those of its streams included.
    pub fn messages(&self) -> u64 {
        let told = http(self.addresses.metrics, "/metrics").unwrap_or_default();
        let counts = told.lines().filter(|line| line.starts_with("grpc_server_msg_received_total"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Whether it says that it leads; one that does not answer does not.
    pub fn leads(&self) -> bool {
        http(self.addresses.metrics, "/metrics").is_some_and(|body| body.contains("\netcd_server_is_leader 1\n"))
    }
}

/// Three etcd servers that form one cluster, with a heartbeat of 50 ms and an election timeout of 500 ms.
#[derive(Debug)]
pub struct EtcdCluster {
    members: Vec<Etcd>,
}

impl EtcdCluster {
    /// Three servers with an empty store, all ready when this returns.
    pub fn start() -> Self {
        let addresses: Vec<Addresses> = ["a", "b", "c"].map(Addresses::new).into();
        let cluster: Vec<String> = addresses.iter().map(Addresses::initial).collect();
        let cluster = cluster.join(",");
        let pace = ["--heartbeat-interval", "50", "--election-timeout", "500"];
        let launch = |addresses: Addresses| Etcd::launch(addresses, &cluster, None, &pace);
        let mut members: Vec<Etcd> = addresses.into_iter().map(launch).collect();
        members.iter_mut().for_each(Etcd::wait_until_ready);
        Self { members }
    }

    /// The servers.
    pub fn members(&self) -> &[Etcd] {
        &self.members
    }

    /// One of the servers, to be killed or started again.
    pub fn member(&mut self, index: usize) -> &mut Etcd {
        &mut self.members[index]
    }

    /// All servers, to be started at once: after all were killed, none is ready before the others are there.
    pub fn members_mut(&mut self) -> &mut [Etcd] {
        &mut self.members
    }

    /// The address of all servers together for this project's backends.
    pub fn url(&self) -> String {
        self.url_at(&self.members.iter().map(Etcd::port).collect::<Vec<_>>())
    }

    /// The address with these ports, such as those of proxies before the servers.
    pub fn url_at(&self, ports: &[u16]) -> String {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("etcd://{}", hosts.join(","))
    }

    /// Which server leads. Waits until one does and answers.
    pub fn leader(&self) -> usize {
        self.leader_but(None)
    }

    /// Which server leads, waiting until it is another one than `former`, as after that was paused or killed.
    pub fn leader_but(&self, former: Option<usize>) -> usize {
        let clock = SystemClock::new();
        let give_up = clock.now() + PATIENCE;
        loop {
            let leads = |&i: &usize| Some(i) != former && self.members[i].leads();
            if let Some(leader) = (0..self.members.len()).find(leads) {
                return leader;
            }
            assert!(clock.now() < give_up, "no server leads after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The answer to a GET on the loopback, or nothing if there is none within a second.
fn http(port: u16, path: &str) -> Option<String> {
    let patience = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn run(command: &mut Command) -> String {
    let done = command.output();
    let done =
        done.unwrap_or_else(|e| panic!("etcdctl cannot be started ({e}); on Debian: apt-get install etcd-client"));
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command:?}: {printed}{}", String::from_utf8_lossy(&done.stderr));
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_its_data_over_a_kill_and_goes_back_to_a_copy() {
        let mut etcd = Etcd::start();
        etcd.ctl(&["put", "a", "1"]);
        let copy = etcd.save();
        etcd.ctl(&["put", "a", "2"]);
        etcd.kill();
        etcd.start_again();
        assert_eq!(etcd.ctl(&["get", "a", "--print-value-only"]), "2\n");
        etcd.restore(&copy);
        assert_eq!(etcd.ctl(&["get", "a", "--print-value-only"]), "1\n");
        etcd.wipe();
        assert_eq!(etcd.ctl(&["get", "a"]), "");
    }

    #[test]
    fn a_server_with_tls_and_users_serves_who_has_both() {
        let certificates = Certificates::for_server("127.0.0.1");
        let mut etcd = Etcd::start_with_tls(&certificates);
        etcd.require_users("secret");
        etcd.ctl(&["put", "a", "1"]);
        etcd.root = None;
        let refused = etcd.ctl_command().args(["get", "a"]).output().unwrap();
        assert!(!refused.status.success());
    }

    #[test]
    fn another_leader_is_elected_when_one_is_paused() {
        let mut cluster = EtcdCluster::start();
        let former = cluster.leader();
        cluster.members()[former].pause();
        assert_ne!(cluster.leader_but(Some(former)), former);
        cluster.members()[former].resume();
        cluster.member(former).kill();
        cluster.member(former).start_again();
    }
}
