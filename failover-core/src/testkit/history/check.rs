//! The search: which call may have been applied next, until all answers are explained or nothing is left to try.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::model::{Situation, State};
use super::{Bounds, Event};
use crate::ids::LeaseName;
use crate::time::Time;

/// The most calls about one lease that a check takes: beyond, the search takes too long to be of use.
const MOST: usize = 128;

/// How often two ways of putting calls together are compared before a search is given up: for about a second. A history in which most
/// calls have an answer takes thousands.
const COMPARISONS: usize = 10_000_000;

/// What a check came to that found nothing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is undecided proves nothing"]
pub enum Verdict {
    /// An order of the calls explains every answer.
    Explained,
    /// Too many calls have no answer: each may have been applied at any moment since, or never, and there are too many ways to put
    /// them together to try them all. None that was tried explains every answer.
    Undecided,
}

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

pub(super) fn check(events: &[Event], bounds: Bounds) -> Result<Verdict, Violation> {
    let mut leases: BTreeMap<&LeaseName, Vec<&Event>> = BTreeMap::new();
    for event in events {
        leases.entry(event.call.name()).or_default().push(event);
    }
    let mut all = Verdict::Explained;
    for (name, events) in leases {
        if Search::new(events, bounds).run(name)? == Verdict::Undecided {
            all = Verdict::Undecided;
        }
    }
    Ok(all)
}

struct Search<'a> {
    events: Vec<&'a Event>,
    bounds: Bounds,
    /// Those that were answered: the first of them all.
    answered: u128,
    /// What was tried and led nowhere: by the answered calls that were applied and what they came to, the unanswered ones that were.
    tried: HashMap<(u128, Situation), Vec<(u128, State)>>,
    /// How many more comparisons are made.
    left: usize,
    order: Vec<usize>,
    best: Vec<usize>,
    best_state: State,
}

impl<'a> Search<'a> {
    fn new(mut events: Vec<&'a Event>, bounds: Bounds) -> Self {
        assert!(events.len() <= MOST, "a history of {} calls about one lease: {MOST} at most", events.len());
        events.sort_by_key(|event| (event.latest(), event.asked));
        let is_answered = |event: &&&Event| event.answer.is_some();
        let answered = (1 << events.iter().filter(is_answered).count()) - 1;
        let (order, best) = (Vec::new(), Vec::new());
        Self {
            events,
            bounds,
            answered,
            tried: HashMap::new(),
            left: COMPARISONS,
            order,
            best,
            best_state: State::new(),
        }
    }

    fn run(mut self, name: &LeaseName) -> Result<Verdict, Violation> {
        if self.explain(0, &State::new()) {
            return Ok(if self.left > 0 { Verdict::Explained } else { Verdict::Undecided });
        }
        let all = |order: &[usize]| order.iter().map(|i| self.events[*i].clone()).collect();
        let mut left: Vec<usize> = (0..self.events.len()).filter(|i| !self.best.contains(i)).collect();
        left.sort_by_key(|i| self.events[*i].asked);
        let state = self.best_state.to_string();
        Err(Violation { name: name.clone(), explained: all(&self.best), unexplained: all(&left), state })
    }

    /// Whether the calls that are not in `done` can follow, or nothing is left to find out.
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
                if !self.is_new(with, &after) {
                    continue;
                }
                if self.left == 0 {
                    return true;
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

    /// Whether this is worth a try. What was tried before is at least as good with the same answers explained, if it left no fewer
    /// unanswered calls (none of which ever has to be applied) and was in a state that may go on as this one may. Without that, each
    /// unanswered call would double the search.
    fn is_new(&mut self, done: u128, state: &State) -> bool {
        let unanswered = done & !self.answered;
        let tried = self.tried.entry((done & self.answered, state.situation())).or_default();
        self.left = self.left.saturating_sub(1 + tried.len());
        let as_good = |(applied, before): &(u128, State)| applied & !unanswered == 0 && before.may_go_on_as(state);
        if tried.iter().any(as_good) {
            return false;
        }
        tried.retain(|(applied, before)| unanswered & !applied != 0 || !state.may_go_on_as(before));
        tried.push((unanswered, state.clone()));
        true
    }
}
