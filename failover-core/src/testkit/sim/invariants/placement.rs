use std::collections::BTreeMap;

use super::Invariant;
use crate::control::{self, Errand, Orders};
use crate::ids::{JobId, Member, NodeId, Revision};
use crate::job::{Assigned, FailoverPolicy, JobChange, JobRecord, Move, Phase, Step};
use crate::machine::{Call, Reply};
use crate::testkit::sim::scene::{Fact, Scene};

/// Jobs are placed only where they may run, at every instant: no node is given more than it can run, counting what is on its way to it;
/// only a pinned node gets a pinned job; jobs that keep apart do; and a job whose policy forbids it is not failed over.
#[derive(Default)]
pub(super) struct Placement {
    /// What each member can run, as long as its process lives.
    capacities: BTreeMap<Member, u32>,
}

impl Invariant for Placement {
    fn name(&self) -> &'static str {
        "placement"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => {
                if let Some(process) = scene.process(*node) {
                    self.capacities.insert(process.member.clone(), process.capacity);
                }
                Ok(())
            }
            Fact::Applied {
                era,
                call: Call::Assign { moves, .. },
                answer: Ok(Reply::Assigned(Assigned::Applied(_))),
                ..
            } if *era == scene.era && !moves.is_empty() => self.judge(scene, moves),
            _ => Ok(()),
        }
    }
}

impl Placement {
    fn judge(&self, scene: &Scene, moves: &[Move]) -> Result<(), String> {
        let changes = scene.world.changes(Revision::ZERO, 10_000).map(|c| c.changes).unwrap_or_default();
        let records: Vec<JobRecord> = changes
            .into_iter()
            .filter_map(|change| match change {
                JobChange::Put(record) => Some(record),
                JobChange::Removed { .. } => None,
            })
            .collect();
        for wanted in moves {
            let (to, is_failover) = match &wanted.step {
                Step::Place { to } => (to, false),
                Step::Seize { to: Some(to), .. } => (to, true),
                Step::Seize { to: None, .. } | Step::Drain => continue,
            };
            let Some(record) = records.iter().find(|record| *record.spec.id() == wanted.job) else { continue };
            let policy = record.spec.policy();
            if !policy.pins.is_empty() && !policy.pins.contains(&to.node) {
                return Err(format!("{} is placed on {to}, and pinned to {:?}", wanted.job, policy.pins));
            }
            let asked = policy.failover == FailoverPolicy::Manual && is_ordered(scene, &wanted.job, &to.node);
            if is_failover && policy.failover != FailoverPolicy::Automatic && !asked {
                return Err(format!("{} is failed over to {to}, and its policy is {:?}", wanted.job, policy.failover));
            }
            let there: Vec<&JobRecord> = records.iter().filter(|other| is_at(other, to)).collect();
            if policy.apart.is_some()
                && there.iter().filter(|other| other.spec.policy().apart == policy.apart).count() > 1
            {
                return Err(format!("{} is placed on {to} beside another of its group", wanted.job));
            }
            let load: u32 = there.iter().map(|other| other.spec.weight()).sum();
            if self.capacities.get(to).is_some_and(|capacity| load > *capacity) {
                return Err(format!("{} is placed on {to}, which then has {load}", wanted.job));
            }
        }
        Ok(())
    }
}

/// Whether an operator has asked for the job to run there: a manual failover is theirs to decide.
fn is_ordered(scene: &Scene, job: &JobId, node: &NodeId) -> bool {
    let orders: Orders = scene.document(&control::orders_key());
    let wanted = Errand::Move { job: job.clone(), to: node.clone() };
    orders.orders.values().any(|order| order.what == wanted)
}

/// Whether the job is that member's, or on its way to its node.
fn is_at(record: &JobRecord, member: &Member) -> bool {
    let moving = matches!(record.phase, Phase::Draining | Phase::Queued);
    record.owner.as_ref() == Some(member) || (moving && record.course.target.as_ref() == Some(&member.node))
}
