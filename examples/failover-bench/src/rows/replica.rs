//! Records from the active node until its standby has applied them, beside the same records written by a plain client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use failover::memory::MemoryStore;
use failover::replica::{Position, Replica, Replicated};
use failover::{Backend, LeaseManager as _, Node, NodeId, Role, Term};

use super::ms;
use crate::Outcome;
use crate::options::Scale;
use crate::pair::now;
use crate::results::{Goal, Line, Results};
use crate::stores::{Bare, Kind, Store};

pub(super) const ABOUT: &str = "**records**: that many records of 1 KiB, from the first `publish` on the active node until the standby has applied the last: published by up to a thousand callers at once, and by one \
    that waits for each. *Bare* is as many writes of 1 KiB under new keys (SET, put, INSERT), one after another through a plain client. The nodes' leases are in memory, so that nothing \
    else asks the store for anything.";

const RECORD: usize = 1024;
const ROUNDS: u64 = 3;

/// Counts what it is given.
#[derive(Default)]
struct Counts(AtomicU64);

#[async_trait]
impl Replicated for Counts {
    async fn apply(&self, record: &[u8]) -> Result<(), String> {
        if record.len() != RECORD {
            return Err("a record was torn".into());
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn snapshot(&self) -> Vec<u8> {
        self.0.load(Ordering::Relaxed).to_be_bytes().to_vec()
    }

    async fn restore(&self, snapshot: &[u8]) -> Result<(), String> {
        let count = snapshot.try_into().map_err(|_| "eight bytes are a count")?;
        self.0.store(u64::from_be_bytes(count), Ordering::Relaxed);
        Ok(())
    }
}

/// An active node and its standby, in this process.
struct Twins {
    nodes: Vec<Node>,
    active: Replica,
    standby: Replica,
}

impl Twins {
    async fn start(store: &Store, round: u64) -> Outcome<Self> {
        let own = MemoryStore::new();
        own.raise_floor(Term(round * 100)).await?;
        let own = own.backend();
        let state = store.open(&format!("replica-{round}")).await?.state;
        let backend = Backend::mixed(own.heartbeats, own.leases, own.jobs, state);
        let (mut nodes, mut replicas) = (Vec::new(), Vec::new());
        for (name, role) in [("a", Role::Active), ("b", Role::Standby)] {
            let replica = Replica::builder("bench", Arc::new(Counts::default()));
            let replica = replica.snapshot_after(u64::MAX, u64::MAX).build()?;
            let node = Node::builder(backend.clone(), NodeId::new(name)?).replica(&replica).start()?;
            node.roles().wait_for(|now| *now == role).await?;
            replicas.push(replica);
            nodes.push(node);
        }
        let (standby, active) = (replicas.pop().ok_or("two were made")?, replicas.pop().ok_or("two were made")?);
        Ok(Self { nodes, active, standby })
    }

    /// From the first call until the standby has applied the last record.
    async fn replicate(&self, records: u64, callers: u64) -> Outcome<Duration> {
        let target = Position(self.active.position().0 + records);
        let start = now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..callers {
            let publisher = self.active.publisher();
            tasks.spawn(async move {
                for _ in 0..records / callers {
                    publisher.publish(vec![7; RECORD]).await?;
                }
                Ok::<_, failover::replica::PublishError>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        self.standby.reached(target).await;
        Ok(now().since(start))
    }

    async fn end(self) {
        for node in self.nodes {
            node.shutdown().await;
        }
    }
}

/// As many records through a plain client, one after another.
async fn insert(bare: &mut Bare, next: &mut u64, records: u64) -> Outcome<Duration> {
    let start = now();
    for _ in 0..records {
        *next += 1;
        bare.insert(*next, &[7; RECORD]).await?;
    }
    Ok(now().since(start))
}

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    let (many, few) = (scale.records, scale.records / 10);
    let mut sites = Vec::new();
    for store in Store::all(&Kind::ALL)? {
        let bare = store.bare().await?;
        sites.push((bare, store, 0, [const { Vec::new() }; 4]));
    }
    for round in 1..=ROUNDS {
        for (bare, store, next, took) in &mut sites {
            let twins = Twins::start(store, round).await?;
            let spans = [
                twins.replicate(many, (many / 10).min(1000)).await?,
                insert(bare, next, many).await?,
                twins.replicate(few, 1).await?,
                insert(bare, next, few).await?,
            ];
            twins.end().await;
            for (took, span) in took.iter_mut().zip(spans) {
                took.push(ms(span));
            }
        }
        results.progress("records", round, ROUNDS);
    }
    for (_bare, store, _next, [many_took, many_bare, few_took, few_bare]) in sites {
        let lines = [
            (format!("{many} records"), many_took, many_bare),
            (format!("{few} records, one by one"), few_took, few_bare),
        ];
        for (what, values, bare) in lines {
            results.add(Line { what, store: store.kind.name(), unit: "ms", values, bare, goal: Goal::Stated });
        }
    }
    Ok(())
}
