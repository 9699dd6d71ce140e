//! The [`Board`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{
    Candidate, Decision, Demand, Exit, Explanation, Ordered, Place, Plan, Rules, Shut, Standing, State, Strategy,
    Verdict, Why,
};
use crate::capacity::Capacity;
use crate::ids::{Epoch, GroupName, JobId, Member, NodeId, Revision};
use crate::job::{Course, Failback, FailoverPolicy, JobPolicy, JobRecord, Move, Phase, Step};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq)]
struct Job {
    id: JobId,
    weight: u32,
    policy: Arc<JobPolicy>,
    epoch: Epoch,
    submitted: Revision,
    phase: Phase,
    owner: Option<Member>,
    retiring: bool,
    failures: u32,
    course: Course,
    last: Option<NodeId>,
    read_at: Time,
}

/// Everything that a decision about jobs depends on: what the active node keeps up to date from the feed, and an operator's tool builds
/// once.
#[derive(Debug, Clone)]
pub struct Board {
    strategy: Arc<dyn Strategy>,
    jobs: BTreeMap<JobId, Job>,
    owners: BTreeMap<Member, (usize, Time)>,
    places: Vec<Place>,
    dead: BTreeSet<Member>,
    rules: Rules,
    wanted: BTreeMap<JobId, NodeId>,
    returning: BTreeSet<NodeId>,
}

/// What is taken, and by which groups.
#[derive(Default)]
struct Taken {
    nodes: BTreeMap<NodeId, (u64, u64)>,
    groups: BTreeMap<(GroupName, NodeId), Vec<JobId>>,
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Board {
    /// A board without jobs and nodes, which places in order of rank.
    pub fn new() -> Self {
        Self {
            strategy: Arc::new(Ordered),
            jobs: BTreeMap::new(),
            owners: BTreeMap::new(),
            places: Vec::new(),
            dead: BTreeSet::new(),
            rules: Rules::default(),
            wanted: BTreeMap::new(),
            returning: BTreeSet::new(),
        }
    }

    /// Sets how nodes are chosen.
    pub fn set_strategy(&mut self, strategy: Arc<dyn Strategy>) {
        self.strategy = strategy;
    }

    /// Takes in a job as it is now; `now` is when this was first read. A wait after a failure counts from it.
    pub fn put(&mut self, now: Time, record: &JobRecord) {
        let id = record.spec.id();
        let old = self.forget(id);
        let same = |old: &Job| (old.epoch, old.phase, old.failures) == (record.epoch, record.phase, record.failures);
        let read_at = old.filter(same).map_or(now, |old| old.read_at);
        if let Some(owner) = &record.owner {
            let known = self.owners.entry(owner.clone()).or_insert((0, now));
            *known = (known.0 + 1, known.1.max(now));
        }
        let job = Job {
            id: id.clone(),
            weight: record.spec.weight(),
            policy: Arc::new(record.spec.policy().clone()),
            epoch: record.epoch,
            submitted: record.submitted,
            phase: record.phase,
            owner: record.owner.clone(),
            retiring: record.retiring,
            failures: record.failures,
            course: record.course.clone(),
            last: record.runs.last().map(|run| run.member.node.clone()),
            read_at,
        };
        self.jobs.insert(id.clone(), job);
    }

    /// Forgets a job.
    pub fn remove(&mut self, id: &JobId) {
        self.forget(id);
    }

    fn forget(&mut self, id: &JobId) -> Option<Job> {
        let job = self.jobs.remove(id)?;
        if let Some(owner) = &job.owner
            && let Some(known) = self.owners.get_mut(owner)
        {
            known.0 -= 1;
            if known.0 == 0 {
                self.owners.remove(owner);
            }
        }
        Some(job)
    }

    /// Forgets all jobs.
    pub fn clear(&mut self) {
        self.jobs.clear();
        self.owners.clear();
    }

    /// How many jobs it knows.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether it knows this one.
    pub fn contains(&self, id: &JobId) -> bool {
        self.jobs.contains_key(id)
    }

    /// The jobs it knows, in no order.
    pub fn ids(&self) -> impl Iterator<Item = &JobId> {
        self.jobs.keys()
    }

    /// What it knows of a job.
    pub fn get(&self, id: &JobId) -> Option<Standing> {
        self.jobs.get(id).map(|job| Standing {
            epoch: job.epoch,
            phase: job.phase,
            owner: job.owner.clone(),
            retiring: job.retiring,
            course: job.course.clone(),
            weight: job.weight,
            failover: job.policy.failover,
        })
    }

    /// The jobs that run away from this node, and that an operator's failback would return to it.
    pub fn away_from(&self, node: &NodeId) -> Vec<JobId> {
        let away = |job: &&Job| {
            job.course.home.as_ref() == Some(node)
                && job.owner.as_ref().is_some_and(|owner| owner.node != *node)
                && job.policy.failback.unwrap_or(self.rules.failback) != Failback::Never
        };
        self.jobs.values().filter(away).map(|job| job.id.clone()).collect()
    }

    /// Every member that owns a job, and when one of its jobs was last put. Costs nothing per job.
    pub fn owners(&self) -> impl Iterator<Item = (&Member, Time)> {
        self.owners.iter().map(|(member, (_, at))| (member, *at))
    }

    /// Sets the nodes, in order of rank. The same again costs a comparison.
    pub fn set_places(&mut self, places: Vec<Place>) {
        if self.places != places {
            self.places = places;
        }
    }

    /// Sets the owners whose right has provably ended (law 11): their jobs, and no others, are taken from them.
    pub fn set_dead(&mut self, dead: BTreeSet<Member>) {
        self.dead = dead;
    }

    /// Sets what holds for jobs whose policy does not say.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Sets the jobs that an operator wants on a certain node.
    pub fn set_wanted(&mut self, wanted: BTreeMap<JobId, NodeId>) {
        self.wanted = wanted;
    }

    /// Sets the nodes to which an operator wants everything returned that was moved from them.
    pub fn set_returning(&mut self, nodes: BTreeSet<NodeId>) {
        self.returning = nodes;
    }

    /// Decides what to do now, at most `most` of it. Changes nothing that is known of the jobs: what the store has confirmed is
    /// [`put`](Self::put).
    pub fn decide(&mut self, now: Time, most: usize) -> Plan {
        let mut round = Round { board: self, now, most, taken: self.taken(), plan: Plan::default() };
        round.homeless();
        round.moves();
        round.plan
    }

    /// Decides until nothing more follows, as if each decision came true at once: what was stopped has stopped, what was placed runs.
    /// Afterwards the board shows how things would be.
    pub fn rehearse(&mut self, now: Time) -> Vec<Decision> {
        let mut all = Vec::new();
        let enough = self.jobs.len() * 8 + 64;
        while all.len() < enough {
            let decisions = self.decide(now, usize::MAX).decisions;
            if decisions.is_empty() {
                break;
            }
            for decision in decisions {
                self.come_true(&decision);
                all.push(decision);
            }
        }
        all
    }

    fn come_true(&mut self, decision: &Decision) {
        let id = &decision.mv.job;
        let Some(mut job) = self.forget(id) else { return };
        job.course = decision.mv.course.clone();
        let (owner, phase) = match &decision.mv.step {
            Step::Place { to } | Step::Seize { to: Some(to), .. } => (Some(to.clone()), Phase::Running),
            Step::Seize { to: None, .. } if job.retiring => return,
            Step::Seize { to: None, .. } => (None, Phase::Lost),
            Step::Drain if job.retiring => return,
            Step::Drain => (None, Phase::Queued),
        };
        if let Some(owner) = &owner {
            job.epoch = job.epoch.next();
            job.last = Some(owner.node.clone());
            self.owners.entry(owner.clone()).or_insert((0, job.read_at)).0 += 1;
        }
        (job.owner, job.phase) = (owner, phase);
        self.jobs.insert(id.clone(), job);
    }

    /// Where a job stands and what each node is to it.
    pub fn explain(&self, now: Time, id: &JobId) -> Option<Explanation> {
        let job = self.jobs.get(id)?;
        let taken = self.taken();
        let bound = self.bound(job);
        let verdicts = self.places.iter().map(|place| {
            let verdict = match (&bound, self.verdict(&taken, job, place)) {
                (_, Verdict::Here) => Verdict::Here,
                (Some(node), _) if *node != place.node => Verdict::HeldElsewhere { node: node.clone() },
                (_, verdict) => verdict,
            };
            (place.node.clone(), verdict)
        });
        Some(Explanation { state: self.state(now, job, &taken), verdicts: verdicts.collect() })
    }

    /// Why a job that an operator wants on this node is not there, and is not on its way; nothing if it is, or soon will be.
    pub fn blocked(&self, id: &JobId, node: &NodeId) -> Option<Verdict> {
        let job = self.jobs.get(id)?;
        let on_its_way = job.course.target.as_ref() == Some(node) && job.phase != Phase::Running;
        let taken = self.taken();
        let verdict = match self.places.iter().find(|place| place.node == *node) {
            Some(place) => self.verdict(&taken, job, place),
            None => Verdict::Shut(Shut::Unknown),
        };
        match verdict {
            Verdict::Here | Verdict::WouldTake => None,
            Verdict::Full { .. } | Verdict::Apart { .. } if on_its_way => None,
            verdict => Some(verdict),
        }
    }

    fn state(&self, now: Time, job: &Job, taken: &Taken) -> State {
        if let Some(owner) = &job.owner {
            let on = owner.node.clone();
            return match job.phase {
                _ if self.dead.contains(owner) => State::Orphaned { on },
                _ if job.retiring => State::Retiring { on },
                Phase::Draining => State::Moving { from: on, to: job.course.target.clone() },
                Phase::Assigned => State::Starting { on },
                _ => State::Running { on },
            };
        }
        if job.phase == Phase::Completed {
            return State::Completed;
        }
        if let Some(to) = self.wanted_place(taken, job) {
            return State::Ready { to: to.node.clone() };
        }
        if self.gave_up(job) {
            return State::GaveUp { retries: job.course.retries };
        }
        let due = self.due(job);
        if due > now {
            return State::BackingOff { until: due };
        }
        match (self.best(taken, job, None), self.bound(job)) {
            (Some(to), _) => State::Ready { to: to.node.clone() },
            (None, Some(to)) => State::Bound { to },
            (None, None) => State::Queued,
        }
    }

    /// The only node that its policy leaves a job that has no owner.
    fn bound(&self, job: &Job) -> Option<NodeId> {
        match job.policy.failover {
            FailoverPolicy::Automatic => None,
            FailoverPolicy::Manual | FailoverPolicy::Never if job.owner.is_some() => None,
            FailoverPolicy::Manual | FailoverPolicy::Never => job.course.home.clone().or_else(|| job.last.clone()),
        }
    }

    fn gave_up(&self, job: &Job) -> bool {
        let over = job.policy.retries.is_some_and(|most| job.course.retries >= most);
        let orphan = job.owner.as_ref().is_some_and(|owner| self.dead.contains(owner));
        over && (orphan || matches!(job.phase, Phase::Failed | Phase::Lost))
    }

    fn due(&self, job: &Job) -> Time {
        if job.phase != Phase::Failed {
            return Time::ZERO;
        }
        let first = job.policy.backoff.unwrap_or(self.rules.backoff);
        job.read_at + first * 2_u32.pow(job.failures.saturating_sub(1).min(5))
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        for job in self.jobs.values() {
            for node in self.seats(job) {
                taken.take(job, node);
            }
        }
        taken
    }

    /// The nodes whose room a job takes.
    fn seats<'a>(&self, job: &'a Job) -> impl Iterator<Item = &'a NodeId> + use<'a> {
        let here = job.owner.as_ref().filter(|owner| !self.dead.contains(owner)).map(|owner| &owner.node);
        let moving = !matches!(job.phase, Phase::Assigned | Phase::Running | Phase::Completed);
        let there = job.course.target.as_ref().filter(|target| moving && Some(*target) != here);
        here.into_iter().chain(there)
    }

    fn verdict(&self, taken: &Taken, job: &Job, place: &Place) -> Verdict {
        if job.owner.as_ref().is_some_and(|owner| owner.node == place.node && !self.dead.contains(owner)) {
            return Verdict::Here;
        }
        if let Some(why) = place.closed() {
            return Verdict::Shut(why);
        }
        let policy = &job.policy;
        if !policy.pins.is_empty() && !policy.pins.contains(&place.node) {
            return Verdict::NotPinned;
        }
        if let Some((label, value)) =
            policy.requires.iter().find(|(label, value)| place.labels.get(*label) != Some(value))
        {
            let has = place.labels.get(label).cloned();
            return Verdict::LacksLabel { label: label.clone(), wanted: value.clone(), has };
        }
        if let Some(from) = taken.apart(job, &place.node) {
            return Verdict::Apart { from };
        }
        if job.weight > place.capacity.weight {
            return Verdict::TooHeavy { capacity: place.capacity, weight: job.weight };
        }
        let (mut jobs, mut weight) = taken.nodes.get(&place.node).copied().unwrap_or_default();
        if self.seats(job).any(|seat| *seat == place.node) {
            (jobs, weight) = (jobs - 1, weight - u64::from(job.weight));
        }
        let left = |of: u32, used: u64| u32::try_from(u64::from(of).saturating_sub(used)).unwrap_or(0);
        let free = Capacity { jobs: left(place.capacity.jobs, jobs), weight: left(place.capacity.weight, weight) };
        if free.jobs == 0 || free.weight < job.weight {
            return Verdict::Full { free, needs: Capacity { jobs: 1, weight: job.weight } };
        }
        Verdict::WouldTake
    }

    fn can_take(&self, taken: &Taken, job: &Job, node: &NodeId) -> Option<&Place> {
        let place = self.places.iter().find(|place| place.node == *node)?;
        (self.verdict(taken, job, place) == Verdict::WouldTake).then_some(place)
    }

    fn wanted_place(&self, taken: &Taken, job: &Job) -> Option<&Place> {
        self.can_take(taken, job, self.wanted.get(&job.id)?)
    }

    /// The best place for a job, other than `not`.
    fn best(&self, taken: &Taken, job: &Job, not: Option<&NodeId>) -> Option<&Place> {
        if let Some(target) = job.course.target.as_ref().filter(|target| Some(*target) != not)
            && !matches!(job.phase, Phase::Running | Phase::Assigned)
            && let Some(place) = self.can_take(taken, job, target)
        {
            return Some(place);
        }
        if let Some(node) = self.bound(job) {
            return self.can_take(taken, job, &node);
        }
        let demand = Demand { job: &job.id, weight: job.weight, policy: &job.policy };
        let scored = self
            .places
            .iter()
            .enumerate()
            .filter(|(_, place)| Some(&place.node) != not && self.verdict(taken, job, place) == Verdict::WouldTake);
        let avoid = (job.phase == Phase::Failed && (job.policy.retries.is_some() || job.policy.progress.is_some()))
            .then_some(job.last.as_ref())
            .flatten();
        let key = |(rank, place): &(usize, &Place)| {
            let avoided = avoid == Some(&place.node);
            let liked = job.policy.prefers.iter().all(|(label, value)| place.labels.get(label) == Some(value));
            let pin = job.policy.pins.iter().position(|pin| *pin == place.node);
            let score = if pin.is_some() { 0 } else { self.score(taken, &demand, *rank, place) };
            (avoided, Reverse(liked), pin, score, *rank)
        };
        scored.min_by_key(key).map(|(_, place)| place)
    }

    fn score(&self, taken: &Taken, demand: &Demand<'_>, rank: usize, place: &Place) -> i64 {
        let (jobs, weight) = taken.nodes.get(&place.node).copied().unwrap_or_default();
        let cut = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let used = Capacity { jobs: cut(jobs), weight: cut(weight) };
        let node = &place.node;
        let candidate = Candidate { node, rank, capacity: place.capacity, used, labels: &place.labels };
        self.strategy.score(demand, &candidate)
    }

    fn in_order(&self, which: impl Fn(&Job) -> bool) -> Vec<&Job> {
        let mut jobs: Vec<_> = self.jobs.values().filter(|job| which(job)).collect();
        jobs.sort_by_key(|job| (Reverse(job.policy.priority), job.submitted, &job.id));
        jobs
    }
}

impl Taken {
    fn take(&mut self, job: &Job, node: &NodeId) {
        let (jobs, weight) = self.nodes.entry(node.clone()).or_default();
        (*jobs, *weight) = (*jobs + 1, *weight + u64::from(job.weight));
        if let Some(group) = &job.policy.apart {
            self.groups.entry((group.clone(), node.clone())).or_default().push(job.id.clone());
        }
    }

    fn give(&mut self, job: &Job, node: &NodeId) {
        let (jobs, weight) = self.nodes.entry(node.clone()).or_default();
        (*jobs, *weight) = (*jobs - 1, *weight - u64::from(job.weight));
        if let Some(group) = &job.policy.apart
            && let Some(there) = self.groups.get_mut(&(group.clone(), node.clone()))
        {
            there.retain(|id| *id != job.id);
        }
    }

    /// Another job of its group that is there.
    fn apart(&self, job: &Job, node: &NodeId) -> Option<JobId> {
        let there = self.groups.get(&(job.policy.apart.clone()?, node.clone()))?;
        there.iter().find(|id| **id != job.id).cloned()
    }
}

/// One round of decisions.
struct Round<'a> {
    board: &'a Board,
    now: Time,
    most: usize,
    taken: Taken,
    plan: Plan,
}

impl<'a> Round<'a> {
    fn wake(&mut self, at: Time) {
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |known| known.min(at)));
    }

    fn push(&mut self, job: &Job, step: Step, to: Option<&NodeId>, course: Course, why: Why) {
        if self.plan.decisions.len() < self.most {
            let mv = Move { course, ..Move::new(job.id.clone(), job.epoch, step) };
            let from = job.owner.as_ref().map(|owner| owner.node.clone());
            self.plan.decisions.push(Decision { mv, from, to: to.cloned(), why });
        }
    }

    /// Jobs that are nobody's, or whose owner is dead.
    fn homeless(&mut self) {
        let board = self.board;
        let dead = |job: &Job| job.owner.as_ref().is_some_and(|owner| board.dead.contains(owner));
        for job in board.in_order(|job| dead(job) || (job.owner.is_none() && job.phase != Phase::Completed)) {
            self.place(job);
        }
    }

    fn place(&mut self, job: &'a Job) {
        let board = self.board;
        let lost = job.owner.clone();
        if let Some(from) = lost.clone().filter(|_| job.retiring) {
            return self.push(job, Step::Seize { from, to: None }, None, Course::default(), Why::Removed);
        }
        let mut course = job.course.clone();
        if let Some(lost) = &lost {
            let bound = job.policy.failover != FailoverPolicy::Automatic;
            course.home = course.home.filter(|_| !bound).or_else(|| Some(lost.node.clone()));
        }
        let (gave_up, due) = (board.gave_up(job), board.due(job));
        let asked = board.wanted_place(&self.taken, job);
        let place = match asked {
            Some(place) => Some(place),
            None if gave_up => None,
            None if due > self.now => return self.wake(due),
            // What its policy binds to the lost node waits for it.
            None if lost.is_some() && job.policy.failover != FailoverPolicy::Automatic => None,
            None => board.best(&self.taken, job, None),
        };
        let Some(place) = place else {
            if let Some(from) = lost {
                let why = match job.policy.failover {
                    _ if gave_up => Why::GaveUp,
                    FailoverPolicy::Automatic => Why::LostNowhere,
                    FailoverPolicy::Manual | FailoverPolicy::Never => Why::LostBound,
                };
                course.target = None;
                self.push(job, Step::Seize { from, to: None }, None, course, why);
            }
            return;
        };
        let node = &place.node;
        let Some(to) = place.member.clone() else { return };
        let why = match (&lost, job.phase) {
            _ if asked.is_some() => Why::Asked,
            (Some(_), _) => Why::FailedOver,
            (None, Phase::Failed) => Why::Restarted,
            (None, Phase::Lost) => Why::Recovered,
            (None, _) if course.target.as_ref() == Some(node) => Why::Arrives,
            (None, _) => Why::Waited,
        };
        course.retries = match why {
            Why::FailedOver | Why::Restarted | Why::Recovered => course.retries.saturating_add(1),
            _ => 0,
        };
        course.home = course.home.filter(|home| home != node && asked.is_none());
        course.target = None;
        for seat in board.seats(job) {
            self.taken.give(job, seat);
        }
        self.taken.take(job, node);
        let step = match lost {
            Some(from) => Step::Seize { from, to: Some(to) },
            None => Step::Place { to },
        };
        self.push(job, step, Some(node), course, why);
    }

    /// Jobs that run and are to run elsewhere.
    fn moves(&mut self) {
        let board = self.board;
        let alive = |job: &Job| job.owner.as_ref().is_some_and(|owner| !board.dead.contains(owner)) && !job.retiring;
        for job in board.in_order(alive) {
            let Some(owner) = &job.owner else { continue };
            if !self.asked(job, owner) && !self.leaves(job, owner) {
                self.returns(job, owner);
            }
        }
    }

    fn drain(&mut self, job: &Job, to: Option<&NodeId>, course: Course, why: Why) {
        for seat in self.board.seats(job).filter(|seat| Some(*seat) == job.course.target.as_ref()) {
            self.taken.give(job, seat);
        }
        if let Some(to) = to {
            self.taken.take(job, to);
        }
        self.push(job, Step::Drain, to, course, why);
    }

    fn asked(&mut self, job: &Job, owner: &Member) -> bool {
        let Some(to) = self.board.wanted.get(&job.id).filter(|to| **to != owner.node) else { return false };
        if job.phase == Phase::Draining && job.course.target.as_ref() == Some(to) {
            return true;
        }
        if self.board.can_take(&self.taken, job, to).is_none() {
            return false;
        }
        let course = Course { home: None, target: Some(to.clone()), ..job.course.clone() };
        self.drain(job, Some(to), course, Why::Asked);
        true
    }

    fn leaves(&mut self, job: &Job, owner: &Member) -> bool {
        let place = self.board.places.iter().find(|place| place.node == owner.node);
        let exit = place.map_or(Exit::Stay, |place| place.exit);
        if exit == Exit::Stay || job.phase == Phase::Draining {
            return false;
        }
        let free = job.policy.failover == FailoverPolicy::Automatic;
        let to = self.board.best(&self.taken, job, Some(&owner.node)).filter(|_| free).map(|place| place.node.clone());
        let home = job.course.home.clone();
        let home = if exit == Exit::Follow { home } else { home.or_else(|| Some(owner.node.clone())) };
        let why = match (exit, &to) {
            (Exit::AtOnce, None) => Why::DrainedNowhere,
            (_, None) => return true,
            (Exit::Follow, Some(_)) => Why::Followed,
            (_, Some(_)) => Why::Drained,
        };
        let course = Course { home, target: to.clone(), ..job.course.clone() };
        self.drain(job, to.as_ref(), course, why);
        true
    }

    fn returns(&mut self, job: &Job, owner: &Member) {
        let Some(home) = job.course.home.as_ref().filter(|home| **home != owner.node) else { return };
        if job.phase != Phase::Running || self.board.wanted.contains_key(&job.id) {
            return;
        }
        let Some(place) = self.board.can_take(&self.taken, job, home) else { return };
        let why = match job.policy.failback.unwrap_or(self.board.rules.failback) {
            Failback::Never => return,
            _ if self.board.returning.contains(home) => Why::ReturnAsked,
            Failback::Manual => return,
            Failback::Automatic { stable_for } => {
                let wait: Duration = self.board.rules.damping.wait(stable_for, place.falls);
                let Some(due) = place.stable_since.map(|since| since + wait) else { return };
                if due > self.now {
                    return self.wake(due);
                }
                Why::ReturnedByItself
            }
        };
        let course = Course { target: Some(home.clone()), ..job.course.clone() };
        self.drain(job, Some(home), course, why);
    }
}
