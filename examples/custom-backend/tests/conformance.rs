//! The conformance suite of all backends, on a NATS server.

use std::sync::{LazyLock, atomic::AtomicU32, atomic::Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use failover_core::testkit::conformance::Fixture;
use failover_core::{Backend, ClusterName};
use failover_testing::nats::Nats;
use serde_json::Value;

/// One server for all tests of this file: each has clusters of its own.
static SERVER: LazyLock<Nats> = LazyLock::new(Nats::start);
static CLUSTERS: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    name: String,
}

impl Cluster {
    fn new() -> Self {
        Self { name: format!("c.{}", CLUSTERS.fetch_add(1, Ordering::Relaxed)) }
    }

    async fn open_cluster(&self, name: &str) -> Backend {
        let cluster = ClusterName::new(name).expect("a valid name");
        // Twenty writers at once on a busy machine: how long a call may take is not what is tested here.
        let url = format!("{}?timeout=60000", SERVER.url());
        custom_backend::open(&url, &cluster).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
    }

    fn subject(&self) -> String {
        self.name.replace('.', "=")
    }
}

async fn jetstream() -> Context {
    jetstream::new(async_nats::connect(SERVER.url()).await.expect("the server answers"))
}

#[async_trait::async_trait]
impl Fixture for Cluster {
    async fn open(&self) -> Backend {
        self.open_cluster(&self.name).await
    }

    async fn open_other(&self) -> Backend {
        self.open_cluster(&format!("{}-other", self.name)).await
    }

    async fn wipe(&self) {
        jetstream().await.delete_stream(format!("failover-{}", self.subject())).await.expect("the stream is there");
    }

    async fn make_newer(&self) {
        let jetstream = jetstream().await;
        let stream = jetstream.get_stream(format!("failover-{}", self.subject())).await.expect("the stream is there");
        for table in ["heartbeats", "leases", "jobs", "documents"] {
            let subject = format!("failover.{}.table.{table}", self.subject());
            let message = stream.get_last_raw_message_by_subject(&subject).await.expect("the table is there");
            let mut body: Value = serde_json::from_slice(&message.payload).expect("JSON");
            body["format"] = 99.into();
            let ack = jetstream.publish(subject, body.to_string().into()).await.expect("it is sent");
            ack.await.expect("it is kept");
        }
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn hints(&self) -> bool {
        true
    }
}

failover_core::conformance!(Cluster::new());
