//! The guards of the hosts: what each was told, and how it settles that once the host is dead. It may be told late, act late, twice or in vain.

use std::time::Duration;

use super::wire::Request;
use super::{Engine, Happening};
use crate::heir::Estate;
use crate::machine::{Call, CallId};
use crate::testkit::sim::coverage::Count;

/// What the guard of a process knows.
#[derive(Debug)]
pub(super) struct Told {
    latest: Estate,
    /// What it was told last; of what has changed since it does not know.
    guard: Estate,
}

impl Told {
    pub(super) fn nothing(estate: Estate) -> Self {
        Self { guard: estate.clone(), latest: estate }
    }
}

impl Engine {
    /// The node's machine has decided: tells its guard what has become of its estate, if it has one.
    pub(super) fn bequeath(&mut self, node: usize) {
        let Some(plan) = self.setup.guards else { return };
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let estate = process.machine.estate();
        if estate == process.told.latest {
            return;
        }
        process.told.latest = estate;
        if !self.rng.percent(plan.late) {
            process.told.guard = process.told.latest.clone();
        }
    }

    /// The process is dead, or its guard takes it for that: what the guard knows of it is settled.
    pub(super) fn settle(&mut self, node: usize) {
        let Some(plan) = self.setup.guards else { return };
        let Some(scene) = self.scene.process(node) else { return };
        let (by, era) = (scene.member.clone(), scene.era);
        let Some(process) = self.nodes[node].process.as_ref() else { return };
        let (life, estate) = (process.life, process.told.guard.clone());
        if estate.is_empty() {
            return;
        }
        self.observer.count(Count::Estates);
        let releases = estate.bequests.into_iter().map(|b| Call::Release { lease: b.lease, successor: b.successor });
        let mut at = self.scene.now + self.rng.between(plan.notices.0, plan.notices.1);
        for call in releases.chain(estate.last_word.map(|word| Call::Beat(Box::new(word)))) {
            let mut again = at;
            // A call without an answer is made again, and both may arrive.
            for _ in 0..=self.rng.below(plan.again + 1) {
                let request = Request { node, life, id: CallId::of_a_guard(), call: call.clone(), by: by.clone(), era };
                self.queue.push(again, Happening::Settle(Box::new(request)));
                again = again + self.rng.between(Duration::from_millis(1), Duration::from_secs(2));
            }
            at = at + self.setup.latency.1 * 2;
        }
    }
}
