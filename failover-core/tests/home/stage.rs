//! What these tests share: hosts of one thread, and stores that say on which thread they were asked.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::memory::MemoryStore;
use failover_core::testkit::faults::{Faults, Faulty};
use failover_core::time::{Clock as _, SystemClock, Time};
use failover_core::{Backend, Home, Node, NodeBuilder, NodeId, Right, Role, RoleHooks, Timing};

pub(crate) const BEAT: Duration = Duration::from_millis(100);
pub(crate) const TTL: Duration = Duration::from_secs(2);
/// No wait is longer; what takes so long is broken.
pub(crate) const LONG: Duration = Duration::from_mins(1);

pub(crate) fn now() -> Time {
    SystemClock::new().now()
}

/// A host whose runtime has this one thread.
pub(crate) fn host<T>(main: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(main)
}

/// A host on a thread of its own.
pub(crate) fn another_host<T: Send + 'static, F: Future<Output = T>>(
    main: impl FnOnce() -> F + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || host(main()))
}

/// Waits, for as long as [`LONG`] at most.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap_or_else(|_| panic!("not within {LONG:?}: {what}"))
}

/// Waits until it is so, without need of a runtime.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let end = now() + LONG;
    while !is() {
        assert!(now() < end, "not within {LONG:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A store in a home, with faults that can be planned for it.
pub(crate) async fn at_home(store: &MemoryStore) -> (Backend, Faults, Home) {
    let (wrapped, faults) = Faulty::wrap(store.backend());
    let home = Home::start().unwrap();
    let backend = home.open(move || async { Ok(wrapped) }).await.unwrap();
    (backend, faults, home)
}

pub(crate) fn node(backend: &Backend, name: &str) -> NodeBuilder {
    let timing = Timing::new(BEAT, TTL).unwrap();
    let roster = ["a", "b"].map(|name| NodeId::new(name).unwrap());
    Node::builder(backend.clone(), NodeId::new(name).unwrap()).timing(timing).roster(roster)
}

pub(crate) async fn role(node: &Node, role: Role) {
    soon("the role", node.roles().wait_for(|now| *now == role)).await.unwrap();
}

/// A node `b` of another host, which does not block. It ends with the test.
pub(crate) fn beside(store: &MemoryStore) -> Node {
    let (tell, told) = std::sync::mpsc::channel();
    let backend = store.backend();
    another_host(move || async move {
        let b = node(&backend, "b").start().unwrap();
        tell.send(b.clone()).unwrap();
        b.finished().await
    });
    told.recv_timeout(LONG).unwrap()
}

/// What happened, in order, and on which thread.
#[derive(Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Vec<(&'static str, ThreadId)>>>);

impl Story {
    pub(crate) fn tell(&self, what: &'static str) {
        self.0.lock().unwrap().push((what, thread::current().id()));
    }

    pub(crate) fn told(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|(told, _)| *told == what).count()
    }

    pub(crate) fn all(&self) -> Vec<(&'static str, ThreadId)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl RoleHooks for Story {
    async fn prepare(&self) {
        self.tell("prepare");
    }

    async fn promote(&self, _right: Right) {
        let log = self.clone();
        tokio::spawn(async move { log.tell("spawned by promote") });
        self.tell("promote");
    }

    async fn demote(&self) {
        self.tell("demote");
    }
}
