//! The hosts' fencers: they switch machines off, refuse, answer late or never. None of them lies: who confirms has killed what ran there.

use std::time::Duration;

use super::{Engine, Happening, HostStep};
use crate::ids::Member;
use crate::machine::HostInput;
use crate::testkit::sim::coverage::Count;
use crate::testkit::sim::scene::Fact;

/// What a fencer was told to do.
#[derive(Debug)]
pub(super) struct Throw {
    by: usize,
    life: u32,
    order: u64,
    target: Member,
}

impl Engine {
    /// The machine wants another's switched off.
    pub(super) fn order_off(&mut self, by: usize, order: u64, target: Member) {
        let Some(plan) = self.setup.fencers else { return };
        let Some(life) = self.nodes[by].process.as_ref().map(|process| process.life) else { return };
        self.observer.count(Count::FencingsAsked);
        if self.rng.percent(plan.silent) {
            return;
        }
        let takes = self.rng.between(plan.takes.0, plan.takes.1);
        if self.rng.percent(plan.refuses) {
            let outcome = Err("there is no such outlet".to_owned());
            return self.host(takes, by, HostStep::SwitchedOff { order, outcome });
        }
        let throw = Throw { by, life, order, target };
        self.queue.push(self.scene.now + takes, Happening::SwitchOff(Box::new(throw)));
    }

    /// An order is called off, perhaps too late to be called back.
    pub(super) fn call_off(&mut self, by: usize, order: u64) {
        self.observer.count(Count::CalledOff);
        if self.rng.percent(50)
            && let Some(process) = self.nodes[by].process.as_mut()
        {
            process.called_off.insert(order);
        }
    }

    /// The switch is thrown: whatever runs on that machine is dead from now on, its guard with it.
    pub(super) fn throw(&mut self, throw: Throw) {
        let Throw { by, life, order, target } = throw;
        let restarts = self.setup.fencers.map_or(0, |plan| plan.restarts);
        let asked = self.nodes[by].process.as_ref().filter(|process| process.life == life);
        if asked.is_some_and(|process| process.called_off.contains(&order)) {
            return;
        }
        let Some(node) = self.setup.nodes.iter().position(|plan| plan.id == target.node) else { return };
        let is_up = self.nodes[node].process.is_some();
        let outcome =
            if is_up && self.scene.healed.is_some() { Err("it answers".to_owned()) } else { Ok(String::new()) };
        if is_up && outcome.is_ok() {
            self.observer.count(Count::SwitchedOff);
            self.observer.hear(&self.scene, &Fact::Dying { node });
            self.nodes[node].process = None;
            self.scene.nodes[node].process = None;
            if self.rng.percent(restarts) {
                let after = self.rng.between(Duration::from_millis(50), Duration::from_secs(6));
                self.queue.push(self.scene.now + after, Happening::Start { node });
            }
        }
        if self.is_life(by, life) {
            let after = self.rng.between(self.setup.latency.0, self.setup.latency.1);
            self.host(after, by, HostStep::SwitchedOff { order, outcome });
        }
    }

    /// The fencer has answered.
    pub(super) fn switched_off(&mut self, by: usize, order: u64, outcome: Result<String, String>) {
        self.tell(by, HostInput::SwitchedOff { order, outcome });
    }
}
