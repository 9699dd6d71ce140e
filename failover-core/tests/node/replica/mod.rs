//! What one node knows, on every other: in order, exactly once, and all of it before a node that takes over acts.

mod bad;
mod crash;
mod follow;
mod lag;
mod promotion;
mod racing;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::until;
use crate::world::{LONG, World};
use async_trait::async_trait;
use failover_core::replica::{Position, PublishError, Replica, ReplicaBuilder, Replicated};
use failover_core::{Backend, Node, Role, StateKey};

/// A host that keeps every record it was given, and can be made to refuse.
#[derive(Default)]
struct Ledger {
    lines: Mutex<Vec<String>>,
    refuses: AtomicBool,
    restored: AtomicUsize,
}

impl Ledger {
    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), String> {
        if self.refuses.load(Ordering::Relaxed) { Err("the ledger is closed".into()) } else { Ok(()) }
    }
}

#[async_trait]
impl Replicated for Ledger {
    async fn apply(&self, record: &[u8]) -> Result<(), String> {
        self.check()?;
        assert_ne!(record, b"boom", "a record that nobody survives");
        self.lines.lock().unwrap().push(String::from_utf8_lossy(record).into_owned());
        Ok(())
    }

    async fn snapshot(&self) -> Vec<u8> {
        self.lines().join("\n").into_bytes()
    }

    async fn restore(&self, snapshot: &[u8]) -> Result<(), String> {
        self.check()?;
        self.restored.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(snapshot);
        *self.lines.lock().unwrap() = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

/// A node with one replica.
struct Copied {
    ledger: Arc<Ledger>,
    replica: Replica,
    node: Node,
}

fn copied_on(
    world: &World,
    backend: Backend,
    name: &str,
    how: impl FnOnce(ReplicaBuilder) -> ReplicaBuilder,
) -> Copied {
    let ledger = Arc::new(Ledger::default());
    let replica = how(Replica::builder("ledger", ledger.clone())).build().unwrap();
    let node = world.node_on(backend, name).replica(&replica).start().unwrap();
    Copied { ledger, replica, node }
}

fn copied(world: &World, name: &str) -> Copied {
    copied_on(world, world.store.backend(), name, |builder| builder)
}

/// An active node and its standby.
async fn pair(world: &World) -> [Copied; 2] {
    let a = copied(world, "a");
    world.role(&a.node, Role::Active).await;
    let b = copied(world, "b");
    world.role(&b.node, Role::Standby).await;
    [a, b]
}

impl Copied {
    async fn publish(&self, world: &World, record: &str) -> Result<Position, PublishError> {
        until(&world.clock, LONG, self.replica.publisher().publish(record)).await
    }

    async fn publish_all(&self, world: &World, records: &[&str]) {
        for record in records {
            self.publish(world, record).await.unwrap();
        }
    }

    async fn reached(&self, world: &World, position: u64) {
        until(&world.clock, LONG, self.replica.reached(Position(position))).await;
    }
}

/// What is below a key.
async fn documents(world: &World, below: &str) -> Vec<String> {
    let key = StateKey::new(below).unwrap();
    let documents = world.store.backend().state.list(&key, None, 100).await.unwrap();
    documents.into_iter().map(|document| document.key.to_string()).collect()
}
