//! The jobs that wait for a place.
//!
//! Jobs that are alike for whoever places them (the same policy, weight, phase and way) stand in one line. As a round of decisions only ever
//! takes room, a job that finds none speaks for all behind it in its line, and a line that found none is not looked at again until some
//! place gained room: a full cluster with a million jobs waiting costs no more than one without.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::slab::{LineKey, NodeKey, PolicyKey, Slab, Slot};
use crate::ids::Revision;
use crate::job::Phase;
use crate::time::Time;

/// What the jobs of a line have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alike {
    pub(super) policy: PolicyKey,
    pub(super) weight: u32,
    pub(super) phase: Phase,
    /// Where room is kept for them.
    pub(super) target: Option<NodeKey>,
    /// The only node they may go to otherwise.
    pub(super) bound: Option<NodeKey>,
    /// The node they go to only if there is no other.
    pub(super) avoid: Option<NodeKey>,
}

#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) alike: Alike,
    pub(super) jobs: BTreeSet<(Revision, Slot)>,
    /// When none of them found a place, counted in [`Queue::gains`].
    parked: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    keys: BTreeMap<Alike, LineKey>,
    lines: Slab<LineKey, Line>,
    /// Those that are started again after a wait.
    waits: BTreeSet<(Time, Slot)>,
    gains: u64,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self { keys: BTreeMap::new(), lines: Slab::new(), waits: BTreeSet::new(), gains: 0 }
    }

    pub(super) fn add(&mut self, alike: Alike, submitted: Revision, slot: Slot) {
        let key = match self.keys.entry(alike) {
            Entry::Occupied(there) => *there.get(),
            Entry::Vacant(free) => {
                let line = Line { alike, jobs: BTreeSet::new(), parked: None };
                *free.insert(self.lines.insert(line))
            }
        };
        self.lines[key].jobs.insert((submitted, slot));
    }

    pub(super) fn remove(&mut self, alike: Alike, submitted: Revision, slot: Slot) {
        let Some(key) = self.keys.get(&alike).copied() else { return };
        self.lines[key].jobs.remove(&(submitted, slot));
        if self.lines[key].jobs.is_empty() {
            self.lines.remove(key);
            self.keys.remove(&alike);
        }
    }

    /// The lines that may find a place.
    pub(super) fn lines(&self) -> impl Iterator<Item = (LineKey, &Line)> {
        self.lines.iter().filter(|(_, line)| line.parked != Some(self.gains))
    }

    /// None of this line has found a place.
    pub(super) fn park(&mut self, line: LineKey) {
        self.lines[line].parked = Some(self.gains);
    }

    /// Some place may take more than before.
    pub(super) fn gained(&mut self) {
        self.gains += 1;
    }

    pub(super) fn wait(&mut self, until: Time, slot: Slot) {
        self.waits.insert((until, slot));
    }

    pub(super) fn stop_waiting(&mut self, until: Time, slot: Slot) {
        self.waits.remove(&(until, slot));
    }

    /// Who waits the shortest, and until when.
    pub(super) fn first_wait(&self) -> Option<(Time, Slot)> {
        self.waits.first().copied()
    }

    /// Those that failed, whether they still wait or stand in line.
    pub(super) fn failed(&self) -> impl Iterator<Item = Slot> {
        let lines = self.lines.iter().filter(|(_, line)| line.alike.phase == Phase::Failed);
        let ripe = lines.flat_map(|(_, line)| line.jobs.iter().map(|(_, slot)| *slot));
        ripe.chain(self.waits.iter().map(|(_, slot)| *slot))
    }
}
