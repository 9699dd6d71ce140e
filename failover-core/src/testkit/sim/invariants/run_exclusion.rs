use super::Invariant;
use crate::machine::Effect;
use crate::testkit::sim::scene::{Fact, Scene};

/// Exclusion of job runs in true time: a job's code runs in one place at most. A run lasts from `Start` until the host says
/// that it has ended, or until it is cut off with the node's right.
///
/// A paused process runs nothing, but it may go on at any moment while its right lasts; and when it goes on without one,
/// it has to cut its runs off before anything else. Of two that go on at the same instant, one has its turn first.
pub(super) struct RunExclusion;

impl Invariant for RunExclusion {
    fn name(&self) -> &'static str {
        "run-exclusion"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Wants { node, effect: Effect::Start { job } } => {
                let (id, epoch) = (job.spec.id(), job.epoch);
                let Some(process) = scene.process(*node) else { return Ok(()) };
                if let Some((_, earlier)) = process.runs.iter().find(|(other, at)| other == id && *at != epoch) {
                    return Err(format!(
                        "{} starts {id}#{epoch} while its own {id}#{earlier} still runs",
                        process.member
                    ));
                }
                if process.node_right(scene.now).is_none() {
                    return Err(format!("{} starts {id}#{epoch} without the right to", process.member));
                }
                Self::alone(scene, *node, |other| other == id)
            }
            // It has just gone on after a pause.
            Fact::Handled { node } => match scene.process(*node) {
                Some(process) if process.awake_since == scene.now => {
                    Self::alone(scene, *node, |id| process.runs.iter().any(|(mine, _)| mine == id))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl RunExclusion {
    fn alone(scene: &Scene, node: usize, concerns: impl Fn(&crate::JobId) -> bool) -> Result<(), String> {
        for (other, process) in scene.others(node) {
            let stood_still = process.paused || process.awake_since == scene.now;
            let counts = !stood_still || process.node_right(scene.now).is_some();
            if let Some((id, epoch)) = process.runs.iter().find(|(id, _)| counts && concerns(id)) {
                return Err(format!("{id} runs on {} and, as {id}#{epoch}, on {}", scene.nodes[node].id, other.id));
            }
        }
        Ok(())
    }
}
