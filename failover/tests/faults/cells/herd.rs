//! A thousand nodes that come back at one moment.

use std::sync::Arc;
use std::time::Duration;

use failover::memory::MemoryStore;
use failover::time::{Clock, SystemClock};
use failover::{Backend, Node, NodeId, Timing};
use failover_core::machine::EventKind;
use failover_core::testkit::faults::{Faults, Faulty, Op};

use crate::stores::Store;

const NODES: usize = 1000;
/// A thousand nodes in one process share these, each with connections of its own.
const HANDLES: usize = 16;
const BEAT: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(30);

/// Calls to the store that a node may make in a beat: its renewals, looks at the jobs and at the documents, and what it takes to join.
const PER_BEAT: u64 = 8;

/// It is the calls that are held to a bound. How long they take is the disk's matter, under a thousand times as many flushes as one node asks for.
const PATIENCE: Duration = Duration::from_mins(5);

/// One at a time: each fills the machine for a while.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A thousand nodes crash, and a thousand new incarnations ask for the leases of the old. Each keeps its heartbeats in memory of its
/// own, where nobody else's are: so each finds itself first in line, and all of them ask for the active lease.
pub(crate) async fn a_thousand_nodes_that_rejoin_at_once_make_a_bounded_number_of_calls<S: Store>() {
    let _alone = ALONE.lock().await;
    let store = tokio::task::block_in_place(S::start);
    let mut handles = Vec::new();
    for _ in 0..HANDLES {
        handles.push(Faulty::wrap(crate::stores::open(&store.url()).await));
    }
    let clock = SystemClock::new();

    let nodes = start(&handles);
    joined(&nodes).await;
    drop(nodes);
    let (before, left) = (total(&handles), clock.now());
    let nodes = start(&handles);
    joined(&nodes).await;
    clock.sleep_until(clock.now() + BEAT / 2).await;
    let (made, took) = (total(&handles) - before, clock.now().since(left));
    let active = nodes.iter().filter(|node| node.active().is_some_and(|right| right.is_valid())).count();
    assert!(active <= 1, "{active} nodes are active");
    let beats = took.as_secs() / BEAT.as_secs() + 1;
    let most = NODES as u64 * PER_BEAT * beats;
    println!("{made} calls of {NODES} nodes in {beats} beats, {took:?}");
    assert!(made <= most, "{made} calls of {NODES} nodes in {beats} beats, and {most} are the most");
}

fn start(handles: &[(Backend, Faults)]) -> Vec<Node> {
    let timing = Timing::builder(BEAT, TTL).call(TTL / 3).build().expect("it keeps the rules");
    let start = |i: usize| {
        let Backend { leases, jobs, state, .. } = handles[i % HANDLES].0.clone();
        let backend = Backend::mixed(Arc::new(MemoryStore::new()), leases, jobs, state);
        let name = NodeId::new(format!("n{i}")).expect("a valid name");
        Node::builder(backend, name).timing(timing).start().expect("a node")
    };
    (0..NODES).map(start).collect()
}

async fn joined(nodes: &[Node]) {
    let all = async {
        for node in nodes {
            // Whatever it becomes first, it has joined by then.
            let mut events = node.events();
            while events.next().await.is_some_and(|told| told.event.kind != EventKind::NodeJoined) {}
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all of them join");
}

/// Of the calls that reach the store.
fn total(handles: &[(Backend, Faults)]) -> u64 {
    let ops =
        [Op::Acquire, Op::Renew, Op::Release, Op::Current, Op::Changes, Op::Assign, Op::Report, Op::List, Op::Put];
    handles.iter().flat_map(|(_, calls)| ops.map(|op| calls.calls(op))).sum()
}
