//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use etcd_client::{Client, GetOptions, PutOptions};
use failover_core::heartbeat::News;
use failover_core::lease::{Acquired, Tenant};
use failover_core::testkit::conformance::Fixture;
use failover_core::time::{Clock, SystemClock};
use failover_core::{
    Backend, Capacity, ClusterName, Heartbeat, Incarnation, JobId, Lease, LeaseManager, LeaseName, Member, NodeId,
    Role, StateKey, Term,
};
use failover_etcd::{EtcdOptions, EtcdStore, etcd_client};
use failover_testing::etcd::{Etcd, EtcdCluster};

/// For leases that must not lapse while a test runs.
pub const LONG: Duration = Duration::from_hours(1);

/// The shortest ttl a server grants at its usual election timeout.
pub const LEAST: Duration = Duration::from_secs(2);

/// A server that the tests of a binary share, each with keys of its own. Nobody pauses or kills it.
pub static ONE: LazyLock<Etcd> = LazyLock::new(Etcd::start);
/// The same, of three servers.
pub static THREE: LazyLock<EtcdCluster> = LazyLock::new(EtcdCluster::start);

/// A prefix that no other test has.
pub fn own_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test/{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A store's keys on a server that runs, as a conformance fixture.
pub struct Place {
    /// Kept while the fixture is, if it is nobody else's.
    own: Option<Arc<std::sync::Mutex<Etcd>>>,
    url: String,
    prefix: String,
    ttl: Duration,
}

impl Place {
    pub fn on(url: String, ttl: Duration) -> Self {
        Self { own: None, url, prefix: own_prefix(), ttl }
    }

    /// At an address that says all.
    pub fn given(url: String, ttl: Duration) -> Self {
        Self { own: None, url, prefix: String::new(), ttl }
    }

    /// On a server of its own, which can be restarted.
    pub fn alone() -> Self {
        let etcd = Etcd::start();
        let url = etcd.url();
        Self { own: Some(Arc::new(std::sync::Mutex::new(etcd))), ..Self::on(url, LEAST) }
    }

    pub fn url(&self) -> String {
        if self.prefix.is_empty() { self.url.clone() } else { format!("{}?prefix={}", self.url, self.prefix) }
    }

    async fn open_cluster(&self, name: &str) -> Backend {
        failover_etcd::open(&self.url(), &cluster(name)).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
    }

    async fn client(&self) -> Client {
        client(&self.url).await
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
        delete_all(&mut self.client().await, &format!("{}/", self.prefix)).await;
    }

    async fn make_newer(&self) {
        make_newer(&mut self.client().await, &format!("{}/c/", self.prefix)).await;
    }

    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn hints(&self) -> bool {
        true
    }

    async fn restart(&self) {
        if let Some(own) = self.own.clone() {
            let restart = move || {
                let mut etcd = own.lock().expect("nobody has panicked with it");
                etcd.kill();
                etcd.start_again();
            };
            tokio::task::spawn_blocking(restart).await.expect("the server is restarted");
        }
    }
}

/// A host's own client of the servers at an address of ours.
pub async fn client(url: &str) -> Client {
    let hosts = url.strip_prefix("etcd://").expect("an address without TLS");
    let hosts: Vec<&str> = hosts.split(',').collect();
    Client::connect(hosts, None).await.expect("the servers answer")
}

pub async fn delete_all(client: &mut Client, prefix: &str) {
    let options = etcd_client::DeleteOptions::new().with_prefix();
    client.delete(prefix, Some(options)).await.expect("the keys are deleted");
}

/// Marks every record below a prefix as one of a later build, but the one that says which store it is.
pub async fn make_newer(client: &mut Client, prefix: &str) {
    let found = client.get(prefix, Some(GetOptions::new().with_prefix())).await.expect("the keys are read");
    for kv in found.kvs() {
        let key = kv.key_str().expect("text");
        if key.ends_with("/meta") {
            continue;
        }
        let rest = kv.value().iter().position(|byte| *byte == b' ').expect("a format");
        let newer = [b"99", &kv.value()[rest..]].concat();
        let options = PutOptions::new().with_ignore_lease();
        client.put(key, newer, Some(options)).await.expect("the key is written");
    }
}

pub fn options(url: &str) -> EtcdOptions {
    EtcdOptions::from_url(url).unwrap_or_else(|e| panic!("{e}"))
}

pub async fn open(url: &str) -> EtcdStore {
    options(url).open(&cluster("c")).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).expect("a valid name")
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a valid name")
}

pub fn member(name: &str, bits: u128) -> Member {
    Member::new(node(name), Incarnation::from_u128(bits))
}

pub fn lease_name(name: &str) -> LeaseName {
    LeaseName::new(name).expect("a valid name")
}

pub fn job_id(name: &str) -> JobId {
    JobId::new(name).expect("a valid name")
}

pub fn key(key: &str) -> StateKey {
    StateKey::new(key).expect("a valid key")
}

pub fn beat(member: &Member, seq: u64, load: u32) -> Heartbeat {
    let news = News { load, ready: true, ..News::new(Role::Inactive, Capacity::default()) };
    Heartbeat { member: member.clone(), term: Term(1), seq, news }
}

/// Acquires a lease that has to be granted.
pub async fn granted(store: &EtcdStore, name: &str, member: &Member, ttl: Duration) -> Lease {
    match store.acquire(&lease_name(name), member, ttl).await {
        Ok(Acquired::Granted(lease)) => lease,
        other => panic!("{member} has to be granted {name}: {other:?}"),
    }
}

/// Who holds a lease.
pub async fn holder(store: &EtcdStore, name: &str) -> Option<Member> {
    match store.current(&lease_name(name)).await.unwrap_or_else(|e| panic!("{e}")).tenant {
        Tenant::Held { holder, .. } => Some(holder),
        Tenant::Free | Tenant::Reserved { .. } => None,
    }
}

/// How many etcd leases there are.
pub async fn etcd_leases(client: &mut Client) -> usize {
    client.lease_client().leases().await.expect("the leases are read").leases().len()
}

/// Asks again and again until it is so, for as long as a busy machine may need, and returns how long that took.
pub async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) -> Duration {
    let clock = SystemClock::new();
    let start = clock.now();
    while !so().await {
        assert!(clock.now().since(start) < Duration::from_mins(1), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    clock.now().since(start)
}
