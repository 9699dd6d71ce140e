//! The conformance suite of all backends, on `PostgreSQL`: once directly, once through a pooler in transaction mode.
#![cfg(feature = "postgres")]

use std::sync::LazyLock;
use std::time::Duration;

use failover_core::testkit::conformance::Fixture;
use failover_core::{Backend, ClusterName};
use failover_testing::pgbouncer::Pgbouncer;
use failover_testing::postgres::{Database, Postgres};

static SERVER: LazyLock<Postgres> = LazyLock::new(Postgres::start);
static POOLER: LazyLock<Pgbouncer> = LazyLock::new(|| Pgbouncer::start(&SERVER));

/// A database of one clause's own, and the port it is reached through.
struct Place {
    database: Database<'static>,
    port: u16,
    hints: bool,
}

impl Place {
    fn direct() -> Self {
        Self { database: SERVER.database(), port: SERVER.port(), hints: true }
    }

    fn pooled() -> Self {
        Self { database: SERVER.database(), port: POOLER.port(), hints: false }
    }

    async fn open_cluster(&self, name: &str) -> Backend {
        // Twenty writers at once on a machine that is busy with other tests: none of that is about time.
        let url = format!("{}?timeout=60000&connect_timeout=60000", self.database.url_at(self.port));
        let cluster = ClusterName::new(name).expect("a valid name");
        failover_sql::open(&url, &cluster).await.unwrap_or_else(|e| panic!("the store has to open: {e}: {e:?}"))
    }
}

#[async_trait::async_trait]
impl Fixture for Place {
    async fn open(&self) -> Backend {
        self.open_cluster("c").await
    }

    async fn open_other(&self) -> Backend {
        self.open_cluster("other").await
    }

    async fn wipe(&self) {
        self.database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    }

    async fn make_newer(&self) {
        let tables = ["heartbeats", "leases", "jobs", "documents"];
        self.database.sql(&tables.map(|table| format!("UPDATE failover_{table} SET format = 99;")).concat());
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn hints(&self) -> bool {
        self.hints
    }
}

mod direct {
    use super::Place;

    failover_core::conformance!(Place::direct());
}

mod pooled {
    use super::Place;

    failover_core::conformance!(Place::pooled());
}
