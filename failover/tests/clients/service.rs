//! A service as a process of its own: a node, its health endpoints, and a door that only the active node opens.

use std::time::Duration;

use failover::{Endpoint, Gate, Node, NodeId, RoleHooks, Timing};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The environment variable that makes this binary a service.
pub(crate) const PART: &str = "FAILOVER_CLIENTS_PART";

/// How long a request takes.
const WORK: Duration = Duration::from_millis(5);

/// How long one that is refused waits before it is told so, so that whoever tries again does not do it in a rush.
pub(crate) const TURNED_AWAY: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) node: String,
    pub(crate) url: String,
    pub(crate) beat: Duration,
    pub(crate) ttl: Duration,
    pub(crate) service: u16,
    pub(crate) health: u16,
}

pub(crate) fn part() -> Option<Part> {
    let part = std::env::var(PART).ok()?;
    Some(serde_json::from_str(&part).expect("a part that the test wrote"))
}

struct Host;

impl RoleHooks for Host {}

/// Plays the part until it is killed.
pub(crate) fn play(part: &Part) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let backend = crate::follow::open(&part.url).await;
        let gate = Gate::new(Duration::from_secs(5));
        let _node = Node::builder(backend, NodeId::new(&part.node).expect("a name"))
            .timing(Timing::new(part.beat, part.ttl).expect("a pace"))
            .hooks(gate.before(Host))
            .endpoint(Endpoint::new(format!("127.0.0.1:{}", part.service)).expect("an endpoint"))
            .health(([127, 0, 0, 1], part.health).into())
            .start()
            .expect("a node");
        let listener = TcpListener::bind(("127.0.0.1", part.service)).await.expect("the port is free");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream, gate.clone(), part.node.clone()));
        }
    });
}

/// One request, one answer: who did it.
async fn serve(mut stream: TcpStream, gate: Gate, node: String) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.extend(byte),
            _ => return,
        }
    }
    let (status, body) = if let Ok(admission) = gate.admit() {
        tokio::time::sleep(WORK).await;
        drop(admission);
        ("200 OK", node)
    } else {
        tokio::time::sleep(TURNED_AWAY).await;
        ("503 Not Active", String::new())
    };
    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _gone = stream.write_all(answer.as_bytes()).await;
}
