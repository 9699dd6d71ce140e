//! What a node's host says of itself, and what its witnesses say of the network.

use std::time::Duration;

use super::{Engine, HostStep};
use crate::health::Failure;
use crate::heartbeat::Role;
use crate::ids::FailureName;
use crate::machine::{HostInput, Input, Reach};
use crate::testkit::sim::coverage::Count;
use crate::testkit::sim::plan::Weather;
use crate::testkit::sim::scene::{CutOff, Hang, HostScene};
use crate::time::Time;

impl Engine {
    /// The host begins to feed its watchdog, if it has one.
    pub(super) fn begin_feeding(&mut self, node: usize) {
        if let Some(limit) = self.setup.watchdog {
            self.host(limit / 4, node, HostStep::Feeds);
        }
    }

    /// The host feeds its watchdog, and will again unless it hangs.
    pub(super) fn feeds(&mut self, node: usize) {
        if self.scene.process(node).is_none_or(|process| process.hangs.is_some()) {
            return;
        }
        let local = self.nodes[node].clock.at(self.scene.now);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        process.fed_at = local;
        let wakes = process.machine.is_hung();
        self.begin_feeding(node);
        if wakes {
            self.feed(node, None, Input::Wake);
        }
    }

    /// What the machine is to be told of the watchdog before anything else, as the driver does.
    pub(super) fn sign_of_life(&mut self, node: usize) -> Option<Time> {
        let process = self.nodes[node].process.as_mut()?;
        let news = process.fed_at > process.told_fed;
        process.told_fed = process.fed_at;
        news.then_some(process.fed_at)
    }

    /// The host does nothing any more for a while.
    pub(super) fn hang(&mut self, node: usize, lasts: Duration) {
        let (now, clock) = (self.scene.now, self.nodes[node].clock);
        let never = Time::from_nanos(u64::MAX);
        let found_out = self.setup.watchdog.map(|limit| clock.when(clock.at(now) + limit) + self.setup.lateness);
        let loses_role_by = found_out.unwrap_or(never);
        let loses_right_by = found_out.map_or(never, |at| at + self.setup.slowest.ttl());
        let Some(scene) = self.scene.nodes[node].process.as_mut().filter(|scene| scene.hangs.is_none()) else { return };
        scene.hangs = Some(Hang { since: now, loses_role_by, loses_right_by });
        let was_active = scene.role == Role::Active;
        self.observer.count(if was_active { Count::ActivesHung } else { Count::HostsHung });
        self.host(lasts, node, HostStep::Recovers);
    }

    /// The host goes on where it was.
    pub(super) fn recovers(&mut self, node: usize) {
        let Some(scene) = self.scene.nodes[node].process.as_mut() else { return };
        if scene.hangs.take().is_none() {
            return;
        }
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        for step in std::mem::take(&mut process.withheld) {
            self.host(Duration::ZERO, node, step);
        }
        self.feeds(node);
    }

    /// The faults are over: the host goes on and nothing is wrong with it any more, and every witness answers.
    pub(super) fn recover(&mut self, node: usize) {
        (self.nodes[node].unwitnessed, self.nodes[node].refuses) = (self.scene.now, self.scene.now);
        self.host(Duration::ZERO, node, HostStep::Recovers);
        let reported = self.nodes[node].process.as_mut().map(|process| std::mem::take(&mut process.reported));
        for name in reported.unwrap_or_default() {
            self.host(Duration::ZERO, node, HostStep::Clears(name));
        }
        if let Some(scene) = self.scene.nodes[node].process.as_mut() {
            scene.cut_off = None;
        }
    }

    /// The host cannot be promoted for a while.
    pub(super) fn refuse(&mut self, node: usize, lasts: Duration) {
        let until = self.scene.now + lasts;
        self.nodes[node].refuses = self.nodes[node].refuses.max(until);
    }

    /// The hook that promotes the host has returned, perhaps in vain.
    pub(super) fn promoted(&mut self, node: usize) {
        if !(self.setup.nodes[node].hopeless || self.scene.now < self.nodes[node].refuses) {
            return self.tell(node, HostInput::Promoted);
        }
        self.observer.count(Count::PromotionsRefused);
        if let Some(scene) = self.scene.nodes[node].process.as_mut().filter(|scene| !scene.host.is_quiet()) {
            scene.host = HostScene::Refused;
        }
        self.tell(node, HostInput::PromotionRefused { why: "it is broken".to_owned() });
    }

    /// Whether a hook that would return now does not, because its host hangs.
    pub(super) fn withholds(&mut self, node: usize, step: HostStep) -> Option<HostStep> {
        let hangs = self.scene.process(node).is_some_and(|process| process.hangs.is_some());
        let is_hook = matches!(step, HostStep::Prepared | HostStep::Promoted | HostStep::Demoted);
        let Some(process) = self.nodes[node].process.as_mut().filter(|_| hangs && is_hook) else { return Some(step) };
        process.withheld.push(step);
        None
    }

    pub(super) fn report(&mut self, node: usize, name: FailureName, weight: u32) {
        self.observer.count(Count::Failures);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        process.reported.insert(name.clone());
        let failure = Failure::new("it is broken", weight).unwrap_or_else(|e| unreachable!("{e}"));
        self.says(node, HostInput::FailureReported { name, failure });
    }

    pub(super) fn clear(&mut self, node: usize, name: FailureName) {
        self.says(node, HostInput::FailureCleared { name });
    }

    fn says(&mut self, node: usize, input: HostInput) {
        if self.scene.process(node).is_some_and(|process| !process.paused) {
            self.tell(node, input);
        }
    }

    pub(super) fn unwitness(&mut self, node: usize, lasts: Duration) {
        let until = self.scene.now + lasts;
        self.nodes[node].unwitnessed = self.nodes[node].unwitnessed.max(until);
    }

    /// Neither the store nor a witness answers the node for a while.
    ///
    /// It notices after the last answer: a beat later the next call is sent, it is given up at its deadline, and a beat after that the store is silent.
    /// Meanwhile the witnesses are asked, at most a quarter of a beat after the call was given up, and do not answer by their deadline.
    pub(super) fn cut_from_all(&mut self, node: usize, lasts: Duration) {
        self.unwitness(node, lasts);
        let (since, until) = (self.scene.now, self.scene.now + lasts);
        self.weather.push((Some(node), until, Weather::Hanging { applied: 0 }));
        let timing = &self.setup.slowest;
        let (beat, call) = (timing.beat(), timing.call());
        let notices = beat + call + beat.max(beat / 4 + call);
        let stretched = notices + notices * timing.drift_ppm() / (1_000_000 - timing.drift_ppm());
        let notices_within = stretched + self.setup.lateness * 3;
        if let Some(scene) = self.scene.nodes[node].process.as_mut().filter(|_| self.setup.witnessed) {
            scene.cut_off = Some(CutOff { since, until, notices_within });
        }
    }

    /// The machine asks the witnesses: one that does not answer is waited for until the deadline.
    pub(super) fn ask_witness(&mut self, node: usize) {
        self.observer.count(Count::WitnessesAsked);
        let (reach, after) = if self.scene.now < self.nodes[node].unwitnessed {
            (Reach::Unreachable, self.machine(node).map_or(Duration::ZERO, |machine| machine.timing().call()))
        } else {
            (Reach::Reachable, self.rng.between(self.setup.latency.0, self.setup.latency.1))
        };
        self.host(after, node, HostStep::Witness(reach));
    }
}
