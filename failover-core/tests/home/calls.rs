//! Calls from a host's runtime: carried over, given up, broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use failover_core::memory::MemoryStore;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::testkit::faults::Fault;
use failover_core::{Backend, ErrorKind, Home, Lease, LeaseName, NodeId, Result, StateKey, StateStore};
use futures_util::FutureExt as _;

use crate::stage::{Story, at_home, host, node, soon, until};

/// Documents that do as their key says.
struct Odd {
    log: Story,
    given_up: Arc<AtomicU32>,
    inner: Arc<dyn StateStore>,
}

struct GivenUp(Arc<AtomicU32>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl StateStore for Odd {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.log.tell("get");
        match key.as_str() {
            "panic" => panic!("as it was told"),
            "hang" => {
                let _seen = GivenUp(self.given_up.clone());
                std::future::pending().await
            }
            _ => self.inner.get(key).await,
        }
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.inner.list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        self.inner.put(key, value, expect, fence).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.inner.delete(key, expect, fence).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.inner.changed(prefix).await
    }
}

async fn odd() -> (Backend, Story, Arc<AtomicU32>) {
    let (log, given_up) = (Story::default(), Arc::new(AtomicU32::new(0)));
    let mut backend = MemoryStore::new().backend();
    let inner = backend.state.clone();
    backend.state = Arc::new(Odd { log: log.clone(), given_up: given_up.clone(), inner });
    (Backend::on_own_thread(|| async { Ok(backend) }).await.unwrap(), log, given_up)
}

fn key(key: &str) -> StateKey {
    StateKey::new(key).unwrap()
}

#[test]
fn a_call_is_made_on_the_stores_own_thread() {
    host(async {
        let (backend, log, _) = odd().await;
        assert_eq!(backend.state.get(&key("x")).await.unwrap(), None);
        let [(_, thread)] = log.all()[..] else { panic!("asked once") };
        assert_ne!(thread, thread::current().id());
        assert_eq!(backend.leases.home().unwrap().carried(), 2, "the opening and this");
    });
}

#[test]
fn a_panic_there_is_an_unknown_outcome_and_the_next_call_is_answered() {
    host(async {
        let (backend, _, _) = odd().await;
        let error = backend.state.get(&key("panic")).await.unwrap_err();
        assert!(error.is_outcome_unknown() && error.operation() == "get", "{error}");
        assert!(error.to_string().contains("as it was told"), "{error}");
        assert_eq!(backend.state.get(&key("x")).await.unwrap(), None);
    });
}

#[test]
fn an_opening_that_fails_or_panics_says_so() {
    host(async {
        let error = Backend::on_own_thread(|| async { panic!("as it was told") }).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("as it was told"), "{error}");
    });
}

#[test]
fn a_call_that_is_given_up_is_given_up_there() {
    host(async {
        let (backend, log, given_up) = odd().await;
        let hang = key("hang");
        let mut waiting = backend.state.get(&hang);
        assert!((&mut waiting).now_or_never().is_none());
        until("it is made", || log.told("get") == 1);
        drop(waiting);
        until("it is dropped", || given_up.load(Ordering::SeqCst) == 1);
        assert_eq!(backend.state.get(&key("x")).await.unwrap(), None);
    });
}

#[test]
fn a_listener_is_there_before_the_look_that_follows_it() {
    host(async {
        let (backend, _, _) = at_home(&MemoryStore::new()).await;
        for round in 0..200u32 {
            let prefix = key("p");
            let mut changed = backend.state.changed(&prefix);
            assert!((&mut changed).now_or_never().is_none());
            let value = round.to_be_bytes();
            backend.state.put(&key("p/x"), &value, Expect::Any, None).await.unwrap();
            soon("the change is heard", changed).await.unwrap();
        }
    });
}

#[test]
fn two_backends_may_share_a_home_and_a_node_runs_in_that_of_its_leases() {
    host(async {
        let (leases, rest) = (MemoryStore::new().backend(), MemoryStore::new().backend());
        let (one, two) = (Home::start().unwrap(), Home::start().unwrap());
        let (leases, rest) = (one.house(leases), two.house(rest));
        let both = Backend::mixed(rest.heartbeats, leases.leases, rest.jobs, rest.state);
        let node = node(&both, "a").start().unwrap();
        soon("active", node.roles().wait_for(|role| *role == failover_core::Role::Active)).await.unwrap();
        assert_eq!(one.carried(), 0, "the leases are asked at home");
        assert!(two.carried() > 0, "the others are not");
        node.shutdown().await;
    });
}

#[test]
fn what_a_store_says_of_itself_is_asked_of_it_and_faults_reach_it() {
    host(async {
        let (backend, faults, home) = at_home(&MemoryStore::new()).await;
        assert_eq!(backend.leases.least_ttl(), Duration::from_millis(1));
        faults.all(Fault::Refuse(ErrorKind::Denied));
        let error = backend.leases.current(&LeaseName::node(&NodeId::new("a").unwrap())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(format!("{home:?}").starts_with("Home"));
    });
}
