//! The search: which call may have been applied next, until all answers are explained or nothing is left to try.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::model::State;
use super::{Bounds, Event};
use crate::ids::LeaseName;
use crate::time::Time;

/// The most calls about one lease that a check takes: beyond, the search takes too long to be of use.
const MOST: usize = 128;

/// A history that nothing explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The lease.
    pub name: LeaseName,
    /// The longest stretch of calls that can be explained, in an order that does.
    pub explained: Vec<Event>,
    /// The calls left over then: none of those asked before the first of their answers can have come next.
    pub unexplained: Vec<Event>,
    /// How the lease stood then.
    pub state: String,
}

impl std::error::Error for Violation {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the history of {} is not linearizable. Explained so far:", self.name)?;
        self.explained.iter().try_for_each(|event| writeln!(f, "  {event}"))?;
        writeln!(f, "Then it is {}, which explains none of the next of:", self.state)?;
        self.unexplained.iter().try_for_each(|event| writeln!(f, "  {event}"))
    }
}

pub(super) fn check(events: &[Event], bounds: Bounds) -> Result<(), Violation> {
    let mut leases: BTreeMap<&LeaseName, Vec<&Event>> = BTreeMap::new();
    for event in events {
        leases.entry(event.call.name()).or_default().push(event);
    }
    leases.into_iter().try_for_each(|(name, events)| Search::new(events, bounds).run(name))
}

struct Search<'a> {
    events: Vec<&'a Event>,
    bounds: Bounds,
    /// What was tried and led nowhere: the same calls in another order, with the same result.
    tried: HashSet<(u128, State)>,
    order: Vec<usize>,
    best: Vec<usize>,
    best_state: State,
}

impl<'a> Search<'a> {
    fn new(mut events: Vec<&'a Event>, bounds: Bounds) -> Self {
        assert!(events.len() <= MOST, "a history of {} calls about one lease: {MOST} at most", events.len());
        events.sort_by_key(|event| (event.latest(), event.asked));
        let (order, best) = (Vec::new(), Vec::new());
        Self { events, bounds, tried: HashSet::new(), order, best, best_state: State::new() }
    }

    fn run(mut self, name: &LeaseName) -> Result<(), Violation> {
        if self.explain(0, &State::new()) {
            return Ok(());
        }
        let all = |order: &[usize]| order.iter().map(|i| self.events[*i].clone()).collect();
        let mut left: Vec<usize> = (0..self.events.len()).filter(|i| !self.best.contains(i)).collect();
        left.sort_by_key(|i| self.events[*i].asked);
        let state = self.best_state.to_string();
        Err(Violation { name: name.clone(), explained: all(&self.best), unexplained: all(&left), state })
    }

    /// Whether the calls that are not in `done` can follow.
    fn explain(&mut self, done: u128, state: &State) -> bool {
        if self.order.len() > self.best.len() {
            self.best.clone_from(&self.order);
            self.best_state = state.clone();
        }
        // What is asked after an answer was given comes after it. Answers are in order, those that never came last.
        let open = |i: &usize| done & (1 << i) == 0;
        let Some(first) = (0..self.events.len()).find(open) else { return true };
        let first_answer = self.events[first].latest();
        if first_answer == Time::from_nanos(u64::MAX) {
            return true; // whatever is left may never have been applied
        }
        for next in (first..self.events.len()).filter(open) {
            let event = self.events[next];
            if event.asked > first_answer {
                continue;
            }
            for after in state.after(event, self.bounds) {
                let with = done | (1 << next);
                if !self.tried.insert((with, after.clone())) {
                    continue;
                }
                self.order.push(next);
                if self.explain(with, &after) {
                    return true;
                }
                self.order.pop();
            }
        }
        false
    }
}
