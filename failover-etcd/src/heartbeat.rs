//! [`HeartbeatStore`] on etcd: two keys for each node, one for the beat and one for its news.
//!
//! They are two because nobody needs to be woken by a beat that tells nothing new, and because a beat of a few bytes is all
//! that then goes to the disks of the servers.

use std::collections::HashMap;

use async_trait::async_trait;
use etcd_client::{GetOptions, TxnOp};
use failover_core::heartbeat::News;
use failover_core::{Error, Heartbeat, HeartbeatStore, Incarnation, Member, NodeId, Result, Sighting, Term, record};

use crate::connection::Call;
use crate::keys::{self, BEATS};
use crate::store::EtcdStore;
use crate::txn::{Entry, Op, Plan, kvs};

#[async_trait]
impl HeartbeatStore for EtcdStore {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        let shared = &*self.shared;
        let call = Call::new("beat");
        let node = &heartbeat.member.node;
        let news = keys::value(record::encode(call.operation, &heartbeat.news)?);
        let named = [shared.keys.pulse(node), shared.keys.news(node)];
        let decide = |view: &crate::txn::View| {
            let last = view.at(0).map(|entry| Pulse::parse(&call, node, entry)).transpose()?;
            if let Some(told) = view.at(1) {
                keys::body(call.operation, &what(node), &told.value)?;
            }
            if last.as_ref().is_some_and(|last| (heartbeat.term, heartbeat.seq) <= (last.term, last.seq)) {
                return Ok(Plan::Answer(()));
            }
            let mut ops = vec![Op::put(named[0].clone(), Pulse::of(heartbeat).value())];
            let same_member = last.is_some_and(|last| last.incarnation == heartbeat.member.incarnation);
            // A plain beat is no news: it must not make every watcher read.
            if !same_member || view.at(1).is_none_or(|told| *told.value != *news) {
                ops.push(Op::put(named[1].clone(), news.clone()));
                ops.push(Op::hint(shared, BEATS));
            }
            Ok(Plan::Write(ops, ()))
        };
        shared.within(&call, shared.transact(&call, &shared.pulse, &named, decide)).await?;
        Ok(())
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        let shared = &*self.shared;
        let call = Call::new("sightings");
        let all = |prefix: String| TxnOp::get(prefix, Some(GetOptions::new().with_prefix()));
        let gets = vec![all(shared.keys.all_pulses()), all(shared.keys.all_news())];
        let (answers, _, _) = shared.within(&call, shared.read(&call, &shared.pulse, gets)).await?;
        let prefix = shared.keys.all_news();
        let name = |key: &str, prefix: &str| key.strip_prefix(prefix).and_then(|node| NodeId::new(node).ok());
        let mut told: HashMap<NodeId, &[u8]> = HashMap::new();
        for kv in kvs(answers.get(1)) {
            let node = kv.key_str().ok().and_then(|key| name(key, &prefix));
            told.insert(node.ok_or_else(|| keys::corrupt(call.operation, "a node's news"))?, kv.value());
        }
        let prefix = shared.keys.all_pulses();
        let sighting = |kv: &etcd_client::KeyValue| {
            let node = kv.key_str().ok().and_then(|key| name(key, &prefix));
            let node = node.ok_or_else(|| keys::corrupt(call.operation, "a node's beat"))?;
            let Pulse { term, seq, incarnation } = Pulse::parse(&call, &node, &Entry::of(kv))?;
            let news = told.get(&node).ok_or_else(|| keys::corrupt(call.operation, &what(&node)))?;
            let news: News =
                record::decode(call.operation, &what(&node), keys::body(call.operation, &what(&node), news)?)?;
            let heartbeat = Heartbeat { member: Member::new(node, incarnation), term, seq, news };
            Ok(Sighting { heartbeat, age: shared.age(kv.mod_revision()) })
        };
        // In the order of the keys, which is that of the nodes.
        kvs(answers.first()).iter().map(sighting).collect()
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        let shared = &*self.shared;
        let call = Call::new("forget");
        let named = [shared.keys.pulse(&member.node), shared.keys.news(&member.node)];
        let decide = |view: &crate::txn::View| {
            let last = view.at(0).map(|entry| Pulse::parse(&call, &member.node, entry)).transpose()?;
            if last.is_none_or(|last| last.incarnation != member.incarnation) {
                return Ok(Plan::Answer(()));
            }
            let gone = named.clone().map(|key| Op::Delete { key });
            Ok(Plan::Write(gone.into_iter().chain([Op::hint(shared, BEATS)]).collect(), ()))
        };
        shared.within(&call, shared.transact(&call, &shared.pulse, &named, decide)).await?;
        Ok(())
    }

    async fn changed(&self) -> Result<()> {
        self.changed_in(BEATS).await
    }
}

fn what(node: &NodeId) -> String {
    format!("heartbeat of {node}")
}

/// A beat without its news.
struct Pulse {
    term: Term,
    seq: u64,
    incarnation: Incarnation,
}

impl Pulse {
    fn of(heartbeat: &Heartbeat) -> Self {
        Self { term: heartbeat.term, seq: heartbeat.seq, incarnation: heartbeat.member.incarnation }
    }

    fn value(&self) -> Vec<u8> {
        keys::value(format_args!("{} {} {}", self.term, self.seq, self.incarnation))
    }

    fn parse(call: &Call, node: &NodeId, entry: &Entry) -> Result<Self, Error> {
        let text = keys::text(call.operation, &what(node), &entry.value)?;
        let mut parts = text.split(' ');
        let mut next = || parts.next();
        let parsed = (|| {
            let (term, seq) = (next()?.parse().ok().map(Term)?, next()?.parse().ok()?);
            Some(Self { term, seq, incarnation: next()?.parse().ok()? })
        })();
        parsed.ok_or_else(|| keys::corrupt(call.operation, &what(node)))
    }
}
