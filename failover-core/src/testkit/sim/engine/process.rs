//! A node's process: its start, its end, and the hands of its machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Engine, Happening, MOST_AT_ONCE, Process};
use crate::capacity::Capacity;
use crate::ids::{Incarnation, LeaseName, Member};
use crate::machine::{Config, Finish, HostInput, Input, Machine, Switch};
use crate::testkit::sim::coverage::Count;
use crate::testkit::sim::scene::{Fact, HostScene, ProcessScene};
use crate::time::Time;

impl Engine {
    /// Starts the node's process, unless it runs.
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let state = &mut self.nodes[node];
        state.lives += 1;
        state.left = false;
        let life = state.lives;
        // Incarnations in no order, so that nobody can rely on one.
        let incarnation = Incarnation::from_u128(u128::from(self.rng.next()) << 32 | u128::from(life));
        let member = Member::new(self.setup.nodes[node].id.clone(), incarnation);
        let mut config = Config::new(member.clone(), self.setup.timing);
        (config.watchdog, config.witnessed) = (self.setup.watchdog, self.setup.witnessed);
        config.capacity = Capacity::of(self.setup.nodes[node].capacity).unwrap_or_default();
        config.fencer = if self.setup.fencers.is_some() { Switch::On } else { Switch::Off };
        config.version = self.setup.nodes[node].version.map(str::to_owned);
        config.responses = self.setup.responses.iter().map(|plan| plan.name.clone()).collect();
        self.tamper.config(&mut config);
        let machine = Machine::new(config);
        let told = super::guard::Told::nothing(machine.estate());
        let now = self.scene.now;
        self.scene.nodes[node].process = Some(ProcessScene {
            active: LeaseName::active(),
            own: LeaseName::node(&member.node),
            member,
            era: self.scene.era,
            paused: false,
            awake_since: now,
            role: machine.role(),
            capacity: self.setup.nodes[node].capacity,
            version: self.setup.nodes[node].version,
            parked: false,
            rights: BTreeMap::new(),
            runs: BTreeSet::new(),
            host: HostScene::Quiet,
            hopeless: self.setup.nodes[node].hopeless,
            hangs: None,
            cut_off: None,
            responding: BTreeSet::new(),
        });
        self.nodes[node].process = Some(Process {
            machine,
            life,
            open: BTreeMap::new(),
            wake_at: None,
            runs: BTreeMap::new(),
            promoted_at: now,
            missed: Vec::new(),
            hints_due: [false; 4],
            told_maintenance: false,
            fed_at: Time::ZERO,
            told_fed: Time::ZERO,
            withheld: Vec::new(),
            reported: BTreeSet::new(),
            finished: None,
            called_off: BTreeSet::new(),
            told,
        });
        if life > 1 {
            self.observer.count(Count::Restarts);
        }
        self.park(node);
        self.observer.hear(&self.scene, &Fact::Born { node });
        self.feed(node, None, Input::Wake);
        self.begin_feeding(node);
    }

    /// Ends the node's process, whatever it is doing.
    pub(super) fn end(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.observer.hear(&self.scene, &Fact::Dying { node });
            self.settle(node);
            self.nodes[node].process = None;
            self.scene.nodes[node].process = None;
        }
    }

    pub(super) fn wake(&mut self, node: usize, life: u32) {
        if !self.is_life(node, life) {
            return;
        }
        let local = self.nodes[node].clock.at(self.scene.now);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        // A later one that an earlier one has overtaken.
        if process.wake_at != Some(self.scene.now) {
            return;
        }
        process.wake_at = None;
        if process.machine.deadline().is_some_and(|due| due <= local) {
            self.feed(node, None, Input::Wake);
        } else {
            self.arm(node);
        }
    }

    /// Makes sure that the machine is woken when it wants to be.
    pub(super) fn arm(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(process) = state.process.as_mut() else { return };
        let Some(due) = process.machine.deadline() else { return };
        let lateness = self.rng.between(Duration::ZERO, self.setup.lateness);
        let at = state.clock.when(due).max(self.scene.now) + lateness;
        if process.wake_at.is_none_or(|pending| at < pending) {
            process.wake_at = Some(at);
            self.queue.push(at, Happening::Wake { node, life: process.life });
        }
    }

    /// Hands one input to the node's machine and carries out what it wants.
    pub(super) fn feed(&mut self, node: usize, waited: Option<Duration>, input: Input) {
        if let Some(fed_at) = self.sign_of_life(node) {
            self.hand(node, None, Input::Host(HostInput::Fed(fed_at)));
        }
        self.hand(node, waited, input);
    }

    fn hand(&mut self, node: usize, waited: Option<Duration>, mut input: Input) {
        let Some(member) = self.scene.process(node).map(|process| process.member.clone()) else { return };
        self.tamper.input(&member, waited, &mut input);
        self.observer.hear(&self.scene, &Fact::Told { node, input: &input });
        let local = self.nodes[node].clock.at(self.scene.now);
        let mut effects = std::mem::take(&mut self.effects);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        process.machine.handle(local, input, &mut effects);
        let role = process.machine.role();
        self.bequeath(node);
        if let Some(scene) = self.scene.nodes[node].process.as_mut() {
            scene.role = role;
        }
        for mut effect in effects.drain(..) {
            self.tamper.effect(&member, &mut effect);
            self.perform(node, local, effect);
        }
        self.effects = effects;
        self.observer.hear(&self.scene, &Fact::Handled { node });
        self.spin += 1;
        if self.spin > MOST_AT_ONCE {
            self.observer.break_law(
                "progress",
                &self.scene,
                format!("{member} is woken again and again without time passing"),
            );
        }
        if let Some(finish) = self.nodes[node].process.as_ref().and_then(|process| process.finished) {
            self.finished(node, finish);
            return;
        }
        self.arm(node);
        self.nudge(node, local);
    }

    /// Wakes a copy of the machine before its time: it must not do anything about it.
    pub(super) fn nudge(&mut self, node: usize, local: Time) {
        if self.rng.below(1000) >= self.setup.nudges {
            return;
        }
        let Some(process) = self.nodes[node].process.as_ref() else { return };
        if process.machine.deadline().is_none_or(|due| due <= local) {
            return;
        }
        let mut effects = Vec::new();
        process.machine.clone().handle(local, Input::Wake, &mut effects);
        self.observer.count(Count::Nudges);
        self.observer.hear(&self.scene, &Fact::Nudged { node, effects: &effects });
    }

    pub(super) fn finished(&mut self, node: usize, finish: Finish) {
        self.nodes[node].left = matches!(finish, Finish::Left);
        self.observer.count(match finish {
            Finish::Left => Count::Leaves,
            Finish::NameTaken => Count::NamesTaken,
            Finish::StoreChanged | Finish::Abandoned => Count::FailedClosed,
        });
        self.end(node);
        // A supervisor starts a process again that did not end in good order.
        if !matches!(finish, Finish::Left) {
            let after = self.rng.millis(100, 3_000);
            self.queue.push(self.scene.now + after, Happening::Start { node });
        }
    }
}
