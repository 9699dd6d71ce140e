//! What befalls the cluster, and how the faults end.

use std::time::Duration;

use super::{Engine, Happening};
use crate::control::{self, Errand, HoldOff, Order, Orders, Pause, Settings, SwitchWay, Switchover};
use crate::ids::{Incarnation, LeaseName, Member, NodeId, StateKey, Term};
use crate::lease::Lease;
use crate::machine::{Command, Hint, Input, Switch};
use crate::record;
use crate::state::Expect;
use crate::testkit::sim::coverage::Count;
use crate::testkit::sim::plan::{Act, Beside, Target, Weather};
use crate::testkit::sim::scene::Fact;

impl Engine {
    pub(in crate::testkit::sim) fn act(&mut self, act: Act) {
        self.observer.note(&self.scene, || format!("  !! {act:?}"));
        match act {
            Act::Crash(target, back) => {
                let Some(node) = self.resolve(target) else { return };
                if self.nodes[node].process.is_some() {
                    self.observer.count(Count::Crashes);
                    self.end(node);
                }
                if let Some(after) = back {
                    self.queue.push(self.scene.now + after, Happening::Start { node });
                }
            }
            Act::Restart(target) => {
                if let Some(node) = self.resolve(target) {
                    self.start(node);
                }
            }
            Act::Pause(target, lasts) => {
                if let Some(node) = self.resolve(target) {
                    self.pause(node, lasts);
                }
            }
            Act::Weather(target, lasts, weather) => self.change_weather(target, lasts, weather),
            Act::RestartStore(lasts) => {
                // What was under way when it went down is not answered any more; what it has committed, it keeps.
                self.weather.push((None, self.scene.now + Duration::from_millis(50), Weather::Hanging { applied: 30 }));
                self.weather.push((None, self.scene.now + lasts, Weather::Refusing));
                self.observer.count(Count::StoreRestarts);
            }
            Act::Wipe => self.wipe(),
            Act::Submit(job) => {
                self.scene.world.submit(&self.setup.jobs[job].spec);
                self.submitted.push(job);
                self.hint_operator(&Hint::Jobs);
            }
            Act::Remove(job) => {
                self.scene.world.remove(self.setup.jobs[job].spec.id());
                self.submitted.retain(|submitted| *submitted != job);
                self.hint_operator(&Hint::Jobs);
            }
            Act::Switchover(to) => self.switchover(to, SwitchWay::Planned),
            Act::Activate(node) => self.switchover(Some(node), SwitchWay::Activation),
            Act::Standstill(switch) => self.stand_still(switch),
            Act::Topology(topology) => self.edit(|settings| settings.topology = topology),
            Act::Settings(settings) => {
                self.maintenance.clone_from(&settings.maintenance);
                let Settings { maintenance, cordoned, drains, .. } = &*settings;
                self.observer.count(match (maintenance.is_empty(), cordoned.is_empty() && drains.is_empty()) {
                    (false, _) => Count::Maintenances,
                    (true, false) => Count::Emptied,
                    (true, true) => Count::RosterChanges,
                });
                self.write(&control::settings_key(), &*settings);
                (0..self.nodes.len()).for_each(|node| self.park(node));
            }
            Act::Pace(pace) => {
                self.observer.count(Count::Paces);
                self.edit(|settings| settings.pace = pace);
            }
            Act::Versions(rule, version) => self.edit(|settings| {
                (settings.versions, settings.version) = (rule, version.map(str::to_owned));
            }),
            Act::Upgrade(target, version) => self.upgrade(target, version),
            Act::Order(errand) => self.order(errand),
            Act::Ack(number) => self.acknowledge(number),
            Act::Retry(number) => self.retry(number),
            Act::Command(target, command) => {
                let Some(node) = self.resolve(target) else { return };
                self.command(node, command);
            }
            Act::HoldOff(hold_off) => {
                self.scene.hold_off = self.scene.hold_off.min(hold_off);
                self.edit(|settings| settings.hold_off = HoldOff(hold_off));
            }
            Act::Report(target, name, weight) => self.upon(target, |it, node| it.report(node, name, weight)),
            Act::Clear(target, name) => self.upon(target, |it, node| it.clear(node, name)),
            Act::Hang(target, lasts) => self.upon(target, |it, node| it.hang(node, lasts)),
            Act::Refuse(target, lasts) => self.upon(target, |it, node| it.refuse(node, lasts)),
            Act::Ahead(beside, by) => self.go_ahead(beside, by),
            Act::Floor => self.raise_floor(),
            Act::Unwitnessed(target, lasts) => self.upon(target, |it, node| it.unwitness(node, lasts)),
            Act::CutOff(target, lasts) => self.upon(target, |it, node| it.cut_from_all(node, lasts)),
        }
    }

    fn upon(&mut self, target: Target, act: impl FnOnce(&mut Self, usize)) {
        if let Some(node) = self.resolve(target) {
            act(self, node);
        }
    }

    /// For one node or for all.
    fn change_weather(&mut self, target: Option<Target>, lasts: Duration, weather: Weather) {
        let whom = target.map(|target| self.resolve(target));
        if whom != Some(None) {
            self.weather.push((whom.flatten(), self.scene.now + lasts, weather));
            self.observer.count(match weather {
                Weather::Refusing | Weather::Hanging { .. } => Count::Outages,
                Weather::Slow(_) | Weather::Lossy { .. } => Count::BadWeather,
            });
        }
    }

    /// It comes back at once, as another version.
    fn upgrade(&mut self, target: Target, version: &'static str) {
        let Some(node) = self.resolve(target) else { return };
        self.observer.count(Count::Upgrades);
        self.setup.nodes[node].version = Some(version);
        self.end(node);
        self.start(node);
    }

    fn command(&mut self, node: usize, command: Command) {
        if self.scene.process(node).is_none_or(|process| process.paused) {
            return;
        }
        if let (Command::Maintenance(switch), Some(process)) = (command, self.nodes[node].process.as_mut()) {
            process.told_maintenance = switch == Switch::On;
            self.observer.count(Count::Maintenances);
        }
        self.park(node);
        self.feed(node, None, Input::Command(command));
    }

    /// Notes whether the node is meant to be in maintenance.
    pub(super) fn park(&mut self, node: usize) {
        let told = self.nodes[node].process.as_ref().is_some_and(|process| process.told_maintenance);
        let parked = told || self.maintenance.contains(&self.setup.nodes[node].id);
        if let Some(scene) = self.scene.nodes[node].process.as_mut() {
            scene.parked = parked;
        }
    }

    fn pause(&mut self, node: usize, lasts: Duration) {
        let life = self.nodes[node].lives;
        let Some(scene) = self.scene.nodes[node].process.as_mut().filter(|scene| !scene.paused) else { return };
        scene.paused = true;
        if self.tamper.takes_a_pause_for_death() {
            self.settle(node);
        }
        self.observer.count(if lasts > self.setup.timing.ttl() { Count::LongPauses } else { Count::ShortPauses });
        self.queue.push(self.scene.now + lasts, Happening::Resume { node, life });
    }

    /// The process goes on: everything it has missed happens to it now, in any order.
    pub(super) fn resume(&mut self, node: usize, life: u32) {
        if !self.is_life(node, life) {
            return;
        }
        let now = self.scene.now;
        let Some(scene) = self.scene.nodes[node].process.as_mut().filter(|scene| scene.paused) else { return };
        scene.paused = false;
        scene.awake_since = now;
        self.observer.note(&self.scene, || format!("  !! {} goes on", self.scene.nodes[node].id));
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let mut missed = std::mem::take(&mut process.missed);
        missed.retain(|happening| !matches!(happening, Happening::Wake { .. }));
        missed.push(Happening::Wake { node, life });
        process.wake_at = Some(now);
        self.rng.shuffle(&mut missed);
        for happening in missed {
            self.queue.push(now, happening);
        }
    }

    fn stand_still(&mut self, switch: Switch) {
        self.observer.count(Count::Standstills);
        self.edit(|settings| settings.paused = (switch == Switch::On).then(Pause::default));
    }

    fn switchover(&mut self, to: Option<NodeId>, way: SwitchWay) {
        self.wishes += 1;
        self.observer.count(Count::Wishes);
        self.scene.wished_at = Some(self.scene.now);
        let id = format!("wish-{}", self.wishes);
        let wish = Switchover::new(id, to, way);
        self.write(&control::switchover_key(), &wish);
    }

    /// Adds an order to those that are there, as `Admin` does.
    pub(super) fn order(&mut self, errand: Errand) {
        self.observer.count(Count::Orders);
        let key = control::orders_key();
        let mut orders: Orders = self.scene.document(&key);
        orders.orders.insert(format!("order-{:04}", orders.orders.len()), Order::new(errand));
        self.write(&key, &orders);
    }

    /// Edits the settings that are there, as `Admin` does.
    fn edit(&mut self, change: impl FnOnce(&mut Settings)) {
        let key = control::settings_key();
        let mut settings: Settings = self.scene.document(&key);
        change(&mut settings);
        self.write(&key, &settings);
    }

    fn write<T: serde::Serialize>(&mut self, key: &StateKey, document: &T) {
        let value = record::encode("put", document).unwrap_or_else(|e| unreachable!("{e}"));
        let written = self.scene.world.put(key, value.as_bytes(), Expect::Any, None);
        debug_assert!(written.is_ok(), "an operator's write has no fence and no expectation");
        self.hint_control();
    }

    /// The store is lost and an operator puts an empty one in its place, with a floor above every term; the jobs are submitted
    /// anew. Whoever knew the old store has to find out.
    fn wipe(&mut self) {
        let floor = self.floor();
        self.scene.world.wipe();
        self.scene.era += 1;
        let raised = self.scene.world.raise_floor(floor);
        debug_assert!(raised.is_ok(), "terms in a simulation are small");
        self.maintenance.clear();
        for job in self.submitted.clone() {
            self.scene.world.submit(&self.setup.jobs[job].spec);
        }
        self.observer.count(Count::Wipes);
        self.observer.hear(&self.scene, &Fact::Wiped);
    }

    /// What is in another store than the leases has seen a term that these will not reach soon.
    fn go_ahead(&mut self, beside: Beside, by: u64) {
        self.observer.count(Count::FencesAhead);
        self.ahead = Term(self.floor().0 + by);
        let nobody = Member::new(self.setup.nodes[0].id.clone(), Incarnation::from_u128(0));
        let (name, ttl) = (LeaseName::active(), self.setup.timing.ttl());
        let fence = Lease { name, holder: nobody, term: self.ahead, ttl };
        let world = &mut self.scene.world;
        let done = match beside {
            Beside::Jobs => world.assign(&fence, &[], crate::memory::stamp(self.scene.now)).is_ok(),
            Beside::Documents => {
                let key = StateKey::new("ahead").unwrap_or_else(|e| unreachable!("{e}"));
                world.put(&key, b"", Expect::Any, Some(&fence)).is_ok()
            }
        };
        debug_assert!(done, "it is above every fence");
    }

    fn raise_floor(&mut self) {
        let raised = self.scene.world.raise_floor(self.ahead);
        debug_assert!(raised.is_ok(), "terms in a simulation are small");
    }

    /// All faults end: the weather clears, what is slow arrives, who is paused goes on, who is down comes back unless it stays
    /// away for good.
    pub(super) fn heal(&mut self) {
        let now = self.scene.now;
        self.weather.clear();
        self.observer.note(&self.scene, || "  !! the faults end".into());
        self.raise_floor();
        let soon = now + self.setup.latency.1;
        self.queue.hurry(|at, happening| match happening {
            Happening::Arrive(_) | Happening::Reply { .. } => at.min(soon),
            Happening::Resume { .. } | Happening::Start { .. } => at.min(now),
            Happening::Wake { .. }
            | Happening::Settle(_)
            | Happening::SwitchOff(_)
            | Happening::GiveUp { .. }
            | Happening::Host { .. }
            | Happening::Hint { .. }
            | Happening::Act(_)
            | Happening::Heal
            | Happening::Bound => at,
        });
        self.scene.healed = Some(now);
        for node in 0..self.nodes.len() {
            if self.setup.nodes[node].returns {
                self.queue.push(now, Happening::Start { node });
            }
            self.recover(node);
            self.listen(node);
        }
        self.observer.hear(&self.scene, &Fact::Healed);
    }
}
