use super::Invariant;
use crate::ids::{LeaseName, Member};
use crate::job::{Assigned, Move, Step};
use crate::lease::Tenant;
use crate::machine::{Call, Effect, Reply};
use crate::testkit::sim::scene::{Fact, Scene};

/// To fail a node over is to take its lease (law 11): a job is seized only from a member that does not hold its node's
/// lease, judged when the active node decides it.
///
/// Not judged by the lease when the store applies it: a decision that arrives late may find that the member has its lease
/// again under a higher term. It then hands back unstarted what it was given under the lower one, and what it is given under
/// the higher one has another epoch; so what must hold at that moment is that the run is not there any more.
#[derive(Default)]
pub(super) struct UnplannedMoves;

impl Invariant for UnplannedMoves {
    fn name(&self) -> &'static str {
        "unplanned-moves"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Wants { node, effect: Effect::Call { call: Call::Assign { moves, .. }, .. } }
                if scene.process(*node).is_some_and(|p| p.era == scene.era) =>
            {
                seized(moves).try_for_each(|(wanted, from)| {
                    match scene.world.current(scene.now, &LeaseName::node(&from.node)).tenant {
                        Tenant::Held { holder, .. } if holder == *from => {
                            Err(format!("{} is to be seized from {from}, which holds its lease", wanted.job))
                        }
                        _ => Ok(()),
                    }
                })
            }
            Fact::Applied {
                era,
                call: Call::Assign { moves, .. },
                answer: Ok(Reply::Assigned(Assigned::Applied(_))),
                ..
            } => seized(moves).try_for_each(|(wanted, from)| {
                let owners = scene.nodes.iter().filter_map(|n| n.process.as_ref());
                let mut owner = owners.filter(|p| p.member == *from && p.era == *era);
                let acts = owner.any(|p| {
                    let run = p.runs.contains(&(wanted.job.clone(), wanted.expect));
                    run && (!p.paused || p.node_right(scene.now).is_some())
                });
                if acts { Err(format!("{} is seized from {from}, which runs it", wanted.job)) } else { Ok(()) }
            }),
            _ => Ok(()),
        }
    }
}

fn seized(moves: &[Move]) -> impl Iterator<Item = (&Move, &Member)> {
    moves.iter().filter_map(|wanted| match &wanted.step {
        Step::Seize { from, .. } => Some((wanted, from)),
        Step::Place { .. } | Step::Drain => None,
    })
}
