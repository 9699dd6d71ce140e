//! Three primaries that share the slots.

use std::io;
use std::time::Duration;

use failover_core::time::{Clock, SystemClock};

use super::Redis;
use crate::daemon::PATIENCE;

const SLOTS: u16 = 16_384;

/// Three primaries without replicas, each with a third of the slots.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts them; `arguments` go to each.
    pub fn start(arguments: &[&str]) -> Self {
        let nodes: Vec<Redis> = (0..3)
            .map(|_| {
                let bus = crate::port::free().to_string();
                let mut all = vec!["--cluster-enabled", "yes", "--cluster-port", &bus];
                // Long, so that a busy machine does not make nodes believe that others failed.
                all.extend(["--cluster-node-timeout", "5000"]);
                all.extend(arguments);
                let node = Redis::start_with(&all);
                assert!(node.command(&["CLUSTER", "INFO"]).contains("cluster_state"), "it is a node");
                node
            })
            .collect();
        let cluster = Self { nodes };
        cluster.join();
        cluster
    }

    fn join(&self) {
        let (share, count) = (SLOTS / 3, self.nodes.len());
        for (i, node) in self.nodes.iter().enumerate() {
            let first = share * u16::try_from(i).expect("three nodes");
            let last = if i + 1 == count { SLOTS - 1 } else { first + share - 1 };
            // Different from the start, or they would have to find out who is right.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        for other in &self.nodes[1..] {
            let bus = self.bus(other);
            self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus]);
        }
        self.wait_until_ok();
    }

    #[expect(clippy::unused_self, reason = "reads as one of its questions")]
    fn bus(&self, node: &Redis) -> String {
        node.command(&["CONFIG", "GET", "cluster-port"]).lines().nth(1).expect("a port").to_owned()
    }

    /// Waits until every node knows all nodes and finds every slot served.
    ///
    /// # Panics
    /// If that does not come about within [`PATIENCE`].
    pub fn wait_until_ok(&self) {
        let clock = SystemClock::new();
        let give_up = clock.now() + PATIENCE;
        let ok = |node: &Redis| {
            let told = node.try_command(&["CLUSTER", "INFO"]).unwrap_or_default();
            told.contains("cluster_state:ok")
                && told.contains("cluster_known_nodes:3")
                && told.contains("cluster_size:3")
        };
        while !self.nodes.iter().all(ok) {
            assert!(clock.now() < give_up, "the cluster is not whole after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address of the cluster, as `failover-redis` reads it.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        let accepted = if self.nodes[0].durable { "" } else { "?durability=volatile" };
        format!("redis+cluster://{}{accepted}", hosts.join(","))
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).parse().expect("a number")
    }

    /// The node (by its place) that serves a slot.
    ///
    /// # Panics
    /// If none does.
    pub fn owner(&self, slot: u16) -> usize {
        let serves = |node: &Redis| {
            let table = node.command(&["CLUSTER", "NODES"]);
            let myself = table.lines().find(|line| line.contains("myself")).expect("a node knows itself");
            let mut ranges = myself.split(' ').skip(8).filter(|range| !range.starts_with('['));
            ranges.any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.parse::<u16>().expect("a slot");
                (number(first)..=number(last)).contains(&slot)
            })
        };
        self.nodes.iter().position(serves).expect("every slot is served")
    }

    /// A node that does not serve a slot.
    pub fn other(&self, slot: u16) -> usize {
        (self.owner(slot) + 1) % self.nodes.len()
    }

    /// A node by its place.
    pub fn node(&mut self, place: usize) -> &mut Redis {
        &mut self.nodes[place]
    }

    /// Runs a command on a node.
    pub fn command(&self, place: usize, parts: &[&str]) -> String {
        self.nodes[place].command(parts)
    }

    /// Runs a command on a node that may fail.
    ///
    /// # Errors
    /// As [`Redis::try_command`].
    pub fn try_command(&self, place: usize, parts: &[&str]) -> io::Result<String> {
        self.nodes[place].try_command(parts)
    }

    /// Begins to move a slot to a node: from now on both serve a part of it.
    pub fn begin_migration(&self, slot: u16, to: usize) {
        let (from, slot) = (self.owner(slot), slot.to_string());
        let (from_id, to_id) = (self.command(from, &["CLUSTER", "MYID"]), self.command(to, &["CLUSTER", "MYID"]));
        self.command(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        self.command(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    }

    /// Moves some of the keys of a slot whose migration has begun; how many.
    pub fn move_keys(&self, slot: u16, to: usize, most: usize) -> usize {
        let from = self.owner(slot);
        let keys = self.command(from, &["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()]);
        let keys: Vec<&str> = keys.lines().collect();
        let port = self.nodes[to].port().to_string();
        if !keys.is_empty() {
            let mut parts = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "20000", "KEYS"];
            parts.extend(&keys);
            self.command(from, &parts);
        }
        keys.len()
    }

    /// Moves a slot with all its keys to a node.
    pub fn migrate(&self, slot: u16, to: usize) {
        self.begin_migration(slot, to);
        self.end_migration(slot, to);
    }

    /// Moves what is left of a slot, and gives it to its new node.
    pub fn end_migration(&self, slot: u16, to: usize) {
        while self.move_keys(slot, to, 100) > 0 {}
        let id = self.command(to, &["CLUSTER", "MYID"]);
        // The new node first: it is the one that has to know.
        for place in [to].into_iter().chain((0..self.nodes.len()).filter(|place| *place != to)) {
            self.command(place, &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id]);
        }
    }
}
