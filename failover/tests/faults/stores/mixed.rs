use super::{Etcd, Postgres, Redis, Sqlite, Store};

/// Heartbeats in Redis, leases in etcd, jobs in PostgreSQL, documents in a SQLite file.
pub(crate) struct Mixed(Redis, Etcd, Postgres, Sqlite);

impl Store for Mixed {
    const WIPES_JOBS: bool = false;

    fn start() -> Self {
        Self(Redis::start(), Etcd::start(), Postgres::start(), Sqlite::start())
    }

    fn url(&self) -> String {
        [self.0.url(), self.1.url(), self.2.url(), self.3.url()].join(" ")
    }

    /// One of the four is enough: the one that grants.
    fn wipe(&mut self) {
        self.1.wipe();
    }
}
