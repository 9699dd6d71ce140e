//! Health endpoints, asked over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::endpoint;
use crate::support::{Mishap, pass, settle, until};
use crate::world::{LONG, Story, TTL, World, Writer, end_of};
use async_trait::async_trait;
use failover_core::client::Address;
use failover_core::machine::{Finish, Stage};
use failover_core::time::{Clock, SystemClock};
use failover_core::{Node, NodeBuilder, Right, Role, RoleHooks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn start(node: NodeBuilder) -> (Node, SocketAddr) {
    let node = node.health(ANY).start().unwrap();
    let address = node.health_address().unwrap();
    (node, address)
}

/// What the server says to these bytes until it closes the connection.
async fn say(to: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The status and the body.
async fn ask(to: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let answer = say(to, &format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head[9..12].parse().unwrap(), body.to_owned())
}

async fn get(to: SocketAddr, path: &str) -> (u16, String) {
    ask(to, "GET", path).await
}

async fn statuses(of: SocketAddr) -> [u16; 4] {
    let mut statuses = [0; 4];
    for (status, path) in statuses.iter_mut().zip(["/live", "/standby", "/active", "/status"]) {
        *status = get(of, path).await.0;
    }
    statuses
}

/// A host whose `prepare` waits until it is let go.
struct Slow(Arc<Notify>);

#[async_trait]
impl RoleHooks for Slow {
    async fn prepare(&self) {
        self.0.notified().await;
    }
}

#[tokio::test]
async fn each_endpoint_answers_as_the_node_stands_at_that_moment() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    leases.always(Some(Mishap::Hang));
    let (a, at_a) = start(world.node_on(backend, "a").endpoint(endpoint("a:1")));
    settle().await;
    assert_eq!(statuses(at_a).await, [200, 503, 503, 200], "it lives, whatever the store does");
    leases.always(None);
    world.role(&a, Role::Active).await;
    assert_eq!(statuses(at_a).await, [200, 503, 200, 200]);
    let address = Address::decode(get(at_a, "/active").await.1.as_bytes()).unwrap();
    assert_eq!((address.term.0, address.node.as_str(), address.endpoint()), (1, "a", Some(&endpoint("a:1"))));

    let go = Arc::new(Notify::new());
    let (b, at_b) = start(world.node("b").hooks(Slow(go.clone())));
    world.role(&b, Role::Standby).await;
    let (status, body) = get(at_b, "/standby").await;
    assert!(status == 503 && body.contains("not prepared yet"), "{body}");
    go.notify_one();
    settle().await;
    assert_eq!(statuses(at_b).await, [200, 200, 503, 200]);
    assert!(get(at_b, "/active").await.1.contains("\"why\":\"this node is not the active one\""));

    pass(&world.clock, TTL).await;
    let status: serde_json::Value = serde_json::from_str(&get(at_a, "/status").await.1).unwrap();
    let shown = ["node", "role", "stage", "term", "active"].map(|field| status[field].to_string());
    assert_eq!(shown, ["\"a\"", "\"active\"", "\"active\"", "1", "true"], "{status}");
    assert!(status["role_for_ms"].as_u64() >= Some(5000) && status["remaining_ms"].as_u64() > Some(0), "{status}");
}

#[tokio::test]
async fn active_is_a_comparison_with_the_clock_and_not_what_was_true_once() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let (a, at_a) = start(world.node_on(backend, "a"));
    world.role(&a, Role::Active).await;
    leases.always(Some(Mishap::Hang));
    let right = a.active().unwrap();
    // Nobody runs meanwhile, as if the process had been paused: the first thing that happens afterwards is the question.
    world.clock.advance(right.remaining());
    assert_eq!(get(at_a, "/active").await.0, 503);
    until(&world.clock, LONG, end_of(&world.clock, &right)).await;
}

/// A host that takes its time to stop.
struct Busy(Arc<Notify>);

#[async_trait]
impl RoleHooks for Busy {
    async fn promote(&self, _right: Right) {}

    async fn demote(&self) {
        self.0.notified().await;
    }
}

#[tokio::test]
async fn a_node_that_leaves_is_active_to_nobody_at_once_and_its_port_is_free_when_it_has_ended() {
    let world = World::new();
    let go = Arc::new(Notify::new());
    let (a, at_a) = start(world.node("a").hooks(Busy(go.clone())));
    world.role(&a, Role::Active).await;
    a.leave();
    settle().await;
    let (status, body) = get(at_a, "/active").await;
    assert!(status == 503 && body.contains("about to stop"), "{body}");
    assert_eq!((a.stage(), get(at_a, "/live").await.0), (Stage::Leaving, 200));
    // Two who have not asked, so are not waited for.
    let _silent = [TcpStream::connect(at_a).await.unwrap(), TcpStream::connect(at_a).await.unwrap()];
    settle().await;
    go.notify_one();
    assert_eq!(until(&world.clock, LONG, a.finished()).await, Finish::Left);
    assert!(TcpStream::connect(at_a).await.is_err(), "it is closed");
    TcpListener::bind(at_a).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_refused_before_the_node_starts() {
    let world = World::new();
    let taken = TcpListener::bind(ANY).await.unwrap();
    let address = taken.local_addr().unwrap();
    let story = Story::default();
    let refused = world.node("a").hooks(Writer("a", story.clone())).health(address).start().unwrap_err();
    assert_eq!((refused.field.as_str(), refused.value), ("health", address.to_string()));
    assert!(refused.rule.contains("nobody else listens on"), "{}", refused.rule);
    pass(&world.clock, TTL * 2).await;
    assert!(world.admin.status(TTL).await.unwrap().active.is_none() && story.told().is_empty());
}

#[tokio::test]
async fn other_paths_methods_and_nonsense_are_answered_by_the_book() {
    let world = World::new();
    let (a, at_a) = start(world.node("a"));
    world.role(&a, Role::Active).await;
    assert_eq!(get(at_a, "/").await.0, 404);
    assert_eq!(get(at_a, "/active/").await.0, 404);
    assert_eq!(get(at_a, "/active?x=1").await.0, 200, "a query is nobody's business");
    let answer = say(at_a, "POST /active HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.to_lowercase().contains("\r\nallow: get, head\r\n"),
        "{answer}"
    );
    let (_, body) = get(at_a, "/active").await;
    let head = say(at_a, "HEAD /active HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (head, nothing) = head.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && nothing.is_empty(), "{head}");
    assert!(head.to_lowercase().contains(&format!("content-length: {}", body.len())), "{head}");
    // HAProxy asks in HTTP/1.0 unless told otherwise.
    assert!(say(at_a, "GET /active HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200 "));
    assert!(say(at_a, "\x01\x02 nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let long = format!("GET /active HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    assert!(say(at_a, &long).await.starts_with("HTTP/1.1 431 "));
    assert_eq!(a.role(), Role::Active);
}

#[tokio::test]
async fn slow_clients_hold_nobody_up() {
    let world = World::new();
    let (a, at_a) = start(world.node("a"));
    world.role(&a, Role::Active).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(at_a).await.unwrap();
        stream.write_all(b"GET /act").await.unwrap();
        slow.push(stream);
    }
    let clock = SystemClock::new();
    let asked = clock.now();
    assert_eq!(get(at_a, "/active").await.0, 200);
    // The first of them made room; the last ones still may ask.
    let mut rest = String::new();
    let _reset_or_end = slow[0].read_to_string(&mut rest).await;
    assert_eq!(rest, "");
    let took = clock.now().since(asked);
    assert!(took < Duration::from_secs(2), "a slow client was waited for: {took:?}");
    let last = slow.last_mut().unwrap();
    last.write_all(b"ive HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    last.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 "), "{rest}");
}
