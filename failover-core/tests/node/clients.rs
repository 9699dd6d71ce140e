//! Where clients can reach the active node, told with its term.

use std::time::Duration;

use crate::support::{node, pass, settle, until};
use crate::world::{BEAT, LONG, TTL, World};
use failover_core::client::{Address, active_key};
use failover_core::machine::EventKind;
use failover_core::state::{Expect, Written};
use failover_core::testkit::faults::{Fault, Faults, Faulty, Op};
use failover_core::{
    Backend, Endpoint, ErrorKind, Incarnation, Lease, LeaseName, Member, Role, StateKey, StateStore, Term,
};

pub(crate) fn endpoint(text: &str) -> Endpoint {
    Endpoint::new(text).unwrap()
}

/// A backend whose documents meet faults, and nothing else of it.
pub(crate) fn faulty_state(world: &World) -> (Backend, Faults) {
    let mut backend = world.store.backend();
    let (wrapped, faults) = Faulty::wrap_on(backend.clone(), world.clock.clone());
    backend.state = wrapped.state;
    (backend, faults)
}

async fn published(world: &World) -> Option<Address> {
    let document = world.store.get(&active_key()).await.unwrap()?;
    Some(Address::decode(&document.value).unwrap())
}

fn told(address: &Address) -> (u64, &str, Vec<&str>) {
    (address.term.0, address.node.as_str(), address.endpoints.iter().map(Endpoint::as_str).collect())
}

#[tokio::test]
async fn the_active_nodes_endpoints_are_published_with_its_term_after_each_takeover() {
    let world = World::new();
    let a = world.node("a").endpoint(endpoint("a:1")).endpoint(endpoint("https://a.example/")).start().unwrap();
    let mut events = a.events();
    let event = world.event(&mut events, EventKind::EndpointsPublished).await.event;
    assert_eq!((event.term.unwrap().0, event.detail.as_deref()), (1, Some("a:1;https://a.example/")));
    assert_eq!(a.role(), Role::Active, "not before it is active");
    assert_eq!(told(&published(&world).await.unwrap()), (1, "a", vec!["a:1", "https://a.example/"]));

    let b = world.node("b").endpoint(endpoint("b:1")).start().unwrap();
    world.role(&b, Role::Standby).await;
    let of_a = a.active().unwrap();
    a.shutdown().await;
    world.event(&mut b.events(), EventKind::EndpointsPublished).await;
    let of_b = published(&world).await.unwrap();
    assert_eq!(told(&of_b), (2, "b", vec!["b:1"]));

    let late = Address::new(of_a.lease().term, node("a"), vec![endpoint("a:1")]).encode().unwrap();
    let refused = world.store.put(&active_key(), &late, Expect::Any, Some(of_a.lease())).await.unwrap();
    assert!(matches!(refused, Written::Fenced { .. }), "{refused:?}");
    assert_eq!(published(&world).await, Some(of_b));
    pass(&world.clock, BEAT * 2).await;
    let nodes = world.admin.status(TTL).await.unwrap().nodes;
    assert_eq!(nodes[0].endpoints, [endpoint("b:1")], "everybody sees them in its heartbeat");
}

#[tokio::test]
async fn endpoints_are_published_again_and_again_until_the_store_takes_them_in() {
    let world = World::new();
    let (backend, faults) = faulty_state(&world);
    faults.every(Op::Put, Fault::Refuse(ErrorKind::Unavailable));
    let a = world.node_on(backend, "a").endpoint(endpoint("a:1")).start().unwrap();
    world.role(&a, Role::Active).await;
    pass(&world.clock, TTL * 4).await;
    let asked = faults.calls(Op::Put);
    // The history, which cannot be written either, is tried again ever less often, too.
    assert!((6..=24).contains(&asked), "ever less often, and not never: {asked}");
    assert_eq!(published(&world).await, None);
    faults.heal();
    faults.next(Op::Put, Fault::LoseReply);
    world.event(&mut a.events(), EventKind::EndpointsPublished).await;
    assert_eq!(told(&published(&world).await.unwrap()), (1, "a", vec!["a:1"]));
}

#[tokio::test]
async fn a_node_without_endpoints_makes_no_call_for_clients() {
    let world = World::new();
    let (backend, faults) = faulty_state(&world);
    let a = world.node_on(backend, "a").start().unwrap();
    world.role(&a, Role::Active).await;
    pass(&world.clock, LONG).await;
    assert_eq!(
        (faults.calls(Op::Put), faults.calls(Op::Get)),
        (1, 0),
        "the history's entry of the takeover, and nothing else"
    );
}

#[tokio::test]
async fn a_node_that_is_deposed_publishes_no_more() {
    let world = World::new();
    let (backend, faults) = faulty_state(&world);
    faults.every(Op::Put, Fault::Hang);
    let a = world.node_on(backend, "a").endpoint(endpoint("a:1")).start().unwrap();
    world.role(&a, Role::Active).await;
    until(&world.clock, TTL, a.shutdown()).await;
    let asked = faults.calls(Op::Put);
    faults.heal();
    pass(&world.clock, LONG).await;
    assert_eq!((faults.calls(Op::Put), published(&world).await), (asked, None));
}

#[tokio::test]
async fn a_node_that_the_store_knows_to_be_deposed_publishes_nothing() {
    let world = World::new();
    let holder = Member::new(node("b"), Incarnation::fresh());
    let later = Lease { name: LeaseName::active(), holder, term: Term(1 << 40), ttl: TTL };
    let key = StateKey::new("client/later").unwrap();
    world.store.put(&key, b"x", Expect::Any, Some(&later)).await.unwrap();
    let a = world.node("a").endpoint(endpoint("a:1")).start().unwrap();
    // It is active for a moment, finds itself fenced, and knows from the next grant on that it cannot act.
    let mut events = a.events();
    while world.event(&mut events, EventKind::RoleChanged).await.event.role != Some(Role::Active) {}
    world.event(&mut events, EventKind::TakeoverWithheld).await;
    assert_eq!(published(&world).await, None);
}

#[tokio::test]
async fn endpoints_that_cannot_be_are_refused_before_the_node_starts() {
    let world = World::new();
    let twice = world.node("a").endpoint(endpoint("a:1")).endpoint(endpoint("a:1")).start().unwrap_err();
    assert_eq!(twice.to_string(), "endpoint is `a:1`: each must be named once");
    let many = (1..=9).fold(world.node("a"), |node, port| node.endpoint(endpoint(&format!("a:{port}"))));
    assert_eq!(many.start().unwrap_err().field, "endpoints");
    settle().await;
    world.clock.advance(Duration::from_secs(1));
    assert!(world.admin.status(TTL).await.unwrap().nodes.is_empty());
}
