use std::collections::BTreeMap;

use super::Invariant;
use crate::ids::{LeaseName, Term};
use crate::job::Assigned;
use crate::machine::{Call, CallId, Effect, Input, Reply};
use crate::testkit::sim::scene::{Fact, Scene};
use crate::time::Time;

/// A new active node first installs its fence, then reads the jobs, then decides (law 12): no move is sent before a read of
/// the jobs has come back that was sent when the fence was in place.
///
/// A read that was sent at the very moment at which the fence became known counts, even if it was sent first: the store had
/// installed the fence before that moment, and the read can only have reached it after.
#[derive(Default)]
pub(super) struct FenceFirst {
    nodes: BTreeMap<usize, Progress>,
}

#[derive(Default)]
struct Progress {
    term: Term,
    fencing: Option<CallId>,
    fenced_at: Option<Time>,
    reading: BTreeMap<CallId, Time>,
    read: bool,
}

impl Invariant for FenceFirst {
    fn name(&self) -> &'static str {
        "fence-first"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => {
                self.nodes.insert(*node, Progress::default());
            }
            Fact::Wants { node, effect } => {
                let progress = self.nodes.entry(*node).or_default();
                match effect {
                    Effect::Hold { lease, .. } if lease.name == LeaseName::active() && lease.term != progress.term => {
                        *progress = Progress { term: lease.term, ..Progress::default() };
                    }
                    Effect::Drop { name } if *name == LeaseName::active() => *progress = Progress::default(),
                    Effect::Call { id, call: Call::Assign { fence, moves } } => {
                        if moves.is_empty() {
                            progress.fencing = Some(*id);
                        } else if !progress.read || fence.term != progress.term {
                            return Err(format!(
                                "moves under active#{} before its fence and a read of the jobs",
                                fence.term
                            ));
                        }
                    }
                    Effect::Call { id, call: Call::Changes { .. } } => {
                        progress.reading.insert(*id, scene.now);
                    }
                    _ => {}
                }
            }
            Fact::Told { node, input: Input::Outcome { id, outcome } } => {
                let progress = self.nodes.entry(*node).or_default();
                match outcome {
                    Ok(Reply::Assigned(Assigned::Applied(_))) if progress.fencing == Some(*id) => {
                        progress.fenced_at.get_or_insert(scene.now);
                    }
                    Ok(Reply::Changes(changes)) if !changes.more => {
                        let sent = progress.reading.remove(id);
                        progress.read |= sent.zip(progress.fenced_at).is_some_and(|(sent, fenced)| sent >= fenced);
                    }
                    _ => {
                        progress.reading.remove(id);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
