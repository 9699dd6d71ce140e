//! The conformance suite of all backends, on `MariaDB`.

use std::time::Duration;

use failover_core::Backend;
use failover_core::testkit::conformance::Fixture;

use crate::common::{Place, cluster};

async fn open(place: &Place, name: &str) -> Backend {
    // Twenty writers on a machine that is busy with other tests need patience.
    let url = format!("{}?timeout=30000&connect_timeout=10000", place.url());
    failover_sql::open(&url, &cluster(name)).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
}

#[async_trait::async_trait]
impl Fixture for Place {
    async fn open(&self) -> Backend {
        open(self, "c").await
    }

    async fn open_other(&self) -> Backend {
        open(self, "other").await
    }

    async fn wipe(&self) {
        let database = &self.database;
        self.tamper(&format!("DROP DATABASE {database}; CREATE DATABASE {database}")).await;
    }

    async fn make_newer(&self) {
        let tables = ["heartbeats", "leases", "jobs", "documents"];
        self.tamper(&tables.map(|table| format!("UPDATE failover_{table} SET format = 99;")).concat()).await;
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn hints(&self) -> bool {
        true
    }
}

failover_core::conformance!(Place::new());
