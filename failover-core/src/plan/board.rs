//! The [`Board`]: what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::index::{Index, Return};
use super::job::Job;
use super::room::Room;
use super::round::Order;
use super::slab::{NodeKey, Slot};
use super::{Ordered, Place, Rules, Standing, Strategy};
use crate::ids::{JobId, Member, NodeId};
use crate::job::{Course, JobRecord};
use crate::time::Time;

/// Everything that a decision about jobs depends on, indexed: what the active node keeps up to date from the feed, and an operator's tool
/// builds once.
///
/// A clone is a board of its own, to ask what would follow if something were different.
#[derive(Clone)]
pub struct Board {
    pub(super) order: Order,
    pub(super) index: Index,
    pub(super) places: Vec<Place>,
    /// The nodes of the places, by rank.
    pub(super) ranks: Vec<NodeKey>,
    pub(super) dead: BTreeSet<Member>,
    pub(super) wanted: BTreeMap<JobId, NodeId>,
    pub(super) returning: BTreeSet<NodeId>,
    pub(super) quiet: Option<Quiet>,
}

/// Nothing follows any more, unless something changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet {
    /// When something may by itself.
    pub(super) until: Option<Time>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Board({} jobs, {} nodes)", self.len(), self.places.len())
    }
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
            order: Order::new(Arc::new(Ordered)),
            index: Index::new(),
            places: Vec::new(),
            ranks: Vec::new(),
            dead: BTreeSet::new(),
            wanted: BTreeMap::new(),
            returning: BTreeSet::new(),
            quiet: None,
        }
    }

    /// Sets how nodes are chosen. The same again costs nothing.
    pub fn set_strategy(&mut self, strategy: Arc<dyn Strategy>) {
        if !self.order.is(&strategy) {
            self.order = Order::new(strategy);
            self.furnish();
        }
    }

    /// Takes in a job as it is now; `now` is when this was first read. A wait after a failure counts from it.
    pub fn put(&mut self, now: Time, record: &JobRecord) {
        if self.index.put(now, record, &self.dead) {
            self.quiet = None;
        }
    }

    /// Forgets a job.
    pub fn remove(&mut self, id: &JobId) {
        if self.index.remove(id) {
            self.quiet = None;
        }
    }

    /// Forgets all jobs.
    pub fn clear(&mut self) {
        let rules = self.index.rules;
        self.index = Index::new();
        self.index.rules = rules;
        self.furnish();
    }

    /// How many jobs it knows.
    pub fn len(&self) -> usize {
        self.index.slots.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it knows this one.
    pub fn contains(&self, id: &JobId) -> bool {
        self.index.slots.contains_key(id)
    }

    /// The jobs it knows, in no order that means anything.
    pub fn ids(&self) -> impl Iterator<Item = &JobId> {
        self.index.jobs.iter().map(|(_, job)| &job.id)
    }

    /// What it knows of a job.
    pub fn get(&self, id: &JobId) -> Option<Standing> {
        let (_, job) = self.find(id)?;
        Some(Standing {
            epoch: job.epoch,
            phase: job.phase,
            owner: job.owner.map(|owner| self.index.owners[owner].member.clone()),
            retiring: job.retiring,
            course: self.course(job),
            weight: job.weight,
            failover: self.index.policies.get(job.policy).spec.failover,
        })
    }

    /// The jobs that run away from this node, and that an operator's failback would return to it, in no order that means anything.
    pub fn away_from(&self, node: &NodeId) -> Vec<JobId> {
        let Some(key) = self.index.names.get(node) else { return Vec::new() };
        let away = self.index.node(*key).away.iter().filter(|(when, _)| **when != Return::Never);
        away.flat_map(|(_, turns)| turns).map(|turn| self.index.jobs[turn.slot].id.clone()).collect()
    }

    /// Whether some job is on its way from one node to another. Looks at every job.
    pub fn has_moves(&self) -> bool {
        self.index.jobs.iter().any(|(_, job)| job.target.is_some())
    }

    pub(super) fn find(&self, id: &JobId) -> Option<(Slot, &Job)> {
        let slot = *self.index.slots.get(id)?;
        Some((slot, &self.index.jobs[slot]))
    }

    pub(super) fn course(&self, job: &Job) -> Course {
        let name = |node: Option<NodeKey>| node.map(|node| self.index.node(node).id.clone());
        Course { home: name(job.home), target: name(job.target), retries: job.retries }
    }

    /// Every member that owns a job, and when one of its jobs was last put. Costs nothing per job.
    pub fn owners(&self) -> impl Iterator<Item = (&Member, Time)> {
        self.index.members.iter().map(|(member, key)| (member, self.index.owners[*key].latest))
    }

    /// Sets the nodes, in order of rank. The same again costs a comparison.
    pub fn set_places(&mut self, places: Vec<Place>) {
        if self.places != places {
            self.places = places;
            self.furnish();
        }
    }

    /// Sets the owners whose right has provably ended (law 11): their jobs, and no others, are taken from them.
    pub fn set_dead(&mut self, dead: BTreeSet<Member>) {
        if self.dead != dead {
            for member in self.dead.symmetric_difference(&dead) {
                self.index.set_dead(member, dead.contains(member));
            }
            self.dead = dead;
            self.quiet = None;
        }
    }

    /// Sets what holds for jobs whose policy does not say.
    pub fn set_rules(&mut self, rules: Rules) {
        if self.index.rules != rules {
            self.index.set_rules(rules);
            self.quiet = None;
        }
    }

    /// Sets the jobs that an operator wants on a certain node.
    pub fn set_wanted(&mut self, wanted: BTreeMap<JobId, NodeId>) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.quiet = None;
        }
    }

    /// Sets the nodes to which an operator wants everything returned that was moved from them.
    pub fn set_returning(&mut self, nodes: BTreeSet<NodeId>) {
        if self.returning != nodes {
            self.returning = nodes;
            self.quiet = None;
        }
    }

    /// Ranks the nodes anew, and counts what each can take.
    fn furnish(&mut self) {
        self.ranks = self.index.rank(&self.places);
        let used = |rank: usize| {
            let node = self.index.node(self.ranks[rank]);
            (node.jobs, node.weight)
        };
        self.index.room = Room::new(&self.places, self.order.spreads(), used);
        self.index.queue.gained();
        self.index.candidates.clear();
        self.quiet = None;
    }

    /// The rank of a node, if it is a place.
    pub(super) fn rank_of(&self, node: &NodeId) -> Option<usize> {
        self.index.node(*self.index.names.get(node)?).rank
    }
}
