//! A small store of jobs that does what the planner says, as every backend would: by [`rules`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use failover_core::job::{Course, JobReport, JobStatus, Move, Phase, Step};
use failover_core::plan::{Board, Decision, Explanation, Gate, Place, Shut, Why};
use failover_core::rules::{self, Next};
use failover_core::time::{Stamp, Time};
use failover_core::{Capacity, Epoch, Incarnation, JobId, JobPolicy, JobRecord, JobSpec, Member, NodeId, Revision};

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

pub(crate) fn member(name: &str, start: u128) -> Member {
    Member::new(node(name), Incarnation::from_u128(start))
}

/// An open place of so many jobs of weight 1.
pub(crate) fn place(name: &str, jobs: u32) -> Place {
    Place::open(member(name, 1), Capacity::of(jobs).unwrap())
}

pub(crate) fn labelled(place: Place, label: &str, value: &str) -> Place {
    let mut place = place;
    place.labels.insert(label.to_owned(), value.to_owned());
    place
}

/// A policy, made from the default one.
pub(crate) fn policy(change: impl FnOnce(&mut JobPolicy)) -> JobPolicy {
    let mut policy = JobPolicy::default();
    change(&mut policy);
    policy
}

/// The store, the board that follows it, and what an active node tells the board.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) board: Board,
    pub(crate) records: BTreeMap<JobId, JobRecord>,
    pub(crate) places: Vec<Place>,
    pub(crate) dead: BTreeSet<Member>,
    revision: Revision,
    /// Since when each job is as it is.
    since: BTreeMap<JobId, Time>,
    /// The last epoch of each name that is gone.
    epochs: BTreeMap<JobId, Epoch>,
}

impl World {
    pub(crate) fn new(places: Vec<Place>) -> Self {
        let mut board = Board::new();
        board.set_places(places.clone());
        let now = Time::ZERO + Duration::from_hours(1);
        Self {
            now,
            board,
            records: BTreeMap::new(),
            places,
            dead: BTreeSet::new(),
            revision: Revision::ZERO,
            since: BTreeMap::new(),
            epochs: BTreeMap::new(),
        }
    }

    pub(crate) fn submit(&mut self, name: &str, weight: u32, policy: JobPolicy) -> JobId {
        let spec = JobSpec::new(id(name), "").unwrap().with_weight(weight).unwrap().with_policy(policy).unwrap();
        let record = rules::queued(&spec, self.epochs.get(&id(name)).copied().unwrap_or_default(), Revision::ZERO);
        self.put(record);
        id(name)
    }

    /// A job of weight 1 with the default policy.
    pub(crate) fn job(&mut self, name: &str) -> JobId {
        self.submit(name, 1, JobPolicy::default())
    }

    pub(crate) fn put(&mut self, record: JobRecord) {
        self.revision = self.revision.next();
        let record = record.at_revision(self.revision);
        self.board.put(self.now, &record);
        let id = record.spec.id().clone();
        let state = |record: &JobRecord| (record.epoch, record.phase, record.failures);
        if self.records.get(&id).map(state) != Some(state(&record)) {
            self.since.insert(id.clone(), self.now);
        }
        self.records.insert(id, record);
    }

    /// A board that is told of the jobs as they are now, last first.
    pub(crate) fn another_board(&self, mut board: Board) -> Board {
        board.set_places(self.places.clone());
        board.set_dead(self.dead.clone());
        for (id, record) in self.records.iter().rev() {
            board.put(self.since[id], record);
        }
        board
    }

    pub(crate) fn remove(&mut self, job: &JobId) {
        if let Some(record) = self.records.get(job) {
            let (_, next) = rules::remove(record);
            self.take_in(job, next);
        }
    }

    pub(crate) fn revise(&mut self, job: &JobId, change: impl FnOnce(&mut JobPolicy)) {
        let spec = self.records[job].spec.clone();
        let policy = {
            let mut policy = spec.policy().clone();
            change(&mut policy);
            policy
        };
        let (_, next) = rules::revise(&self.records[job], &spec.with_policy(policy).unwrap());
        self.take_in(job, next);
    }

    fn take_in(&mut self, job: &JobId, next: Next) {
        match next {
            Next::Same => {}
            Next::Put(record) => self.put(record),
            Next::Gone { epoch } => {
                self.epochs.insert(job.clone(), epoch);
                self.since.remove(job);
                self.records.remove(job);
                self.board.remove(job);
            }
        }
    }

    /// Does a move, unless it is stale.
    pub(crate) fn apply(&mut self, mv: &Move) -> bool {
        let Some(next) = self.records.get(&mv.job).and_then(|record| rules::step(record, mv, Stamp(0))) else {
            return false;
        };
        self.take_in(&mv.job, next);
        true
    }

    /// The owner of a job says this of it.
    pub(crate) fn report(&mut self, job: &JobId, status: JobStatus) {
        let record = &self.records[job];
        let member = record.owner.clone().expect("only an owner reports");
        let said = JobReport { job: job.clone(), member, epoch: record.epoch, status };
        let next = rules::report(record, &said, Stamp(0)).expect("it is the owner");
        self.take_in(job, next);
    }

    pub(crate) fn set_places(&mut self, places: Vec<Place>) {
        self.places.clone_from(&places);
        self.board.set_places(places);
    }

    pub(crate) fn place_mut(&mut self, name: &str, change: impl FnOnce(&mut Place)) {
        let mut places = self.places.clone();
        change(places.iter_mut().find(|place| place.node.as_str() == name).unwrap());
        self.set_places(places);
    }

    /// This node's right has ended.
    pub(crate) fn lose(&mut self, name: &str) {
        let gone = self.places.iter().find(|place| place.node.as_str() == name).and_then(|place| place.member.clone());
        self.dead.extend(gone);
        self.board.set_dead(self.dead.clone());
        self.place_mut(name, |place| (place.member, place.gate) = (None, Gate::Shut(Shut::Missing)));
    }

    /// It is back, as a new incarnation.
    pub(crate) fn back(&mut self, name: &str, start: u128) {
        let (member, now) = (member(name, start), self.now);
        self.place_mut(name, |place| {
            (place.member, place.gate, place.stable_since) = (Some(member), Gate::Open, Some(now));
        });
    }

    pub(crate) fn decide(&mut self) -> Vec<Decision> {
        self.board.decide(self.now, usize::MAX).decisions
    }

    /// Decides and does it: which job went where, and why.
    pub(crate) fn step(&mut self) -> Vec<(String, Option<String>, Why)> {
        let decisions = self.decide();
        for decision in &decisions {
            assert!(self.apply(&decision.mv), "{decision:?} is stale");
        }
        let told = |d: Decision| (d.mv.job.to_string(), d.to.map(|to| to.to_string()), d.why);
        decisions.into_iter().map(told).collect()
    }

    /// Owners do what they are asked to. Whether that changed anything.
    pub(crate) fn obey(&mut self) -> bool {
        let before = self.revision;
        let alive = |r: &&JobRecord| r.owner.as_ref().is_some_and(|owner| !self.dead.contains(owner));
        let said = |r: &JobRecord| {
            let status = if r.phase == Phase::Draining || r.retiring { JobStatus::Stopped } else { JobStatus::Running };
            (r.spec.id().clone(), status)
        };
        for (job, status) in self.records.values().filter(alive).map(said).collect::<Vec<_>>() {
            self.report(&job, status);
        }
        self.revision != before
    }

    /// Decides, does it and lets owners obey until nothing more follows.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let moved = !self.step().is_empty();
            if !self.obey() && !moved {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Which job is where.
    pub(crate) fn map(&self) -> BTreeMap<&str, &str> {
        let owned = self.records.values().filter_map(|r| Some((r.spec.id().as_str(), r.owner.as_ref()?.node.as_str())));
        owned.collect()
    }

    pub(crate) fn on(&self, job: &str) -> Option<&str> {
        self.records[&id(job)].owner.as_ref().map(|owner| owner.node.as_str())
    }

    pub(crate) fn course(&self, job: &str) -> &Course {
        &self.records[&id(job)].course
    }

    pub(crate) fn explain(&self, job: &str) -> Explanation {
        self.board.explain(self.now, &id(job)).unwrap()
    }
}

/// The step's kind, for short.
pub(crate) fn kind(step: &Step) -> &'static str {
    match step {
        Step::Place { .. } => "place",
        Step::Seize { to: Some(_), .. } => "seize",
        Step::Seize { to: None, .. } => "seize to nobody",
        Step::Drain => "drain",
        _ => "another",
    }
}
