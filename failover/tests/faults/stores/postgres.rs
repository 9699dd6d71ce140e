use failover_testing::postgres;

use super::{Served, Store};

pub(crate) struct Postgres(postgres::Postgres);

impl Store for Postgres {
    fn start() -> Self {
        Self(postgres::Postgres::start())
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn wipe(&mut self) {
        self.0.sql("template1", "DROP DATABASE postgres WITH (FORCE)");
        self.0.sql("template1", "CREATE DATABASE postgres");
    }
}

impl Served for Postgres {
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
