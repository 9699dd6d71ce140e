//! The program of this example: two nodes on one server, one is killed, the other goes on.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use failover_core::memory::MemoryStore;
use failover_core::{Backend, ClusterName, Node, NodeId, Role};
use failover_testing::nats::Nats;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_mins(1);

fn start(server: &Nats, name: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_custom-backend"));
    let mut child = program.args([&server.url(), name]).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// Reads until a line with this in it comes.
async fn until(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) {
    let read = async { while !lines.next_line().await.unwrap().expect("the node goes on").contains(wanted) {} };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("there came no line with `{wanted}`"));
}

#[tokio::test]
async fn when_a_node_is_killed_the_other_goes_on_under_a_higher_token() {
    let server = Nats::start();
    let (mut first, mut told) = start(&server, "n1");
    until(&mut told, "under job/import#1").await;
    let (_second, mut told) = start(&server, "n2");
    until(&mut told, "node_joined").await;
    first.kill().await.unwrap();
    until(&mut told, "this node is active now, under active#2").await;
    until(&mut told, "under job/import#2").await;
}

#[tokio::test]
async fn a_node_takes_its_leases_from_another_store() {
    let server = Nats::start();
    let nats = custom_backend::open(&server.url(), &ClusterName::new("c").unwrap()).await.unwrap();
    let leases = Arc::new(MemoryStore::new());
    let backend = Backend::mixed(nats.heartbeats, leases, nats.jobs, nats.state);
    let node = Node::builder(backend.clone(), NodeId::new("n1").unwrap()).start().unwrap();
    let seen = async {
        loop {
            let sightings = backend.heartbeats.sightings().await.unwrap();
            if sightings.iter().any(|sighting| sighting.heartbeat.news.role == Role::Active) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the node becomes active");
    node.shutdown().await;
}
