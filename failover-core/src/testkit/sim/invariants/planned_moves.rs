use std::collections::BTreeMap;

use super::Invariant;
use crate::ids::{Epoch, JobId, Member};
use crate::job::{Assigned, JobStatus, Reported, Step};
use crate::machine::{Call, Reply};
use crate::testkit::sim::scene::{Fact, Scene};

/// Planned moves go through the owner (law 13): a job gets another owner only after its owner has said that it stopped, and
/// has said so truly, or after it was seized.
#[derive(Default)]
pub(super) struct PlannedMoves {
    owners: BTreeMap<(u32, JobId), (Member, Epoch)>,
}

impl Invariant for PlannedMoves {
    fn name(&self) -> &'static str {
        "planned-moves"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Applied { era, call, answer: Ok(answer), .. } = fact else { return Ok(()) };
        match (call, answer) {
            (Call::Assign { moves, .. }, Reply::Assigned(Assigned::Applied(_))) => {
                for wanted in moves {
                    let key = (*era, wanted.job.clone());
                    match &wanted.step {
                        Step::Place { to } => {
                            let placed = (to.clone(), wanted.expect.next());
                            if let Some((owner, epoch)) = self.owners.insert(key, placed) {
                                return Err(format!(
                                    "{}#{epoch} is taken from {owner}, which has not stopped it",
                                    wanted.job
                                ));
                            }
                        }
                        Step::Seize { to, .. } => {
                            self.owners.remove(&key);
                            if let Some(to) = to {
                                self.owners.insert(key, (to.clone(), wanted.expect.next()));
                            }
                        }
                        Step::Drain => {}
                    }
                }
            }
            (Call::Report(reports), Reply::Reported(answers)) => {
                for (said, _) in reports.iter().zip(answers).filter(|(_, answer)| **answer == Reported::Accepted) {
                    if matches!(said.status, JobStatus::Running | JobStatus::Progress(_)) {
                        continue;
                    }
                    self.owners.remove(&(*era, said.job.clone()));
                    let run = (said.job.clone(), said.epoch);
                    let mut processes = scene.nodes.iter().filter_map(|n| n.process.as_ref());
                    if processes.any(|p| p.era == *era && p.member == said.member && p.runs.contains(&run)) {
                        return Err(format!(
                            "{}#{} has ended for the store, but runs on {}",
                            said.job, said.epoch, said.member
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
