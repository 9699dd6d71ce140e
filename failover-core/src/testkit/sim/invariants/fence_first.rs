use std::collections::BTreeMap;

use super::Invariant;
use crate::ids::{LeaseName, Member, Revision, Term};
use crate::job::Assigned;
use crate::machine::{Call, Effect, Input, Reply};
use crate::testkit::sim::scene::{Fact, Scene};

/// A new active node first installs its fence, then reads the jobs, then decides (law 12): no move is sent before the node has been told everything
/// that the store had when the fence was put there. What it was told before counts, if nothing had come to it since.
#[derive(Default)]
pub(super) struct FenceFirst {
    /// How much of the feed each process has read to the end.
    read: BTreeMap<usize, Revision>,
    /// How much there was when the store first took in the fence of this term of this member.
    there: BTreeMap<(Member, Term), Revision>,
}

impl Invariant for FenceFirst {
    fn name(&self) -> &'static str {
        "fence-first"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => drop(self.read.remove(node)),
            Fact::Applied {
                by,
                call: Call::Assign { fence, .. },
                answer: Ok(Reply::Assigned(Assigned::Applied(_))),
                ..
            } if fence.name == LeaseName::active() => {
                let head = scene.world.job_head();
                self.there.entry(((*by).clone(), fence.term)).or_insert(head);
            }
            Fact::Told { node, input: Input::Outcome { outcome: Ok(Reply::Changes(changes)), .. } }
                if !changes.more =>
            {
                self.read.insert(*node, changes.upto);
            }
            Fact::Wants { node, effect: Effect::Call { call: Call::Assign { fence, moves }, .. } } => {
                let Some(process) = scene.process(*node).filter(|_| !moves.is_empty()) else { return Ok(()) };
                let there = self.there.get(&(process.member.clone(), fence.term));
                if there.is_none_or(|there| self.read.get(node).is_none_or(|read| read < there)) {
                    return Err(format!("moves under active#{} before its fence and a read of the jobs", fence.term));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
