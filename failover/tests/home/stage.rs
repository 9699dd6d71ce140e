//! Two hosts: one that blocks, and one that stands by; and whoever watches them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use failover::state::Expect;
use failover::time::{Clock as _, SystemClock, Time};
use failover::{Backend, ClusterName, Node, NodeId, Right, Role, StateKey, Timing};

/// No wait is longer; what takes so long is broken.
const LONG: Duration = Duration::from_mins(1);
/// How often the host blocks its executor.
const BLOCKS: u32 = 5;
/// A machine on which a thread that sleeps for a millisecond stands still for so long does not show what a lease stands.
const STARVED: Duration = Duration::from_millis(50);
/// Nor does a store that takes so long for one write.
const STALLED: Duration = Duration::from_millis(300);
/// How often it is tried on a machine that is too busy.
const TRIES: u32 = 10;

/// How the blocking host opens its store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    Later,
    Here,
}

fn now() -> Time {
    SystemClock::new().now()
}

fn host<T>(main: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(main)
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap_or_else(|_| panic!("not within {LONG:?}: {what}"))
}

async fn open(url: &str, way: Way, cluster: &str) -> Backend {
    let cluster = ClusterName::new(cluster).expect("a valid name");
    match way {
        Way::Open => failover::open(url, &cluster).await,
        Way::Later => failover::open_later(url, &cluster),
        Way::Here => failover::open_here(url, &cluster).await,
    }
    .expect("the store")
}

fn node(backend: Backend, name: &str, ttl: Duration) -> Node {
    let id = |name: &str| NodeId::new(name).expect("a valid name");
    let timing = Timing::new(ttl / 5, ttl).expect("a valid timing");
    Node::builder(backend, id(name)).timing(timing).roster(["a", "b"].map(id)).start().expect("a node")
}

async fn role(node: &Node, role: Role) {
    soon("the role", node.roles().wait_for(|now| *now == role)).await.expect("a node");
}

/// How long the store takes for a write, by whoever writes again and again.
#[derive(Default)]
struct Pace {
    began: AtomicU64,
    slowest: AtomicU64,
}

impl Pace {
    async fn measure(&self, store: Backend) {
        let key = StateKey::new("pace").expect("a valid key");
        loop {
            self.began.store(now().as_nanos(), Ordering::Relaxed);
            let _late = store.state.put(&key, b"pace", Expect::Any, None).await;
            self.slowest();
            self.began.store(u64::MAX, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// At most, with the write that is under way.
    fn slowest(&self) -> Duration {
        let under_way = now().as_nanos().saturating_sub(self.began.load(Ordering::Relaxed));
        let before = self.slowest.fetch_max(under_way, Ordering::Relaxed);
        Duration::from_nanos(before.max(under_way))
    }
}

/// Node `b` on a host that does not block, where it is seen how fast the store is.
async fn standby(url: &str, cluster: &str, ttl: Duration) -> (Node, Arc<Pace>, thread::JoinHandle<()>) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let (url, cluster, pace) = (url.to_owned(), cluster.to_owned(), Arc::new(Pace::default()));
    let measured = pace.clone();
    let thread = thread::spawn(move || {
        host(async {
            let b = node(open(&url, Way::Open, &cluster).await, "b", ttl);
            let probe = open(&url, Way::Open, "pace").await;
            measured.began.store(u64::MAX, Ordering::Relaxed);
            assert!(tell.send(b.clone()).is_ok(), "the test waits");
            tokio::select! {
                _ = b.finished() => {}
                () = measured.measure(probe) => {}
            }
        });
    });
    (soon("a standby", told).await.expect("a standby"), pace, thread)
}

/// Watches two nodes on a thread of its own.
struct Watch {
    ended: Arc<AtomicBool>,
    doubles: Arc<AtomicU64>,
    longest: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watch {
    fn over(a: &Node, b: &Node) -> Self {
        let (ended, doubles, longest) = (Arc::default(), Arc::default(), Arc::default());
        let mut watch = Self { ended, doubles, longest, thread: None };
        let (ended, doubles, longest) = (watch.ended.clone(), watch.doubles.clone(), watch.longest.clone());
        let (a, b) = (a.clone(), b.clone());
        watch.thread = Some(thread::spawn(move || {
            let token = |node: &Node| node.active().map(|right| right.token());
            while !ended.load(Ordering::Relaxed) {
                // Once more at the end: between two looks the role may pass.
                if let Some(first) = token(&a)
                    && token(&b).is_some()
                    && token(&a) == Some(first)
                {
                    doubles.fetch_add(1, Ordering::Relaxed);
                }
                let before = now();
                thread::sleep(Duration::from_millis(1));
                longest.fetch_max(now().as_nanos() - before.as_nanos(), Ordering::Relaxed);
            }
        }));
        watch
    }

    /// How long the machine let a thread stand still at most. Nobody acted beside another, ever.
    fn end(mut self) -> Duration {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.take().expect("taken once").join().expect("it watches");
        assert_eq!(self.doubles.load(Ordering::Relaxed), 0, "two owners at once");
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

/// A host that blocks for longer than its lease, again and again: its role and its token stay.
pub(crate) fn keeps(url: &str, way: Way, ttl: Duration) {
    for attempt in 0..TRIES {
        match try_to_keep(url, way, ttl, &format!("keeps-{attempt}")) {
            Ok(()) => return,
            Err((why, longest, slowest)) if longest >= STARVED || slowest >= STALLED => {
                eprintln!("{why}; but a thread stood still for {longest:?}, and a write took {slowest:?}");
            }
            Err((why, longest, slowest)) => panic!(
                "{why}, on a machine that let no thread stand still for over {longest:?} and a store that took at most {slowest:?} for a write"
            ),
        }
    }
    panic!("the machine is too busy to tell, {TRIES} times");
}

fn try_to_keep(url: &str, way: Way, ttl: Duration, cluster: &str) -> Result<(), (String, Duration, Duration)> {
    host(async {
        let backend = open(url, way, cluster).await;
        let home = backend.leases.home().expect("it has one");
        let a = node(backend, "a", ttl);
        role(&a, Role::Active).await;
        let (b, pace, thread) = standby(url, cluster, ttl).await;
        role(&b, Role::Standby).await;
        let right = a.active();
        let token = |node: &Node| node.active().map(|right| right.token());
        let (first, carried, watch) = (right.as_ref().map(Right::token), home.carried(), Watch::over(&a, &b));
        let mut lost = None;
        for block in 1..=BLOCKS {
            thread::sleep(ttl * 2);
            // At the first look, before anything of this host has run.
            if !right.as_ref().is_some_and(Right::is_valid) {
                lost = Some(format!("its right had ended after {block} times"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if lost.is_none() && (token(&a) != first || (a.role(), b.role()) != (Role::Active, Role::Standby)) {
            lost = Some(format!("another had its role: {:?}, then {:?}", first, token(&a)));
        }
        let (longest, slowest) = (watch.end(), pace.slowest());
        assert_eq!(home.carried(), carried, "its node's calls are made at home");
        b.shutdown().await;
        a.shutdown().await;
        thread.join().expect("the other host ends");
        lost.map_or(Ok(()), |why| Err((why, longest, slowest)))
    })
}

/// The same host, whose backend is in its own runtime: it loses its right, sees that at the first look, and the other takes over.
pub(crate) fn loses(url: &str, ttl: Duration) {
    let cluster = "loses";
    host(async {
        let a = node(open(url, Way::Here, cluster).await, "a", ttl);
        role(&a, Role::Active).await;
        let (b, _pace, thread) = standby(url, cluster, ttl).await;
        role(&b, Role::Standby).await;
        let watch = Watch::over(&a, &b);
        let end = now() + LONG;
        loop {
            assert!(now() < end, "nobody took over from a host that stands still");
            let Some(right) = a.active() else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            thread::sleep(ttl * 2);
            assert!(!right.is_valid() && a.active().is_none(), "by its clock alone");
            if let Some(next) = b.active() {
                assert!(next.token().number > right.token().number);
                break;
            }
            // It may hold a file's lock, because it stands still in the midst of a transaction.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        watch.end();
        b.shutdown().await;
        a.shutdown().await;
        thread.join().expect("the other host ends");
    });
}
