use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// What is still to happen, in order of time, and of insertion where the times are equal.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<(Time, u64, usize)>>,
    // Beside the heap, so that sifting moves three numbers and not a whole happening.
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    pushed: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), pushed: 0 }
    }

    pub(super) fn push(&mut self, at: Time, what: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(what);
        self.pushed += 1;
        self.heap.push(Reverse((at, self.pushed, slot)));
    }

    pub(super) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(Time, T)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot].take().map(|what| (at, what))
    }

    /// Brings forward whatever `hurry` gives an earlier moment.
    pub(super) fn hurry(&mut self, mut hurry: impl FnMut(Time, &T) -> Time) {
        let entries = std::mem::take(&mut self.heap).into_vec();
        let sooner = entries.into_iter().map(|Reverse((at, order, slot))| {
            let at = self.slots[slot].as_ref().map_or(at, |what| hurry(at, what).min(at));
            Reverse((at, order, slot))
        });
        self.heap = sooner.collect();
    }
}
