use std::collections::BTreeMap;

use async_trait::async_trait;
use failover_core::{ErrorKind, Heartbeat, HeartbeatStore, Member, NodeId, Result, Sighting};
use serde::{Deserialize, Serialize};

use crate::NatsStore;
use crate::keys::Topic;
use crate::table::{Area, Stamp, Table};

/// The latest heartbeat of each node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Heartbeats {
    latest: BTreeMap<NodeId, Latest>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Latest {
    heartbeat: Heartbeat,
    /// Nothing in the message that brings it: the stamp of that message.
    at: Option<Stamp>,
}

impl Table for Heartbeats {
    const AREA: Area = Area::Heartbeats;

    fn stamped(&mut self, at: Stamp) {
        for latest in self.latest.values_mut() {
            latest.at.get_or_insert(at);
        }
    }
}

impl Heartbeats {
    /// Whether it is worth a hint.
    fn beat(&mut self, heartbeat: &Heartbeat) -> bool {
        let node = &heartbeat.member.node;
        let before = self.latest.get(node).map(|latest| &latest.heartbeat);
        if before.is_some_and(|b| (heartbeat.term, heartbeat.seq) <= (b.term, b.seq)) {
            return false;
        }
        let news = before.is_none_or(|b| b.member != heartbeat.member || b.news != heartbeat.news);
        self.latest.insert(node.clone(), Latest { heartbeat: heartbeat.clone(), at: None });
        news
    }

    fn forget(&mut self, member: &Member) -> bool {
        let theirs = self.latest.get(&member.node).is_some_and(|latest| latest.heartbeat.member == *member);
        theirs && self.latest.remove(&member.node).is_some()
    }

    fn sightings(&self, now: Stamp) -> Vec<Sighting> {
        let sighting = |latest: &Latest| {
            let age = latest.at.map(|at| now.since(at)).unwrap_or_default();
            Sighting { heartbeat: latest.heartbeat.clone(), age }
        };
        self.latest.values().map(sighting).collect()
    }
}

#[async_trait]
impl HeartbeatStore for NatsStore {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        let beat = async {
            let change = |table: &mut Heartbeats| table.beat(heartbeat);
            if self.change("beat", None, change).await?.0 {
                self.hint(&Topic::Area(Area::Heartbeats)).await;
            }
            Ok(())
        };
        self.within("beat", ErrorKind::Unknown, beat).await
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        let look = async {
            // First the time, then the table: an age may be understated, never overstated.
            let now = self.now(Area::Heartbeats, "sightings").await?;
            Ok(self.load::<Heartbeats>("sightings").await?.table.sightings(now))
        };
        self.within("sightings", ErrorKind::Unavailable, look).await
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        let forget = async {
            if self.change("forget", None, |table: &mut Heartbeats| table.forget(member)).await?.0 {
                self.hint(&Topic::Area(Area::Heartbeats)).await;
            }
            Ok(())
        };
        self.within("forget", ErrorKind::Unknown, forget).await
    }

    async fn changed(&self) -> Result<()> {
        self.hinted(&Topic::Area(Area::Heartbeats)).await
    }
}
