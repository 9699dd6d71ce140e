//! How the board explains itself, and rehearses.

use super::board::Board;
use super::job::Job;
use super::round::{Ask, Round};
use super::slab::Slot;
use super::{Decision, Explanation, Place, Shut, State, Verdict};
use crate::capacity::Capacity;
use crate::ids::{JobId, NodeId};
use crate::job::{FailoverPolicy, Phase, Step};
use crate::time::Time;

impl Board {
    /// Where a job stands and what each node is to it.
    pub fn explain(&self, now: Time, id: &JobId) -> Option<Explanation> {
        let (slot, job) = self.find(id)?;
        let (bound, target) = (self.bound(job), self.course(job).target);
        let verdicts = self.places.iter().map(|place| {
            let verdict = match (&bound, self.verdict(slot, place)) {
                (_, Verdict::Here) => Verdict::Here,
                (Some(node), _) if *node != place.node && target.as_ref() != Some(&place.node) => {
                    Verdict::HeldElsewhere { node: node.clone() }
                }
                (_, verdict) => verdict,
            };
            (place.node.clone(), verdict)
        });
        Some(Explanation { state: self.state(now, slot), verdicts: verdicts.collect() })
    }

    /// Why a job that an operator wants on this node is not there and will not soon be; nothing if it is or will.
    pub fn blocked(&self, id: &JobId, node: &NodeId) -> Option<Verdict> {
        let (slot, job) = self.find(id)?;
        let verdict = match self.rank_of(node) {
            Some(rank) => self.verdict(slot, &self.places[rank]),
            None => Verdict::Shut(Shut::Unknown),
        };
        let on_its_way = || job.phase == Phase::Draining && self.course(job).target.as_ref() == Some(node);
        match verdict {
            Verdict::Here | Verdict::WouldTake => None,
            verdict => Some(verdict).filter(|_| !on_its_way()),
        }
    }

    /// The only node that its policy leaves a job that nobody runs, besides the one it is on its way to.
    fn bound(&self, job: &Job) -> Option<NodeId> {
        if self.index.live_owner(job).is_some() {
            return None;
        }
        let policy = self.index.policies.get(job.policy);
        if let ([pin], true) = (&*policy.spec.pins, policy.leaves()) {
            return Some(pin.clone());
        }
        if policy.leaves() {
            return None;
        }
        let lost = self.index.dead_owner(job).map(|owner| owner.node);
        lost.or(job.home).or(job.last).map(|node| self.index.node(node).id.clone())
    }

    /// Whether an operator may move a job that its policy binds to a node.
    fn by_hand(&self, job: &Job) -> bool {
        let policy = &self.index.policies.get(job.policy).spec;
        policy.failover == FailoverPolicy::Manual && policy.pins.len() != 1
    }

    fn state(&self, now: Time, slot: Slot) -> State {
        let job = &self.index.jobs[slot];
        if let Some(owner) = job.owner.map(|owner| &self.index.owners[owner]) {
            let on = owner.member.node.clone();
            return match job.phase {
                _ if owner.dead => State::Orphaned { on },
                _ if job.retiring => State::Retiring { on },
                Phase::Draining => State::Moving { from: on, to: self.course(job).target },
                Phase::Assigned => State::Starting { on },
                Phase::Running | Phase::Queued | Phase::Completed | Phase::Failed | Phase::Lost => {
                    State::Running { on }
                }
            };
        }
        if job.phase == Phase::Completed {
            return State::Completed;
        }
        let mut round = Round::new(self, now, 1);
        let ask = Ask { slot, alike: self.index.alike(job), not: None };
        round.let_go(&ask);
        let asked = self.wanted.get(&job.id).and_then(|node| self.rank_of(node));
        if let Some(rank) = asked.filter(|rank| round.can_take(&ask, *rank)) {
            return State::Ready { to: self.places[rank].node.clone() };
        }
        if self.index.gave_up(job) {
            return State::GaveUp { retries: job.retries };
        }
        let due = self.index.due(job);
        if job.phase == Phase::Failed && !job.ripe && due > now {
            return State::BackingOff { until: due };
        }
        match (round.best(&ask, &mut 0), self.bound(job)) {
            (Some(rank), _) => State::Ready { to: self.places[rank].node.clone() },
            (None, Some(to)) if self.by_hand(job) => State::Held { to },
            (None, Some(to)) => State::Bound { to },
            (None, None) => State::Queued,
        }
    }

    fn verdict(&self, slot: Slot, place: &Place) -> Verdict {
        let job = &self.index.jobs[slot];
        if self.index.live_owner(job).is_some_and(|owner| owner.member.node == place.node) {
            return Verdict::Here;
        }
        if let Some(why) = place.closed() {
            return Verdict::Shut(why);
        }
        let policy = self.index.policies.get(job.policy);
        if !policy.spec.pins.is_empty() && !policy.spec.pins.contains(&place.node) {
            return Verdict::NotPinned;
        }
        let lacks = policy.spec.requires.iter().find(|(label, value)| place.labels.get(*label) != Some(value));
        if let Some((label, wanted)) = lacks {
            let has = place.labels.get(label).cloned();
            return Verdict::LacksLabel { label: label.clone(), wanted: wanted.clone(), has };
        }
        let Some(key) = self.index.names.get(&place.node).copied() else { return Verdict::Shut(Shut::Unknown) };
        if let Some(group) = policy.group {
            let there = self.index.apart.range((group, key, Slot::FIRST)..=(group, key, Slot::LAST));
            let others = there.filter(|(_, _, other)| *other != slot).map(|(_, _, other)| &self.index.jobs[*other].id);
            if let Some(from) = others.min() {
                return Verdict::Apart { from: from.clone() };
            }
        }
        if job.weight > place.capacity.weight {
            return Verdict::TooHeavy { capacity: place.capacity, weight: job.weight };
        }
        let node = self.index.node(key);
        let own = u32::from(self.index.seats(job).any(|seat| seat == key));
        let weight = node.weight - u64::from(own * job.weight);
        let weight = u64::from(place.capacity.weight).saturating_sub(weight);
        let free = Capacity {
            jobs: place.capacity.jobs.saturating_sub(node.jobs - own),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        };
        if free.jobs == 0 || free.weight < job.weight {
            return Verdict::Full { free, needs: Capacity { jobs: 1, weight: job.weight } };
        }
        Verdict::WouldTake
    }

    /// Decides until nothing more follows, as if each decision came true at once: what was stopped has stopped, what was placed runs.
    /// Waits that are not over are not waited for. Afterwards the board shows how things would be.
    pub fn rehearse(&mut self, now: Time) -> Vec<Decision> {
        let mut all = Vec::new();
        // Every job moves a few times at most; a strategy or a board that contradicts itself shall not keep anyone here for ever.
        let enough = self.len() * 8;
        while all.len() <= enough {
            let decisions = self.decide(now, usize::MAX).decisions;
            if decisions.is_empty() {
                break;
            }
            for decision in &decisions {
                self.come_true(now, decision);
            }
            all.extend(decisions);
        }
        all
    }

    fn come_true(&mut self, now: Time, decision: &Decision) {
        let Some((slot, job)) = self.find(&decision.mv.job) else { return };
        let (to, phase) = match &decision.mv.step {
            Step::Place { to } | Step::Seize { to: Some(to), .. } => (Some(to), Phase::Running),
            Step::Seize { to: None, .. } if job.retiring => return self.remove(&decision.mv.job),
            Step::Seize { to: None, .. } => (None, Phase::Lost),
            Step::Drain => (None, Phase::Queued),
        };
        let owner = to.map(|member| self.index.owner(member, now, &self.dead));
        let course = &decision.mv.course;
        let [home, target] =
            [&course.home, &course.target].map(|node| node.as_ref().map(|node| self.index.key_of(node)));
        let last = owner.map(|owner| self.index.owners[owner].node);
        self.index.change(slot, |job| {
            (job.owner, job.phase, job.home, job.target, job.retries) = (owner, phase, home, target, course.retries);
            job.last = last.or(job.last);
            if decision.mv.step != Step::Drain {
                job.epoch = job.epoch.next();
            }
        });
        self.quiet = None;
    }
}
