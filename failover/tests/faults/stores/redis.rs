use failover_testing::redis;

use super::{Served, Store};

/// What makes a server have every write on disk before it answers.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

pub(crate) struct Redis(redis::Redis);

impl Store for Redis {
    fn start() -> Self {
        Self(redis::Redis::durable())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }
}

impl Served for Redis {
    fn ports(&self) -> Vec<u16> {
        vec![self.0.port()]
    }

    fn url_at(&self, ports: &[u16]) -> String {
        self.0.url_at(ports[0])
    }

    fn pause(&mut self) {
        self.0.pause();
    }

    fn resume(&mut self) {
        self.0.resume();
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn start_again(&mut self) {
        self.0.start_again();
    }
}

/// A primary and a replica that has every grant before it counts.
pub(crate) struct RedisSentinel(pub(crate) redis::RedisSentinel);

impl Store for RedisSentinel {
    fn start() -> Self {
        let set = redis::RedisSentinel::start(&DURABLE);
        set.wait_for_replica();
        Self(set)
    }

    fn url(&self) -> String {
        format!("{}&wait=1", self.0.url())
    }

    fn wipe(&mut self) {
        self.0.command(&["FLUSHALL"]);
    }
}

/// Three primaries that share the slots. A fault of the server is one of all three.
pub(crate) struct RedisCluster(redis::RedisCluster);

impl RedisCluster {
    fn each(&mut self, what: impl Fn(&mut redis::Redis)) {
        (0..3).for_each(|place| what(self.0.node(place)));
    }
}

impl Store for RedisCluster {
    fn start() -> Self {
        Self(redis::RedisCluster::start(&DURABLE))
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn wipe(&mut self) {
        self.each(|server| server.wipe());
    }
}

impl Served for RedisCluster {
    fn ports(&self) -> Vec<u16> {
        unreachable!("its servers tell their own addresses")
    }

    fn url_at(&self, _ports: &[u16]) -> String {
        unreachable!("its servers tell their own addresses")
    }

    fn pause(&mut self) {
        self.each(|server| server.pause());
    }

    fn resume(&mut self) {
        self.each(|server| server.resume());
    }

    fn kill(&mut self) {
        self.each(redis::Redis::kill);
    }

    fn start_again(&mut self) {
        self.each(redis::Redis::start_again);
        self.0.wait_until_ok();
    }
}
