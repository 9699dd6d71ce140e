//! The redirect by DNS UPDATE, at a real BIND.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::client::Address;
use failover::client::redirect::dns::{DnsError, DnsUpdate, TsigKey};
use failover::machine::EventKind;
use failover::memory::MemoryStore;
use failover::{Endpoint, Node, NodeId, Term, Timing};
use failover_testing::bind::{Bind, DnsKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::follow::{PATIENCE, event, next, within};

const WRITER: DnsKey = DnsKey { name: "writer", secret: "d3JpdGVyIHdyaXRlciB3cml0ZXIgd3JpdGVy" };
const READER: DnsKey = DnsKey { name: "reader", secret: "cmVhZGVyIHJlYWRlciByZWFkZXIgcmVhZGVy" };

const NAME: &str = "app.test.";
const MARK: &str = "_failover.app.test.";

fn bind() -> Bind {
    Bind::start("test.", WRITER, READER)
}

fn key(name: &str, secret: &str) -> TsigKey {
    TsigKey::new(name, "hmac-sha256", secret).unwrap()
}

fn unsigned(server: &str) -> DnsUpdate {
    DnsUpdate::new(server, "test.", NAME).unwrap().ttl(Duration::from_secs(7)).unwrap()
}

fn update(server: &str) -> DnsUpdate {
    unsigned(server).key(key(WRITER.name, WRITER.secret))
}

fn address(term: u64, endpoints: &str) -> Address {
    Address::new(Term(term), NodeId::new("a").unwrap(), Endpoint::list(endpoints).unwrap())
}

/// Everything the name has, and the term.
fn shown(bind: &Bind) -> [Vec<String>; 2] {
    let mut has: Vec<_> = ["A", "AAAA", "CNAME"].iter().flat_map(|kind| bind.dig(NAME, kind)).collect();
    has.sort_unstable();
    has.dedup();
    [has, bind.dig(MARK, "TXT")]
}

fn term(term: u64) -> Vec<String> {
    vec![format!("{MARK} 7 IN TXT \"failover term={term}\"")]
}

#[tokio::test]
async fn a_name_is_moved_with_its_term_and_whatever_it_had_is_replaced() {
    let bind = bind();
    let update = update(&bind.address());
    assert_eq!(shown(&bind), [const { Vec::<String>::new() }; 2]);
    assert_eq!(update.update(&address(1, "10.0.0.1:80;[fd00::1]:80")).await.unwrap(), "app.test is 10.0.0.1, fd00::1");
    let both = vec!["app.test. 7 IN A 10.0.0.1".to_owned(), "app.test. 7 IN AAAA fd00::1".to_owned()];
    assert_eq!(shown(&bind), [both.clone(), term(1)]);
    update.update(&address(1, "10.0.0.1:80;[fd00::1]:80")).await.unwrap();
    assert_eq!(shown(&bind), [both, term(1)], "once more is no more");
    update.update(&address(2, "https://b.example/")).await.unwrap();
    assert_eq!(shown(&bind), [vec!["app.test. 7 IN CNAME b.example.".to_owned()], term(2)]);
    update.update(&address(3, "10.0.0.3:80")).await.unwrap();
    assert_eq!(shown(&bind), [vec!["app.test. 7 IN A 10.0.0.3".to_owned()], term(3)]);

    let late = update.update(&address(2, "10.0.0.2:80")).await.unwrap_err();
    assert_eq!(late, DnsError::Superseded(Term(3)));
    assert_eq!(shown(&bind), [vec!["app.test. 7 IN A 10.0.0.3".to_owned()], term(3)]);
}

#[tokio::test]
async fn an_alias_that_the_server_silently_leaves_out_is_told() {
    let bind = bind();
    let (name, mx) = ("mail.test.", vec!["mail.test. 60 IN MX 10 ns.test.".to_owned()]);
    let mail = DnsUpdate::new(&bind.address(), "test.", name).unwrap().key(key(WRITER.name, WRITER.secret));
    let told = mail.update(&address(1, "https://b.example/")).await.unwrap_err();
    assert_eq!(told, DnsError::NoAlias { name: "mail.test".to_owned() });
    assert!(told.to_string().starts_with("`mail.test` has no alias: it has other records"), "{told}");
    assert_eq!((bind.dig(name, "CNAME"), bind.dig(name, "MX")), (vec![], mx.clone()));
    assert_eq!(mail.update(&address(1, "10.0.0.1:80")).await.unwrap(), "mail.test is 10.0.0.1");
    assert_eq!(bind.dig(name, "MX"), mx, "what else the name has is left alone");
}

/// Passes DNS messages on, holds the second question until it is let go, and writes down how the server answered each.
struct Relay {
    address: String,
    held: Arc<Notify>,
    go: Arc<Notify>,
    rcodes: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let relay = Self { address, held: Arc::default(), go: Arc::default(), rcodes: Arc::default() };
        let (held, go, rcodes) = (relay.held.clone(), relay.go.clone(), relay.rcodes.clone());
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            for number in 1.. {
                let Ok(question) = message(&mut client).await else { return };
                if number == 2 {
                    held.notify_one();
                    go.notified().await;
                }
                server.write_all(&question).await.unwrap();
                let answer = message(&mut server).await.unwrap();
                // The header's second byte of flags ends with the rcode.
                rcodes.lock().unwrap().push(answer[5] & 0x0f);
                client.write_all(&answer).await.unwrap();
            }
        });
        relay
    }
}

async fn message(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = from.read_u16().await?;
    let mut message = vec![0; usize::from(length) + 2];
    message[..2].copy_from_slice(&length.to_be_bytes());
    from.read_exact(&mut message[2..]).await?;
    Ok(message)
}

#[tokio::test]
async fn an_update_of_an_older_term_that_comes_late_is_refused_by_the_server() {
    const NXRRSET: u8 = 8;
    let bind = bind();
    let direct = update(&bind.address());
    direct.update(&address(1, "10.0.0.1:80")).await.unwrap();
    let relay = Relay::to(bind.port()).await;
    // It has read the term, and its update is on its way, when the next active node moves the name.
    let slow = update(&relay.address);
    let late = tokio::spawn(async move { slow.update(&address(2, "10.0.0.2:80")).await });
    within(PATIENCE, "the second question", relay.held.notified()).await;
    direct.update(&address(3, "10.0.0.3:80")).await.unwrap();
    relay.go.notify_one();
    assert_eq!(late.await.unwrap(), Err(DnsError::Superseded(Term(3))));
    assert_eq!(*relay.rcodes.lock().unwrap(), [0, NXRRSET, 0], "the term, the refusal, the term again");
    assert_eq!(shown(&bind), [vec!["app.test. 7 IN A 10.0.0.3".to_owned()], term(3)]);
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_told_as_such_and_changes_nothing() {
    let bind = bind();
    let server = bind.address();
    let unknown = unsigned(&server).key(key("nobody", WRITER.secret));
    let wrong = unsigned(&server).key(key(WRITER.name, READER.secret));
    for refused in [unknown, wrong] {
        let told = refused.update(&address(1, "10.0.0.1:80")).await.unwrap_err();
        assert!(matches!(told, DnsError::Key(_)), "{told}");
    }
    let may_not = unsigned(&server).key(key(READER.name, READER.secret));
    for refused in [may_not, unsigned(&server)] {
        let told = refused.update(&address(1, "10.0.0.1:80")).await.unwrap_err();
        assert!(matches!(&told, DnsError::Refused { rcode, .. } if rcode == "REFUSED"), "{told}");
    }
    let elsewhere = DnsUpdate::new(&server, "else.", "app.else.").unwrap().key(key(WRITER.name, WRITER.secret));
    let told = elsewhere.update(&address(1, "10.0.0.1:80")).await.unwrap_err();
    assert!(matches!(told, DnsError::Refused { .. }), "{told}");
    assert_eq!(shown(&bind), [const { Vec::<String>::new() }; 2]);
}

fn node(store: &MemoryStore, name: &str, endpoint: &str, server: &str) -> Node {
    // Longer than anything holds this machine up: the role is to pass by the shutdown alone.
    let timing = Timing::new(Duration::from_millis(200), Duration::from_mins(1)).unwrap();
    let node = Node::builder(store.backend(), NodeId::new(name).unwrap()).timing(timing);
    node.endpoint(Endpoint::new(endpoint).unwrap()).redirect("dns", update(server)).start().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_follows_the_active_node_and_a_server_that_is_away_is_tried_again() {
    let mut bind = bind();
    let store = MemoryStore::new();
    tokio::task::block_in_place(|| bind.kill());
    let a = node(&store, "a", "10.0.0.1:80", &bind.address());
    let mut events = a.events();
    let failed = next(&mut events, EventKind::RedirectFailed).await;
    assert!(failed.detail.as_ref().is_some_and(|why| why.contains("did not answer")), "{failed:?}");
    tokio::task::block_in_place(|| bind.start_again());
    next(&mut events, EventKind::RedirectDone).await;
    assert_eq!(shown(&bind), [vec!["app.test. 7 IN A 10.0.0.1".to_owned()], term(1)]);

    let b = node(&store, "b", "10.0.0.2:80", &bind.address());
    let mut roles = b.roles();
    within(PATIENCE, "b stands by", roles.wait_for(|role| *role == failover::Role::Standby)).await.unwrap();
    within(PATIENCE, "the shutdown", a.shutdown()).await;
    let moved = event(&b, EventKind::RedirectDone).await;
    assert_eq!(moved.detail.as_deref(), Some("dns: app.test is 10.0.0.2"));
    assert_eq!(shown(&bind), [vec!["app.test. 7 IN A 10.0.0.2".to_owned()], term(2)]);
}
