//! The resolver on each store.

use std::time::Duration;

use failover::client::redirect::Redirected;
use failover::client::{Address, ResolveError, Resolver, active_key};
use failover::machine::{Event, EventKind};
use failover::state::Expect;
use failover::time::{Clock, SystemClock};
use failover::{Backend, ClusterName, Endpoint, Events, Node, NodeId, Role, StateStore, Term, Timing};

/// For a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// So rarely does a resolver look by itself that a change within [`SOON`] was pushed.
const POLL: Duration = Duration::from_mins(10);
const SOON: Duration = Duration::from_secs(2);

pub(crate) async fn open(url: &str) -> Backend {
    failover::open(url, &ClusterName::new("clients").unwrap()).await.unwrap_or_else(|e| panic!("the store: {e}"))
}

pub(crate) async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// The first event of that kind, from the start of the node if nobody has listened yet.
pub(crate) async fn event(node: &Node, kind: EventKind) -> Event {
    next(&mut node.events(), kind).await
}

/// The next event of that kind.
pub(crate) async fn next(events: &mut Events, kind: EventKind) -> Event {
    within(PATIENCE, kind.as_str(), async {
        loop {
            let event = events.next().await.expect("the node has ended").event;
            if event.kind == kind {
                return event;
            }
        }
    })
    .await
}

async fn start(url: &str, name: &str, ttl: Duration) -> Node {
    let timing = Timing::new(ttl / 5, ttl).unwrap();
    let endpoint = Endpoint::new(format!("{name}.example:80")).unwrap();
    let node = Node::builder(open(url).await, NodeId::new(name).unwrap()).timing(timing);
    node.endpoint(endpoint).redirect("note", |_, _| async { Ok("led".to_owned()) }).start().unwrap()
}

/// A switchover is followed by push, what is older is refused, and what was noted is there.
async fn follows(url: &str, ttl: Duration) {
    let a = start(url, "a", ttl).await;
    event(&a, EventKind::EndpointsPublished).await;
    let b = start(url, "b", ttl).await;
    let mut roles = b.roles();
    within(PATIENCE, "b stands by", roles.wait_for(|role| *role == Role::Standby)).await.unwrap();

    let state = open(url).await.state;
    let mut resolver = Resolver::builder().store(state.clone()).poll(POLL).start().unwrap();
    let of_a = within(PATIENCE, "the first address", resolver.changed()).await.unwrap();
    assert_eq!(of_a.endpoint().unwrap().as_str(), "a.example:80");
    within(PATIENCE, "the shutdown", a.shutdown()).await;
    event(&b, EventKind::EndpointsPublished).await;
    let of_b = within(SOON, "the push", resolver.changed()).await.unwrap();
    assert_eq!(of_b.endpoint().unwrap().as_str(), "b.example:80");
    assert!(of_b.term > of_a.term);

    noted(&*state, of_b.term).await;
    state.put(&active_key(), &of_a.encode().unwrap(), Expect::Any, None).await.unwrap();
    let refused = async {
        while !matches!(resolver.trouble(), Some(ResolveError::Older { .. })) {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, "the refusal", refused).await;
    assert_eq!(resolver.current(), Some(of_b));
    b.shutdown().await;
}

/// Waits until the redirect under this term is noted.
async fn noted(state: &dyn StateStore, term: Term) {
    let key = failover::client::redirect::redirect_key("note").unwrap();
    let written = async {
        loop {
            let document = state.get(&key).await.unwrap().expect("it was claimed at the first takeover");
            if Redirected::decode(&document.value).unwrap().term == term {
                return;
            }
            let _hint = tokio::time::timeout(SOON, state.changed(&key)).await;
        }
    };
    within(PATIENCE, "the note of the redirect", written).await;
}

#[tokio::test]
async fn on_sqlite() {
    let room = tempfile::tempdir().unwrap();
    follows(&format!("sqlite://{}", room.path().join("store.db").display()), Duration::from_secs(1)).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn on_postgres() {
    let server = failover_testing::postgres::Postgres::start();
    follows(&server.url(), Duration::from_secs(1)).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn on_redis() {
    let server = failover_testing::redis::Redis::durable();
    follows(&server.url(), Duration::from_secs(1)).await;
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn on_etcd() {
    let server = failover_testing::etcd::Etcd::start();
    follows(&server.url(), Duration::from_secs(2)).await;
}

/// Everything stops at once for a client: the store with its server, and then the active node. The nodes' health endpoints lead it all the same.
#[cfg(feature = "redis")]
#[tokio::test]
async fn a_client_finds_the_active_node_while_the_store_is_away() {
    let mut server = failover_testing::redis::Redis::durable();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let node = Node::builder(open(&server.url()).await, NodeId::new("a").unwrap())
        .timing(Timing::new(Duration::from_secs(1), Duration::from_secs(20)).unwrap())
        .endpoint(Endpoint::new("a.example:80").unwrap())
        .health(any)
        .start()
        .unwrap();
    event(&node, EventKind::EndpointsPublished).await;
    let nodes = Endpoint::list(&format!("http://{}", node.health_address().unwrap())).unwrap();
    let state = open(&server.url()).await.state;
    server.kill();
    let clock = SystemClock::new();
    let asked = clock.now();
    let resolver = Resolver::builder().store(state).nodes(nodes).poll(POLL).start().unwrap();
    let address: Address = within(PATIENCE, "the address", resolver.resolve(PATIENCE)).await.unwrap();
    assert_eq!((address.term.0, address.endpoint().unwrap().as_str()), (1, "a.example:80"));
    let took = clock.now().since(asked);
    assert!(took < Duration::from_secs(5), "the store's deadline and a question: {took:?}");
}
