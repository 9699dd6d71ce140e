//! The conformance suite of all backends, on one server, on a set under Sentinel, and on a cluster of three primaries.

mod common;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use common::{MAKE_NEWER, WIPE, meta};
use failover_core::testkit::conformance::Fixture;
use failover_core::{Backend, ClusterName, Incarnation};
use failover_testing::redis::{DURABLE, Redis, RedisCluster, RedisSentinel};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

async fn open(url: &str, name: &str) -> Backend {
    let cluster = ClusterName::new(name).expect("a valid name");
    failover_redis::open(url, &cluster).await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
}

/// One server of its own: it starts in a moment. Every clause runs under the rights that the README asks for, and no others.
struct Single(std::sync::Mutex<Redis>);

impl Single {
    fn start() -> Self {
        let rights = concat!(env!("CARGO_MANIFEST_DIR"), "/rights/redis.acl");
        Self(std::sync::Mutex::new(Redis::start_with(&[DURABLE, &["--aclfile", rights]].concat())))
    }

    fn url(&self) -> String {
        self.with(|redis| format!("redis://failover:change-me@127.0.0.1:{}", redis.port()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Redis) -> T) -> T {
        act(&mut self.0.lock().expect("no other thread has panicked"))
    }
}

#[async_trait::async_trait]
impl Fixture for Single {
    async fn open(&self) -> Backend {
        open(&self.url(), "c").await
    }

    async fn open_other(&self) -> Backend {
        open(&self.url(), "other").await
    }

    async fn wipe(&self) {
        self.with(|redis| redis.wipe());
    }

    async fn make_newer(&self) {
        self.with(|redis| redis.command(&["EVAL", MAKE_NEWER, "1", &meta("c")]));
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn hints(&self) -> bool {
        true
    }

    async fn restart(&self) {
        self.with(|redis| {
            redis.kill();
            redis.start_again();
        });
    }
}

/// Servers that take long to start, shared by all clauses: each has clusters of its own names, and whoever restarts something
/// has it for itself meanwhile.
trait Servers: Send + Sync + 'static {
    fn url(&self) -> String;
    /// Runs a script on the record of a cluster.
    fn tamper(&self, script: &str, meta: &str);
    /// Loses a server, the one that holds this record.
    fn restart(&mut self, meta: &str);
}

impl Servers for RedisSentinel {
    fn url(&self) -> String {
        self.url()
    }

    fn tamper(&self, script: &str, meta: &str) {
        self.command(&["EVAL", script, "1", meta]);
    }

    /// Here that is a failover.
    fn restart(&mut self, _meta: &str) {
        self.fail_over();
    }
}

impl Servers for RedisCluster {
    fn url(&self) -> String {
        self.url()
    }

    fn tamper(&self, script: &str, meta: &str) {
        self.command(self.owner(self.slot(meta)), &["EVAL", script, "1", meta]);
    }

    fn restart(&mut self, meta: &str) {
        let owner = self.owner(self.slot(meta));
        self.node(owner).kill();
        self.node(owner).start_again();
        self.wait_until_ok();
    }
}

struct Shared<S> {
    servers: Arc<RwLock<S>>,
    held: tokio::sync::Mutex<Option<OwnedRwLockReadGuard<S>>>,
    url: String,
    name: String,
}

impl<S: Servers> Shared<S> {
    async fn new(servers: &Arc<RwLock<S>>) -> Self {
        let held = Arc::clone(servers).read_owned().await;
        let (url, name) = (held.url(), format!("c-{}", Incarnation::fresh()));
        Self { servers: Arc::clone(servers), held: tokio::sync::Mutex::new(Some(held)), url, name }
    }

    async fn tamper(&self, script: &str) {
        let held = self.held.lock().await;
        held.as_ref().expect("held but while it restarts").tamper(script, &meta(&self.name));
    }
}

#[async_trait::async_trait]
impl<S: Servers> Fixture for Shared<S> {
    async fn open(&self) -> Backend {
        open(&self.url, &self.name).await
    }

    async fn open_other(&self) -> Backend {
        open(&self.url, &format!("other-{}", self.name)).await
    }

    async fn wipe(&self) {
        self.tamper(WIPE).await;
    }

    async fn make_newer(&self) {
        self.tamper(MAKE_NEWER).await;
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(300)
    }

    fn hints(&self) -> bool {
        true
    }

    async fn restart(&self) {
        let mut held = self.held.lock().await;
        drop(held.take());
        let mut alone = Arc::clone(&self.servers).write_owned().await;
        alone.restart(&meta(&self.name));
        *held = Some(alone.downgrade());
    }
}

mod single {
    use super::*;

    failover_core::conformance!(Single::start());
}

mod sentinel {
    use super::*;

    static SERVERS: LazyLock<Arc<RwLock<RedisSentinel>>> =
        LazyLock::new(|| Arc::new(RwLock::new(RedisSentinel::start(&[]))));

    failover_core::conformance!(Shared::new(&SERVERS).await);
}

mod cluster {
    use super::*;

    static SERVERS: LazyLock<Arc<RwLock<RedisCluster>>> =
        LazyLock::new(|| Arc::new(RwLock::new(RedisCluster::start(DURABLE))));

    failover_core::conformance!(Shared::new(&SERVERS).await);
}
