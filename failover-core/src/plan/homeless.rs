//! The jobs that nobody runs: those that wait for a place, and those whose owner is dead.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, btree_set};
use std::vec;

use super::Why;
use super::job::Turn;
use super::queue::Alike;
use super::round::{Act, Ask, Order, Round};
use super::slab::{LineKey, Slot};
use crate::ids::Revision;
use crate::job::Phase;

/// Jobs without a place, in the order of their turns.
struct Source<'a> {
    jobs: Jobs<'a>,
    /// If they are alike: in which line they stand.
    line: Option<(LineKey, Alike)>,
    start: usize,
}

enum Jobs<'a> {
    Line(i32, btree_set::Iter<'a, (Revision, Slot)>),
    Orphans(vec::IntoIter<Turn>),
}

impl Source<'_> {
    fn next(&mut self) -> Option<Turn> {
        match &mut self.jobs {
            Jobs::Line(priority, jobs) => jobs.next().map(|(submitted, slot)| Turn::new(*priority, *submitted, *slot)),
            Jobs::Orphans(turns) => turns.next(),
        }
    }

    /// Its line, if nothing but room decides where its jobs go.
    fn plain(&self, round: &Round<'_>) -> Option<(LineKey, Alike)> {
        let policy = |alike: &Alike| round.board.index.policies.get(alike.policy);
        let anywhere = |alike: &Alike| alike.target.is_none() && alike.bound.is_none() && alike.avoid.is_none();
        self.line.filter(|(_, alike)| {
            matches!(round.board.order, Order::Ordered)
                && round.done.is_empty()
                && anywhere(alike)
                && policy(alike).filter.is_none()
                && policy(alike).group.is_none()
        })
    }
}

/// Why a job in this phase is placed.
fn why(phase: Phase) -> Why {
    match phase {
        Phase::Failed => Why::Restarted,
        Phase::Lost => Why::Recovered,
        Phase::Queued | Phase::Assigned | Phase::Running | Phase::Draining | Phase::Completed => Why::Waited,
    }
}

impl<'a> Round<'a> {
    /// The jobs that nobody runs: those that wait, and those whose owner is dead.
    pub(super) fn homeless(&mut self) {
        let index = &self.board.index;
        let mut sources: Vec<Source<'a>> = Vec::new();
        for (key, line) in index.queue.lines() {
            let priority = index.policies.get(line.alike.policy).spec.priority;
            sources.push(Source {
                jobs: Jobs::Line(priority, line.jobs.iter()),
                line: Some((key, line.alike)),
                start: 0,
            });
        }
        let dead = self.board.dead.iter().filter_map(|member| index.members.get(member));
        let mut orphans: Vec<_> =
            dead.flat_map(|owner| &index.owners[*owner].jobs).map(|slot| index.turn(*slot)).collect();
        orphans.sort_unstable();
        sources.push(Source { jobs: Jobs::Orphans(orphans.into_iter()), line: None, start: 0 });

        let mut turns = BinaryHeap::with_capacity(sources.len());
        for (at, source) in sources.iter_mut().enumerate() {
            turns.extend(source.next().map(|turn| Reverse((turn, at))));
        }
        while let Some(Reverse((mut turn, at))) = turns.pop() {
            let source = &mut sources[at];
            let before = turns.peek().map(|Reverse((turn, _))| *turn);
            loop {
                if self.is_full() {
                    return;
                }
                let next = if let Some(line) = source.plain(self) {
                    self.place_run(turn, before, line, source)
                } else if self.settle(turn.slot, source) {
                    source.next()
                } else {
                    None
                };
                let Some(next) = next else { break };
                if before.is_some_and(|before| before < next) {
                    turns.push(Reverse((next, at)));
                    break;
                }
                turn = next;
            }
        }
    }

    /// Places a job and those behind it on the first place that can take it, as many as it can take and whose turn it is. Who is next.
    ///
    /// The same as one after the other, but each place is looked up once.
    fn place_run(
        &mut self,
        first: Turn,
        before: Option<Turn>,
        line: (LineKey, Alike),
        source: &mut Source<'_>,
    ) -> Option<Turn> {
        let (key, alike) = line;
        let Some(rank) = self.room.first(source.start, alike.weight) else {
            self.parked.push(key);
            return None;
        };
        source.start = rank;
        // One fits, or this would not be the first that can take one.
        let most = self.room.times(rank, alike.weight).max(1).min(self.most - self.choices.len());
        let why = why(alike.phase);
        let (mut next, mut placed) = (Some(first), 0);
        while let Some(turn) = next.filter(|turn| placed < most && before.is_none_or(|before| *turn < before)) {
            self.push(turn.slot, Act::Place, Some(rank), why);
            placed += 1;
            next = source.next();
        }
        self.room.take_many(rank, alike.weight, placed);
        next
    }

    /// Whether those behind it may find a place.
    fn settle(&mut self, slot: Slot, source: &mut Source<'_>) -> bool {
        if !self.done.is_empty() && self.done.contains(&slot) {
            return true;
        }
        let Some((line, alike)) = source.line else {
            self.seize(slot);
            return true;
        };
        let ask = Ask { slot, alike, not: None };
        self.let_go(&ask);
        let Some(rank) = self.best(&ask, &mut source.start) else {
            self.keep(&ask);
            self.parked.push(line);
            return false;
        };
        self.take(&ask, rank);
        let arrives = alike.phase == Phase::Queued && alike.target == Some(self.board.ranks[rank]);
        let why = if arrives { Why::Arrives } else { why(alike.phase) };
        self.push(slot, Act::Place, Some(rank), why);
        true
    }

    /// A job whose owner is dead.
    fn seize(&mut self, slot: Slot) {
        let job = self.job(slot);
        let ask = self.ask(slot, job);
        self.let_go(&ask);
        let policy = self.policy(job);
        let stays = if job.retiring {
            Some(Why::Removed)
        } else if self.board.index.gave_up(job) {
            Some(Why::GaveUp)
        } else if !policy.leaves() {
            Some(Why::LostBound)
        } else {
            None
        };
        let place = if stays.is_none() { self.best(&ask, &mut 0) } else { None };
        if let Some(rank) = place {
            self.take(&ask, rank);
        }
        let alone = if policy.spec.pins.len() == 1 { Why::LostBound } else { Why::LostNowhere };
        let why = stays.unwrap_or(if place.is_some() { Why::FailedOver } else { alone });
        self.push(slot, Act::Seize, place, why);
    }
}
