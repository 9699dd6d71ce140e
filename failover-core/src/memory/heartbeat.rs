use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryStore, Watch, World};
use crate::error::Result;
use crate::heartbeat::{Heartbeat, HeartbeatStore, Sighting};
use crate::ids::{Member, NodeId};
use crate::time::Time;

#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeats {
    latest: BTreeMap<NodeId, Latest>,
    pub(super) stamp: u64,
}

#[derive(Debug, Clone)]
struct Latest {
    heartbeat: Heartbeat,
    at: Time,
}

impl World {
    /// [`HeartbeatStore::beat`] at the store's present moment.
    pub fn beat(&mut self, now: Time, heartbeat: &Heartbeat) {
        let node = &heartbeat.member.node;
        let before = self.heartbeats.latest.get(node).map(|latest| &latest.heartbeat);
        if before.is_some_and(|b| (heartbeat.term, heartbeat.seq) <= (b.term, b.seq)) {
            return;
        }
        // Only what is worth waking somebody for: most beats tell nothing but that time has passed.
        if before.is_none_or(|b| b.member != heartbeat.member || b.news != heartbeat.news) {
            self.heartbeats.stamp = self.next_stamp();
        }
        self.heartbeats.latest.insert(node.clone(), Latest { heartbeat: heartbeat.clone(), at: now });
    }

    /// [`HeartbeatStore::sightings`] at the store's present moment.
    pub fn sightings(&self, now: Time) -> Vec<Sighting> {
        let sighting = |l: &Latest| Sighting { heartbeat: l.heartbeat.clone(), age: now.since(l.at) };
        self.heartbeats.latest.values().map(sighting).collect()
    }

    /// [`HeartbeatStore::forget`].
    pub fn forget(&mut self, member: &Member) {
        if self.heartbeats.latest.get(&member.node).is_some_and(|l| l.heartbeat.member == *member) {
            self.heartbeats.latest.remove(&member.node);
            self.heartbeats.stamp = self.next_stamp();
        }
    }
}

#[async_trait]
impl HeartbeatStore for MemoryStore {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        self.with("beat", |world, now| world.beat(now, heartbeat))
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        self.with("sightings", |world, now| world.sightings(now))
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        self.with("forget", |world, _| world.forget(member))
    }

    async fn changed(&self) -> Result<()> {
        self.changed("changed", Watch::Heartbeats).await
    }
}
