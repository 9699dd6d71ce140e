//! Clients that follow the active node: by push, by a look now and then, and by asking the nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::{endpoint, faulty_state};
use crate::support::{STEP, node, pass, settle, until};
use crate::world::{LONG, TTL, World};
use failover_core::client::{Address, ResolveError, Resolver, ResolverBuilder, active_key};
use failover_core::machine::EventKind;
use failover_core::state::Expect;
use failover_core::testkit::faults::{Fault, Op};
#[cfg(feature = "http")]
use failover_core::time::Clock as _;
use failover_core::{ErrorKind, Node, Role, StateStore, Term};

const POLL: Duration = Duration::from_secs(30);

fn resolver(world: &World) -> ResolverBuilder {
    Resolver::builder().clock(Arc::new(world.clock.clone())).poll(POLL)
}

/// Publishes as the active node of that term would.
async fn publish(world: &World, term: u64, name: &str) {
    let address = Address::new(Term(term), node(name), vec![endpoint(&format!("{name}:1"))]);
    world.store.put(&active_key(), &address.encode().unwrap(), Expect::Any, None).await.unwrap();
}

fn known(resolver: &Resolver) -> Option<(u64, String)> {
    resolver.current().map(|address| (address.term.0, address.node.to_string()))
}

async fn active_node(world: &World, name: &str) -> Node {
    let node = world.node(name).endpoint(endpoint(&format!("{name}:1"))).start().unwrap();
    world.role(&node, Role::Active).await;
    node
}

#[tokio::test]
async fn a_switchover_is_followed_by_push_and_not_by_polling() {
    let world = World::new();
    let a = active_node(&world, "a").await;
    let b = world.node("b").endpoint(endpoint("b:1")).start().unwrap();
    world.role(&b, Role::Standby).await;
    let (backend, faults) = faulty_state(&world);
    let mut resolver = resolver(&world).store(backend.state).start().unwrap();
    let first = until(&world.clock, STEP, resolver.changed()).await.unwrap();
    assert_eq!((first.term.0, first.endpoint()), (1, Some(&endpoint("a:1"))));

    let looks = faults.calls(Op::Get);
    pass(&world.clock, POLL / 3).await;
    assert_eq!(faults.calls(Op::Get), looks, "while nothing changes, it asks nothing");
    let mut events = b.events();
    a.shutdown().await;
    world.event(&mut events, EventKind::EndpointsPublished).await;
    let next = until(&world.clock, STEP * 3, resolver.changed()).await.unwrap();
    assert_eq!((next.term.0, next.endpoint()), (2, Some(&endpoint("b:1"))));
    assert!(faults.calls(Op::Get) <= looks + 2, "{}", faults.calls(Op::Get) - looks);
}

#[tokio::test]
async fn without_any_hint_a_rare_look_finds_the_change() {
    let world = World::new();
    publish(&world, 1, "a").await;
    let (backend, faults) = faulty_state(&world);
    faults.every(Op::Changed, Fault::Hang);
    let resolver = resolver(&world).store(backend.state).start().unwrap();
    settle().await;
    assert_eq!(known(&resolver), Some((1, "a".to_owned())));
    publish(&world, 2, "b").await;
    pass(&world.clock, POLL / 5 * 2).await;
    assert_eq!(known(&resolver), Some((1, "a".to_owned())));
    pass(&world.clock, POLL / 5 * 3).await;
    assert_eq!(known(&resolver), Some((2, "b".to_owned())));
}

#[tokio::test]
async fn an_address_under_an_older_term_is_refused() {
    let world = World::new();
    publish(&world, 7, "a").await;
    let mut resolver = resolver(&world).store(world.store.backend().state).start().unwrap();
    assert_eq!(until(&world.clock, STEP, resolver.changed()).await.unwrap().term, Term(7));
    publish(&world, 6, "b").await;
    pass(&world.clock, STEP * 3).await;
    assert_eq!(known(&resolver), Some((7, "a".to_owned())), "what is known stays in force");
    let trouble = resolver.trouble().unwrap();
    assert!(matches!(trouble, ResolveError::Older { told: Term(6), known: Term(7) }), "{trouble}");
    publish(&world, 8, "b").await;
    assert_eq!(until(&world.clock, POLL, resolver.changed()).await.unwrap().node, node("b"));
    assert!(resolver.trouble().is_none());
}

#[tokio::test]
async fn why_there_is_no_address_is_told_by_kind() {
    let world = World::new();
    let (backend, faults) = faulty_state(&world);
    let resolver = resolver(&world).store(backend.state).start().unwrap();
    let nothing = until(&world.clock, TTL, resolver.resolve(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(nothing, ResolveError::NoActive), "{nothing}");
    faults.every(Op::Get, Fault::Hang);
    pass(&world.clock, POLL).await;
    let hung = until(&world.clock, TTL, resolver.resolve(Duration::ZERO)).await.unwrap_err();
    assert!(matches!(&hung, ResolveError::Store(error) if error.kind() == ErrorKind::Unknown), "{hung}");
    faults.heal();
    let newer = br#"{"format":2,"term":9}"#;
    world.store.put(&active_key(), newer, Expect::Any, None).await.unwrap();
    pass(&world.clock, POLL).await;
    let newer = resolver.trouble().unwrap();
    assert!(matches!(&newer, ResolveError::Store(error) if error.kind() == ErrorKind::TooNew), "{newer}");
    publish(&world, 1, "a").await;
    assert_eq!(until(&world.clock, POLL, resolver.resolve(POLL)).await.unwrap().node, node("a"));
}

#[tokio::test]
async fn with_its_last_handle_the_following_ends_and_calls_without_end_are_rare() {
    let world = World::new();
    let (backend, faults) = faulty_state(&world);
    faults.all(Fault::Refuse(ErrorKind::Unavailable));
    let resolver = resolver(&world).store(backend.state).start().unwrap();
    pass(&world.clock, POLL * 4).await;
    let looks = faults.calls(Op::Get);
    assert!((6..=40).contains(&looks), "ever less often: {looks}");
    let clone = resolver.clone();
    drop(resolver);
    pass(&world.clock, POLL * 2).await;
    assert!(faults.calls(Op::Get) > looks, "the clone follows on");
    drop(clone);
    settle().await;
    let looks = faults.calls(Op::Get);
    pass(&world.clock, POLL * 4).await;
    assert_eq!(faults.calls(Op::Get), looks);
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_by_field_value_and_rule() {
    let world = World::new();
    assert_eq!(resolver(&world).start().unwrap_err().field, "resolver");
    let hasty = Resolver::builder().store(world.store.backend().state).poll(Duration::ZERO).start().unwrap_err();
    assert_eq!(hasty.to_string(), "poll is `0ns`: it must be a millisecond at least");
}

#[cfg(feature = "http")]
mod nodes {
    use std::sync::Mutex;

    use failover_core::Endpoint;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn at(address: SocketAddr) -> Endpoint {
        endpoint(&format!("http://{address}"))
    }

    /// A node that says it is active under the term it is told to claim; without one, it says nothing at all.
    async fn claimant(name: &'static str) -> (Endpoint, Arc<Mutex<Option<u64>>>) {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let (address, term) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(None)));
        let claimed = term.clone();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let claim = *claimed.lock().unwrap();
                let Some(claim) = claim else {
                    silent.push(stream);
                    continue;
                };
                let _request = stream.read(&mut [0; 1024]).await;
                let body = Address::new(Term(claim), node(name), vec![]).encode().unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let _gone = stream.write_all(head.as_bytes()).await;
                let _gone = stream.write_all(&body).await;
            }
        });
        (at(address), term)
    }

    #[tokio::test]
    async fn while_the_store_is_away_the_nodes_are_asked() {
        let world = World::new();
        let [a, b] = ["a", "b"].map(|name| world.node(name).endpoint(endpoint(&format!("{name}:1"))).health(ANY));
        let a = a.start().unwrap();
        world.role(&a, Role::Active).await;
        let b = b.start().unwrap();
        world.role(&b, Role::Standby).await;
        let list = [&a, &b].map(|node| at(node.health_address().unwrap()));
        let (backend, faults) = faulty_state(&world);
        faults.all(Fault::Refuse(ErrorKind::Unavailable));
        let mut resolver = resolver(&world).store(backend.state).nodes(list).start().unwrap();
        let address = resolver.changed().await.unwrap();
        assert_eq!((address.term.0, address.endpoint()), (1, Some(&endpoint("a:1"))));
        a.shutdown().await;
        world.role(&b, Role::Active).await;
        let next = until(&world.clock, LONG, resolver.changed()).await.unwrap();
        assert_eq!((next.term.0, next.endpoint()), (2, Some(&endpoint("b:1"))));
    }

    #[tokio::test]
    async fn of_nodes_that_say_they_are_active_the_highest_term_wins_and_an_older_one_is_refused_later() {
        let world = World::new();
        let ((a, claim_a), (b, claim_b), (c, _silent)) =
            (claimant("a").await, claimant("b").await, claimant("c").await);
        (*claim_a.lock().unwrap(), *claim_b.lock().unwrap()) = (Some(3), Some(4));
        let resolver = resolver(&world).nodes([a, b.clone(), c]).start().unwrap();
        let address = resolver.resolve(LONG).await.unwrap();
        assert_eq!((address.term.0, address.node.clone()), (4, node("b")), "though one keeps silent");
        assert_eq!(address.endpoint(), Some(&b), "it was given no endpoint and was reached there");
        *claim_b.lock().unwrap() = None;
        let end = world.clock.now() + POLL * 4;
        while resolver.trouble().is_none() {
            assert!(world.clock.now() < end, "it was not told");
            world.clock.advance(STEP);
            settle().await;
        }
        let trouble = resolver.trouble().unwrap();
        assert!(matches!(trouble, ResolveError::Older { told: Term(3), known: Term(4) }), "{trouble}");
        assert_eq!(known(&resolver), Some((4, "b".to_owned())));
    }

    #[tokio::test]
    async fn what_each_node_said_is_told_and_a_list_that_cannot_be_asked_is_refused() {
        let world = World::new();
        let (_leases, backend) = world.unruly();
        let a = world.node_on(backend, "a").health(ANY).start().unwrap();
        world.role(&a, Role::Active).await;
        let b = world.node("b").health(ANY).start().unwrap();
        world.role(&b, Role::Standby).await;
        let gone = TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
        let list = [at(b.health_address().unwrap()), at(gone)];
        let resolver = resolver(&world).nodes(list).start().unwrap();
        let told = async {
            while resolver.trouble().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, told).await.expect("both have been asked");
        let said = resolver.trouble().unwrap().to_string();
        assert!(said.contains("not active (503)") && said.contains("no connection"), "{said}");
        let refused = |text| {
            let list = Endpoint::list(text).unwrap();
            Resolver::builder().nodes(list).start().unwrap_err().to_string()
        };
        assert!(refused("https://a").contains("must begin with `http://`"));
        assert!(refused("a:80").starts_with("nodes is"));
        assert!(refused("http://a/?x").contains("query"));
    }
}
