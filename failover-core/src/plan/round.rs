//! One round of decisions: what is taken so far, and the best place for a job in what is left.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::board::Board;
use super::job::{Filter, Job, Policy};
use super::queue::Alike;
use super::room::Room;
use super::slab::{FilterKey, GroupKey, LineKey, NodeKey, Slot};
use super::{Candidate, Demand, Ordered, Place, Spread, Strategy, Why};
use crate::time::Time;

/// How nodes are chosen. What is built in need not ask every node.
#[derive(Clone)]
pub(super) enum Order {
    Ordered,
    Spread,
    Custom(Arc<dyn Strategy>),
}

impl Order {
    pub(super) fn new(strategy: Arc<dyn Strategy>) -> Self {
        let any: &dyn Any = &*strategy;
        if any.is::<Ordered>() {
            Self::Ordered
        } else if any.is::<Spread>() {
            Self::Spread
        } else {
            Self::Custom(strategy)
        }
    }

    /// Whether this strategy chooses just so.
    pub(super) fn is(&self, strategy: &Arc<dyn Strategy>) -> bool {
        match (self, Self::new(Arc::clone(strategy))) {
            (Self::Ordered, Self::Ordered) | (Self::Spread, Self::Spread) => true,
            (Self::Custom(mine), Self::Custom(other)) => Arc::ptr_eq(mine, &other),
            (Self::Ordered | Self::Spread | Self::Custom(_), _) => false,
        }
    }

    pub(super) fn spreads(&self) -> bool {
        matches!(self, Self::Spread)
    }
}

/// The places that pins and labels leave a job, best first as far as they decide.
#[derive(Debug)]
pub(super) struct Candidates {
    /// By rank.
    places: Vec<usize>,
    /// So many of them have what is preferred; they come first.
    preferred: usize,
    /// Whether their order is the job's own.
    pinned: bool,
}

/// A job that needs a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) slot: Slot,
    pub(super) alike: Alike,
    /// Where it is, and is not to stay.
    pub(super) not: Option<NodeKey>,
}

/// What a decision does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Place,
    Seize,
    Drain,
}

/// A decision, short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) slot: Slot,
    pub(super) act: Act,
    /// By rank.
    pub(super) to: Option<u32>,
    pub(super) why: Why,
}

pub(super) struct Round<'a> {
    pub(super) board: &'a Board,
    pub(super) now: Time,
    pub(super) most: usize,
    pub(super) room: Room,
    /// The jobs of groups that keep apart which this round has placed.
    apart: BTreeSet<(GroupKey, NodeKey, Slot)>,
    candidates: BTreeMap<FilterKey, Arc<Candidates>>,
    /// The jobs that have been decided about out of their turn.
    pub(super) done: HashSet<Slot>,
    pub(super) choices: Vec<Choice>,
    pub(super) wake_at: Option<Time>,
    /// The lines in which nobody has found a place.
    pub(super) parked: Vec<LineKey>,
}

impl<'a> Round<'a> {
    pub(super) fn new(board: &'a Board, now: Time, most: usize) -> Self {
        Self {
            board,
            now,
            most,
            room: board.index.room.clone(),
            apart: BTreeSet::new(),
            candidates: board.index.candidates.clone(),
            done: HashSet::new(),
            choices: Vec::new(),
            wake_at: None,
            parked: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.choices.len() >= self.most
    }

    pub(super) fn wake(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    pub(super) fn job(&self, slot: Slot) -> &'a Job {
        &self.board.index.jobs[slot]
    }

    pub(super) fn policy(&self, job: &Job) -> &'a Policy {
        self.board.index.policies.get(job.policy)
    }

    fn rank(&self, node: NodeKey) -> Option<usize> {
        self.board.index.node(node).rank
    }

    /// Takes the room of a place for a job.
    pub(super) fn take(&mut self, ask: &Ask, rank: usize) {
        self.room.take(rank, ask.alike.weight);
        if let Some(group) = self.board.index.policies.get(ask.alike.policy).group {
            self.apart.insert((group, self.board.ranks[rank], ask.slot));
        }
    }

    /// Lets go of the room that is kept for a job where it was to go; [`keep`](Self::keep) takes it again.
    pub(super) fn let_go(&mut self, ask: &Ask) {
        if let Some(rank) = self.kept(ask) {
            self.room.give(rank, ask.alike.weight);
        }
    }

    pub(super) fn keep(&mut self, ask: &Ask) {
        if let Some(rank) = self.kept(ask) {
            self.room.take(rank, ask.alike.weight);
        }
    }

    fn kept(&self, ask: &Ask) -> Option<usize> {
        let there = ask.alike.target?;
        let here = self.board.index.live_owner(self.job(ask.slot)).map(|owner| owner.node);
        if here == Some(there) { None } else { self.rank(there) }
    }

    /// Whether this very place can take the job.
    pub(super) fn can_take(&self, ask: &Ask, rank: usize) -> bool {
        let policy = self.board.index.policies.get(ask.alike.policy);
        let lets = policy.filter.is_none_or(|key| {
            let filter = &self.board.index.policies.filters[key];
            lets(filter, self.board.ranks[rank], &self.board.places[rank])
        });
        lets && self.room.fits(rank, ask.alike.weight) && self.suits(ask, policy, rank)
    }

    /// Whether nothing speaks against a place that lets the job through and has room.
    fn suits(&self, ask: &Ask, policy: &Policy, rank: usize) -> bool {
        let node = self.board.ranks[rank];
        if Some(node) == ask.not {
            return false;
        }
        let Some(group) = policy.group else { return true };
        let all = (group, node, Slot::FIRST)..=(group, node, Slot::LAST);
        let mut there = self.board.index.apart.range(all.clone()).chain(self.apart.range(all));
        there.all(|(_, _, slot)| *slot == ask.slot)
    }

    /// The best place for a job. `start` is for jobs that are alike, one after the other while room is only taken: where to begin to look.
    pub(super) fn best(&mut self, ask: &Ask, start: &mut usize) -> Option<usize> {
        let Alike { target, bound, avoid, weight, .. } = ask.alike;
        if !self.room.fits_any(weight) {
            return None;
        }
        if let Some(rank) = target.and_then(|node| self.rank(node)).filter(|rank| self.can_take(ask, *rank)) {
            return Some(rank);
        }
        if let Some(bound) = bound {
            return self.rank(bound).filter(|rank| self.can_take(ask, *rank));
        }
        let elsewhere = Ask { not: ask.not.or(avoid), ..*ask };
        self.choose(&elsewhere, start).or_else(|| {
            let again = avoid.filter(|node| Some(*node) != ask.not)?;
            self.rank(again).filter(|rank| self.can_take(ask, *rank))
        })
    }

    fn choose(&mut self, ask: &Ask, start: &mut usize) -> Option<usize> {
        let policy = self.board.index.policies.get(ask.alike.policy);
        let candidates = policy.filter.map(|filter| self.candidates(filter));
        match (candidates, &self.board.order) {
            (None, Order::Ordered) => self.first(ask, policy, start),
            (None, Order::Spread) => self.easiest(ask, policy),
            (None, Order::Custom(_)) => self.least(ask, policy, 0..self.board.places.len()),
            (Some(among), Order::Ordered) => self.first_of(ask, policy, &among, start),
            (Some(among), Order::Spread | Order::Custom(_)) if among.pinned => {
                self.first_of(ask, policy, &among, start)
            }
            (Some(among), Order::Spread | Order::Custom(_)) => {
                let (preferred, others) = among.places.split_at(among.preferred);
                let best = self.least(ask, policy, preferred.iter().copied());
                best.or_else(|| self.least(ask, policy, others.iter().copied()))
            }
        }
    }

    /// The first of all.
    fn first(&self, ask: &Ask, policy: &Policy, start: &mut usize) -> Option<usize> {
        let mut rank = self.room.first(*start, ask.alike.weight)?;
        *start = rank;
        while !self.suits(ask, policy, rank) {
            rank = self.room.first(rank + 1, ask.alike.weight)?;
        }
        Some(rank)
    }

    /// The first of these.
    fn first_of(&self, ask: &Ask, policy: &Policy, among: &Candidates, start: &mut usize) -> Option<usize> {
        let fits = |rank: &usize| self.room.fits(*rank, ask.alike.weight);
        *start += among.places.iter().skip(*start).position(fits)?;
        let left = among.places.iter().skip(*start).copied();
        left.filter(fits).find(|rank| self.suits(ask, policy, *rank))
    }

    /// The least loaded.
    fn easiest(&self, ask: &Ask, policy: &Policy) -> Option<usize> {
        let rank = self.room.easiest()?;
        if self.room.fits(rank, ask.alike.weight) && self.suits(ask, policy, rank) {
            return Some(rank);
        }
        self.least(ask, policy, 0..self.board.places.len())
    }

    /// The one with the lowest score.
    fn least(&self, ask: &Ask, policy: &Policy, among: impl Iterator<Item = usize>) -> Option<usize> {
        let fit = among.filter(|rank| self.room.fits(*rank, ask.alike.weight) && self.suits(ask, policy, *rank));
        fit.min_by_key(|rank| (self.score(ask, policy, *rank), *rank))
    }

    fn score(&self, ask: &Ask, policy: &Policy, rank: usize) -> i64 {
        let job = self.job(ask.slot);
        let place = &self.board.places[rank];
        let demand = Demand { job: &job.id, weight: job.weight, policy: &policy.spec };
        let (capacity, used) = (self.room.capacity(rank), self.room.used(rank));
        let candidate = Candidate { node: &place.node, rank, capacity, used, labels: &place.labels };
        match &self.board.order {
            Order::Ordered => Ordered.score(&demand, &candidate),
            Order::Spread => Spread.score(&demand, &candidate),
            Order::Custom(strategy) => strategy.score(&demand, &candidate),
        }
    }

    fn candidates(&mut self, key: FilterKey) -> Arc<Candidates> {
        let known = self.candidates.entry(key);
        Arc::clone(known.or_insert_with(|| Arc::new(candidates(self.board, &self.board.index.policies.filters[key]))))
    }

    /// What this round has found out about filters, for the next.
    pub(super) fn learnt(self) -> BTreeMap<FilterKey, Arc<Candidates>> {
        self.candidates
    }
}

/// Whether pins and labels let a job through.
fn lets(filter: &Filter, node: NodeKey, place: &Place) -> bool {
    (filter.pins.is_empty() || filter.pins.contains(&node))
        && filter.requires.iter().all(|(label, value)| place.labels.get(label) == Some(value))
}

fn candidates(board: &Board, filter: &Filter) -> Candidates {
    let lets = |rank: &usize| lets(filter, board.ranks[*rank], &board.places[*rank]);
    let open = |rank: &usize| board.places[*rank].closed().is_none();
    let all: Vec<_> = if filter.pins.is_empty() {
        (0..board.places.len()).filter(open).filter(lets).collect()
    } else {
        let pins = filter.pins.iter().filter_map(|pin| board.index.node(*pin).rank);
        pins.filter(open).filter(lets).collect()
    };
    let liked =
        |rank: &usize| filter.prefers.iter().all(|(label, value)| board.places[*rank].labels.get(label) == Some(value));
    let (mut places, others): (Vec<_>, Vec<_>) = all.into_iter().partition(liked);
    let preferred = places.len();
    places.extend(others);
    Candidates { places, preferred, pinned: !filter.pins.is_empty() }
}
