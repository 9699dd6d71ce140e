//! A primary, its replicas, and the Sentinels that watch them.

use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use tempfile::TempDir;

use super::{Redis, command};
use crate::daemon::{Daemon, PATIENCE};

/// One primary, one replica and three Sentinels, which call the set `main`.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: [Redis; 2],
    sentinels: Vec<(u16, Daemon)>,
    _directory: TempDir,
}

impl RedisSentinel {
    /// Starts them all; `arguments` go to both servers.
    pub fn start(arguments: &[&str]) -> Self {
        let primary = Redis::start_with(arguments);
        let replica = Redis::replica_of(primary.port(), arguments);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut sentinels: Vec<(u16, Daemon)> = (0..3)
            .map(|i| {
                let port = crate::port::free();
                let place = directory.path().join(format!("s{i}"));
                std::fs::create_dir(&place).expect("a directory can be made");
                let configuration = format!(
                    "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 2\n\
                     sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n",
                    place.display(),
                    primary.port(),
                );
                let file = place.join("sentinel.conf");
                std::fs::write(&file, configuration).expect("a file can be written");
                let program = ["redis-server", file.to_str().expect("a path that is text"), "--sentinel"];
                (port, Daemon::start("redis-sentinel", "redis-server", &program, &place.join("log")))
            })
            .collect();
        for (port, sentinel) in &mut sentinels {
            sentinel.wait_until(|| {
                let told = command(*port, None, &["SENTINEL", "MASTER", "main"]).unwrap_or_default();
                // They find each other through the primary, and can fail over only then.
                let field = |name: &str| told.lines().skip_while(|line| *line != name).nth(1).map(str::to_owned);
                field("num-other-sentinels").as_deref() == Some("2") && field("num-slaves").as_deref() == Some("1")
            });
        }
        Self { servers: [primary, replica], sentinels, _directory: directory }
    }

    /// The address of the set, as `failover-redis` reads it: nothing counts before the replica has it.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/main?wait=1", hosts.join(","))
    }

    /// The ports of the Sentinels.
    pub fn sentinels(&self) -> Vec<u16> {
        self.sentinels.iter().map(|(port, _)| *port).collect()
    }

    /// The port of the server that the first Sentinel calls the primary.
    pub fn primary(&self) -> u16 {
        let asked = command(self.sentinels[0].0, None, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
        let told = asked.unwrap_or_else(|e| panic!("the Sentinel: {e}"));
        told.lines().nth(1).and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no address: {told}"))
    }

    /// A server by its port.
    ///
    /// # Panics
    /// If there is none.
    pub fn server(&mut self, port: u16) -> &mut Redis {
        self.servers.iter_mut().find(|server| server.port() == port).expect("one of the two servers")
    }

    /// Runs a command on the primary.
    pub fn command(&self, parts: &[&str]) -> String {
        command(self.primary(), None, parts).unwrap_or_else(|e| panic!("{parts:?}: {e}"))
    }

    /// Stops the first few Sentinels (SIGSTOP): they accept connections and answer nothing.
    pub fn pause_sentinels(&self, count: usize) {
        self.sentinels.iter().take(count).for_each(|(_, sentinel)| sentinel.pause());
    }

    /// Has the Sentinels fail over, and waits until the other server is the primary, and the former one its replica.
    ///
    /// # Panics
    /// If that does not come about within [`PATIENCE`].
    pub fn fail_over(&self) {
        let before = self.primary();
        let first = self.sentinels[0].0;
        self.eventually("a failover can begin", || {
            command(first, None, &["SENTINEL", "FAILOVER", "main"]).is_ok_and(|said| said == "OK")
        });
        self.wait_for_change(before);
        // The Sentinels would tell it themselves, when they next look at it: up to ten seconds later.
        let now = self.primary().to_string();
        command(before, None, &["REPLICAOF", "127.0.0.1", &now]).unwrap_or_else(|e| panic!("REPLICAOF: {e}"));
        self.eventually("the former primary follows", || {
            let replication = command(before, None, &["INFO", "replication"]).unwrap_or_default();
            replication.contains("role:slave") && replication.contains("master_link_status:up")
        });
    }

    /// Waits until all Sentinels name another primary than this, and it says so itself.
    pub fn wait_for_change(&self, before: u16) {
        self.eventually("all name another primary", || {
            self.sentinels.iter().all(|(port, _)| {
                let told = command(*port, None, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]).unwrap_or_default();
                let named = told.lines().nth(1).and_then(|port| port.parse().ok());
                named.is_some_and(|named| {
                    let role = command(named, None, &["ROLE"]).unwrap_or_default();
                    named != before && role.starts_with("master")
                })
            })
        });
    }

    /// Waits until the primary has a replica in step with it.
    pub fn wait_for_replica(&self) {
        self.eventually("a replica follows the primary", || {
            let replication = command(self.primary(), None, &["INFO", "replication"]).unwrap_or_default();
            replication.contains("state=online")
        });
    }

    #[expect(clippy::unused_self, reason = "reads as one of its questions")]
    fn eventually(&self, what: &str, is_so: impl Fn() -> bool) {
        let clock = SystemClock::new();
        let give_up = clock.now() + PATIENCE;
        while !is_so() {
            assert!(clock.now() < give_up, "not after {PATIENCE:?}: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
