//! [`HeartbeatStore`] on Redis: the latest heartbeat of each node, one field each.

use std::time::Duration;

use async_trait::async_trait;
use failover_core::heartbeat::News;
use failover_core::{Heartbeat, HeartbeatStore, Incarnation, Member, NodeId, Result, Sighting, Term, record};

use crate::call::args;
use crate::keys::BEATS;
use crate::reply::{corrupt, words};
use crate::store::RedisStore;

#[async_trait]
impl HeartbeatStore for RedisStore {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        let news = record::encode("beat", &heartbeat.news)?;
        let Member { node, incarnation } = &heartbeat.member;
        let args = args![node, incarnation, heartbeat.term, heartbeat.seq, news];
        self.shared.call("beat", &self.shared.scripts.beat, args, Duration::ZERO).await.map(drop)
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        let script = &self.shared.scripts.sightings;
        let mut reply = self.shared.call("sightings", script, args![], Duration::ZERO).await?;
        let now = reply.number()?;
        let mut records = reply.list()?;
        let mut sightings = Vec::new();
        while !records.is_empty() {
            let (node, text) = (records.id::<NodeId>()?, records.text()?);
            sightings.push(sighting(&node, &text, now)?);
        }
        sightings.sort_by(|a, b| a.heartbeat.member.node.cmp(&b.heartbeat.member.node));
        Ok(sightings)
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        let args = args![member.node, member.incarnation];
        self.shared.call("forget", &self.shared.scripts.forget, args, Duration::ZERO).await.map(drop)
    }

    async fn changed(&self) -> Result<()> {
        self.changed_in(BEATS).await
    }
}

fn sighting(node: &NodeId, text: &str, now: u64) -> Result<Sighting> {
    let what = format!("heartbeat of {node}");
    let [incarnation, term, seq, seen, news] = words("sightings", &what, text)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| corrupt("sightings", &what));
    let incarnation: Incarnation = incarnation.parse().map_err(|_| corrupt("sightings", &what))?;
    let news: News = record::decode("sightings", &what, news.as_bytes())?;
    let (term, seq) = (Term(number(term)?), number(seq)?);
    let age = Duration::from_micros(now.saturating_sub(number(seen)?));
    Ok(Sighting { heartbeat: Heartbeat { member: Member::new(node.clone(), incarnation), term, seq, news }, age })
}
