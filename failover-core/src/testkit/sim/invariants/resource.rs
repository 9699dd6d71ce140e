use std::collections::BTreeMap;

use super::Invariant;
use crate::ids::{Epoch, JobId, Term};
use crate::testkit::sim::scene::{Fact, ProcessScene, Scene};

/// Fencing at a resource (law 1): a register for each right that remembers the highest token. Whoever may act, by its own
/// clock, writes at every occasion; each such write has to be accepted, so no token is ever followed by a lower one.
///
/// The terms go on across a wipe, because the operator sets a floor; the epochs of the jobs do not, so theirs are told
/// apart by store.
#[derive(Default)]
pub(super) struct Resource {
    active: Term,
    jobs: BTreeMap<(u32, JobId), Epoch>,
}

impl Invariant for Resource {
    fn name(&self) -> &'static str {
        "resource"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Handled { node } = fact else { return Ok(()) };
        let Some(process) = scene.process(*node) else { return Ok(()) };
        if let Some(right) = process.active_right(scene.now) {
            if right.lease.term < self.active && process.era == scene.era {
                return Err(refused(process, "active", right.lease.term.0, self.active.0));
            }
            self.active = self.active.max(right.lease.term);
        }
        if process.node_right(scene.now).is_none() {
            return Ok(());
        }
        for (job, epoch) in &process.runs {
            let highest = self.jobs.entry((process.era, job.clone())).or_default();
            if *epoch < *highest {
                return Err(refused(process, job.as_str(), epoch.0, highest.0));
            }
            *highest = *epoch;
        }
        Ok(())
    }
}

fn refused(process: &ProcessScene, what: &str, token: u64, highest: u64) -> String {
    format!("{} may act, but its write under {what}#{token} comes after one under #{highest}", process.member)
}
