use failover_testing::mariadb;

use super::{Served, Store};

pub(crate) struct Mariadb(mariadb::Mariadb);

impl Store for Mariadb {
    fn start() -> Self {
        Self(mariadb::Mariadb::start())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn wipe(&mut self) {
        self.0.execute("DROP DATABASE failover; CREATE DATABASE failover");
    }
}

impl Served for Mariadb {
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
