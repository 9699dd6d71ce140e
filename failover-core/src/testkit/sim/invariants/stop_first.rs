use super::Invariant;
use crate::job::JobStatus;
use crate::machine::{Call, Effect};
use crate::testkit::sim::scene::{Fact, Scene};

/// Stop before release (law 8): no lease is given back and no job reported as ended while work under it goes on.
pub(super) struct StopFirst;

impl Invariant for StopFirst {
    fn name(&self) -> &'static str {
        "stop-first"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Wants { node, effect: Effect::Call { call, .. } } = fact else { return Ok(()) };
        let Some(process) = scene.process(*node) else { return Ok(()) };
        let member = &process.member;
        match call {
            // What `early-break` looks at.
            Call::Release { lease, .. } if lease.holder != *member => Ok(()),
            Call::Release { lease, .. } if lease.name == process.active && !process.host.is_quiet() => {
                Err(format!("{member} gives {} back while its host still acts as active", lease.name))
            }
            Call::Release { lease, .. } if lease.name == process.own && !process.runs.is_empty() => {
                Err(format!("{member} gives its lease back while it runs {:?}", process.runs))
            }
            Call::Report(reports) => {
                let over = |status: &JobStatus| match status {
                    JobStatus::Running | JobStatus::Progress(_) => false,
                    JobStatus::Stopped | JobStatus::Completed | JobStatus::Failed(_) => true,
                };
                let runs = |(job, epoch): &(crate::JobId, crate::Epoch)| {
                    reports.iter().any(|said| over(&said.status) && said.job == *job && said.epoch == *epoch)
                };
                match process.runs.iter().find(|run| runs(run)) {
                    Some((job, epoch)) => Err(format!("{member} reports {job}#{epoch} as ended while it runs")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
