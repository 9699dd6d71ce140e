use failover_testing::etcd;

use super::{Served, Store};

pub(crate) struct Etcd(etcd::Etcd);

impl Store for Etcd {
    fn start() -> Self {
        Self(etcd::Etcd::start())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }
}

impl Served for Etcd {
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

/// Three servers; a fault of the server is one of all three, and the `leader` cells are about one.
pub(crate) struct EtcdThree(pub(crate) etcd::EtcdCluster);

impl EtcdThree {
    fn each(&mut self, what: impl Fn(&mut etcd::Etcd)) {
        (0..3).for_each(|index| what(self.0.member(index)));
    }
}

impl Store for EtcdThree {
    fn start() -> Self {
        Self(etcd::EtcdCluster::start())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn wipe(&mut self) {
        let member = &self.0.members()[0];
        member.ctl(&["del", "", "--prefix"]);
    }
}

impl Served for EtcdThree {
    fn ports(&self) -> Vec<u16> {
        self.0.members().iter().map(etcd::Etcd::port).collect()
    }

    fn url_at(&self, ports: &[u16]) -> String {
        self.0.url_at(ports)
    }

    fn pause(&mut self) {
        self.each(|server| server.pause());
    }

    fn resume(&mut self) {
        self.each(|server| server.resume());
    }

    fn kill(&mut self) {
        self.each(etcd::Etcd::kill);
    }

    fn start_again(&mut self) {
        // None is ready before the others are there.
        std::thread::scope(|scope| {
            for server in self.0.members_mut() {
                scope.spawn(|| server.start_again());
            }
        });
    }
}
