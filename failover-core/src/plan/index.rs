//! The jobs, and everything that is looked up by something else than a job's name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::job::{Job, Policies, Turn};
use super::queue::{Alike, Queue};
use super::room::Room;
use super::round::Candidates;
use super::slab::{FilterKey, GroupKey, Key, MemberKey, NodeKey, Slab, Slot};
use super::{Place, Rules};
use crate::ids::{JobId, Member, NodeId};
use crate::job::{Failback, JobRecord, Phase};
use crate::time::Time;

/// A member that owns jobs.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) member: Member,
    pub(super) node: NodeKey,
    pub(super) jobs: Vec<Slot>,
    pub(super) latest: Time,
    pub(super) dead: bool,
}

/// A node that is a place, or is named by a job.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) rank: Option<usize>,
    /// The jobs that are there or on their way there.
    pub(super) jobs: u32,
    pub(super) weight: u64,
    /// The jobs that were moved from it and are elsewhere.
    pub(super) away: BTreeMap<Return, BTreeSet<Turn>>,
}

/// When a job returns to the node it was moved from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Return {
    /// By itself, after so long.
    After(Duration),
    /// When an operator says so.
    Asked,
    Never,
}

impl From<Failback> for Return {
    fn from(failback: Failback) -> Self {
        match failback {
            Failback::Never => Self::Never,
            Failback::Manual => Self::Asked,
            Failback::Automatic { stable_for } => Self::After(stable_for),
        }
    }
}

#[derive(Clone)]
pub(super) struct Index {
    pub(super) rules: Rules,
    pub(super) slots: HashMap<JobId, Slot>,
    pub(super) jobs: Slab<Slot, Job>,
    pub(super) members: BTreeMap<Member, MemberKey>,
    pub(super) owners: Slab<MemberKey, Owner>,
    pub(super) names: HashMap<NodeId, NodeKey>,
    nodes: Vec<Node>,
    pub(super) policies: Policies,
    pub(super) queue: Queue,
    /// Which jobs of groups that keep apart are where.
    pub(super) apart: BTreeSet<(GroupKey, NodeKey, Slot)>,
    pub(super) room: Room,
    /// The places that a filter lets through, as far as anyone has asked.
    pub(super) candidates: BTreeMap<FilterKey, Arc<Candidates>>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            rules: Rules::default(),
            slots: HashMap::new(),
            jobs: Slab::new(),
            members: BTreeMap::new(),
            owners: Slab::new(),
            names: HashMap::new(),
            nodes: Vec::new(),
            policies: Policies::new(),
            queue: Queue::new(),
            apart: BTreeSet::new(),
            room: Room::new(&[], false, |_| (0, 0)),
            candidates: BTreeMap::new(),
        }
    }

    pub(super) fn node(&self, key: NodeKey) -> &Node {
        &self.nodes[key.index()]
    }

    pub(super) fn node_mut(&mut self, key: NodeKey) -> &mut Node {
        &mut self.nodes[key.index()]
    }

    fn node_key(names: &mut HashMap<NodeId, NodeKey>, nodes: &mut Vec<Node>, id: &NodeId) -> NodeKey {
        if let Some(key) = names.get(id) {
            return *key;
        }
        let key = NodeKey::at(nodes.len());
        nodes.push(Node { id: id.clone(), rank: None, jobs: 0, weight: 0, away: BTreeMap::new() });
        names.insert(id.clone(), key);
        key
    }

    pub(super) fn key_of(&mut self, id: &NodeId) -> NodeKey {
        Self::node_key(&mut self.names, &mut self.nodes, id)
    }

    /// Gives the nodes their ranks; their keys by rank.
    pub(super) fn rank(&mut self, places: &[Place]) -> Vec<NodeKey> {
        for node in &mut self.nodes {
            node.rank = None;
        }
        let mut ranks = Vec::with_capacity(places.len());
        for (rank, place) in places.iter().enumerate() {
            let key = self.key_of(&place.node);
            // A node that is named twice counts where it is named first.
            self.nodes[key.index()].rank.get_or_insert(rank);
            ranks.push(key);
        }
        ranks
    }

    /// Whether that changes anything.
    pub(super) fn put(&mut self, now: Time, record: &JobRecord, dead: &BTreeSet<Member>) -> bool {
        let owner = record.owner.as_ref().map(|owner| self.owner(owner, now, dead));
        let known = self.slots.get(record.spec.id()).copied();
        let (names, nodes) = (&mut self.names, &mut self.nodes);
        let mut node = |id: &NodeId| Self::node_key(names, nodes, id);
        let mut job = Job {
            id: record.spec.id().clone(),
            epoch: record.epoch,
            submitted: record.submitted,
            read_at: now,
            owner,
            position: 0,
            home: record.course.home.as_ref().map(&mut node),
            target: record.course.target.as_ref().map(&mut node),
            last: record.runs.last().map(|run| node(&run.member.node)),
            policy: self.policies.hold(record.spec.policy(), node),
            weight: record.spec.weight(),
            retries: record.course.retries,
            failures: record.failures,
            phase: record.phase,
            retiring: record.retiring,
            ripe: false,
        };
        let Some(slot) = known else {
            let id = job.id.clone();
            let slot = self.jobs.insert(job);
            self.slots.insert(id, slot);
            self.enter(slot);
            return true;
        };
        let old = &self.jobs[slot];
        // The same failure, read again because something else changed: its wait goes on.
        if (old.epoch, old.phase, old.failures) == (job.epoch, job.phase, job.failures) {
            (job.read_at, job.ripe) = (old.read_at, old.ripe && old.policy == job.policy);
        }
        job.position = old.position;
        let (changed, policy) = (*old != job, old.policy);
        if changed {
            self.change(slot, |old| *old = job);
        }
        self.release(policy);
        changed
    }

    fn release(&mut self, policy: super::slab::PolicyKey) {
        if let Some(filter) = self.policies.release(policy) {
            self.candidates.remove(&filter);
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, id: &JobId) -> bool {
        let Some(slot) = self.slots.remove(id) else { return false };
        self.leave(slot);
        if let Some(job) = self.jobs.remove(slot) {
            self.dismiss(job.owner);
            self.release(job.policy);
        }
        self.queue.gained();
        true
    }

    /// Makes a job different, everywhere.
    pub(super) fn change(&mut self, slot: Slot, to: impl FnOnce(&mut Job)) {
        let old = self.footprint(slot);
        let owner = self.jobs[slot].owner;
        self.leave(slot);
        to(&mut self.jobs[slot]);
        self.enter(slot);
        self.dismiss(owner);
        if old != self.footprint(slot) {
            self.queue.gained();
        }
    }

    /// What it keeps others from.
    fn footprint(&self, slot: Slot) -> (Option<NodeKey>, Option<NodeKey>, u32, Option<GroupKey>) {
        let job = &self.jobs[slot];
        let mut seats = self.seats(job);
        (seats.next(), seats.next(), job.weight, self.policies.get(job.policy).group)
    }

    /// Forgets a member that owns nothing any more.
    fn dismiss(&mut self, owner: Option<MemberKey>) {
        if let Some(key) = owner.filter(|key| self.owners[*key].jobs.is_empty())
            && let Some(gone) = self.owners.remove(key)
        {
            self.members.remove(&gone.member);
        }
    }

    /// The key of a job's owner, last heard of now.
    pub(super) fn owner(&mut self, member: &Member, now: Time, dead: &BTreeSet<Member>) -> MemberKey {
        if let Some(key) = self.members.get(member) {
            let owner = &mut self.owners[*key];
            owner.latest = owner.latest.max(now);
            return *key;
        }
        let node = self.key_of(&member.node);
        let dead = dead.contains(member);
        let key = self.owners.insert(Owner { member: member.clone(), node, jobs: Vec::new(), latest: now, dead });
        self.members.insert(member.clone(), key);
        key
    }

    pub(super) fn set_dead(&mut self, member: &Member, dead: bool) {
        let Some(key) = self.members.get(member).copied() else { return };
        let jobs = std::mem::take(&mut self.owners[key].jobs);
        for slot in &jobs {
            self.leave_nodes(*slot);
        }
        self.owners[key].dead = dead;
        for slot in &jobs {
            self.enter_nodes(*slot);
        }
        self.owners[key].jobs = jobs;
        self.queue.gained();
    }

    pub(super) fn set_rules(&mut self, rules: Rules) {
        let mut moved: Vec<_> = self.queue.failed().collect();
        for node in &self.nodes {
            moved.extend(node.away.values().flatten().map(|turn| turn.slot));
        }
        for slot in &moved {
            self.leave(*slot);
        }
        self.rules = rules;
        for slot in moved {
            self.jobs[slot].ripe = false;
            self.enter(slot);
        }
    }

    /// Lets those whose wait is over stand in line.
    pub(super) fn ripen(&mut self, now: Time) {
        while let Some((_, slot)) = self.queue.first_wait().filter(|(until, _)| *until <= now) {
            self.change(slot, |job| job.ripe = true);
        }
    }

    /// The owner, if its right has ended.
    pub(super) fn dead_owner(&self, job: &Job) -> Option<&Owner> {
        job.owner.map(|owner| &self.owners[owner]).filter(|owner| owner.dead)
    }

    /// The owner, if it may still act.
    pub(super) fn live_owner(&self, job: &Job) -> Option<&Owner> {
        job.owner.map(|owner| &self.owners[owner]).filter(|owner| !owner.dead)
    }

    /// When a job that failed may be started again.
    pub(super) fn due(&self, job: &Job) -> Time {
        job.read_at + self.policies.get(job.policy).wait(job.failures, self.rules.backoff)
    }

    pub(super) fn gave_up(&self, job: &Job) -> bool {
        let over = self.policies.get(job.policy).spec.retries.is_some_and(|most| job.retries >= most);
        over && (matches!(job.phase, Phase::Failed | Phase::Lost) || self.dead_owner(job).is_some())
    }

    /// What a job without an owner has in common with others of its line.
    pub(super) fn alike(&self, job: &Job) -> Alike {
        let policy = self.policies.get(job.policy);
        let bound = if policy.leaves() { None } else { job.home.or(job.last) };
        let avoid = if job.phase == Phase::Failed && policy.avoids() { job.last } else { None };
        Alike { policy: job.policy, weight: job.weight, phase: job.phase, target: job.reserved(), bound, avoid }
    }

    pub(super) fn turn(&self, slot: Slot) -> Turn {
        let job = &self.jobs[slot];
        Turn::new(self.policies.get(job.policy).spec.priority, job.submitted, slot)
    }
}
