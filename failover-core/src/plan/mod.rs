//! Which job goes where: a [`Board`] is told of the jobs and the nodes, and decides, explains and rehearses.
//!
//! The planner is pure: it knows no clock, waits for nothing and draws no lots, so the same board decides the same, here and on the
//! next active node. The active node feeds it with the jobs' records and carries out what it decides; an operator's tool builds one
//! from the store to ask what would follow.

mod board;
mod decide;
mod enter;
mod explain;
mod ground;
mod homeless;
mod index;
mod job;
mod moves;
mod place;
mod queue;
mod room;
mod round;
mod slab;
mod strategy;
mod verdict;
mod why;

use std::time::Duration;

pub use board::Board;
pub use explain::{Explanation, Standing, State, Verdict};
pub use ground::{Sight, places};
pub use place::{Exit, Gate, Place, Shut};
pub use strategy::{Candidate, Demand, Ordered, Spread, Strategy};
pub use why::Why;

use crate::control::Damping;
use crate::ids::NodeId;
use crate::job::{Failback, Move};
use crate::time::Time;

/// What holds for jobs whose own policy does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Whether they return to the node they were moved from.
    pub failback: Failback,
    /// When a node flaps, so that jobs return to it later.
    pub damping: Damping,
    /// The wait before a job is started again after its first failure.
    pub backoff: Duration,
}

impl Rules {
    /// These.
    pub fn new(failback: Failback, damping: Damping, backoff: Duration) -> Self {
        Self { failback, damping, backoff }
    }
}

impl Default for Rules {
    /// Nothing returns by itself, and a failure is followed by a wait of five seconds.
    fn default() -> Self {
        Self::new(Failback::default(), Damping::default(), Duration::from_secs(5))
    }
}

/// What follows from a board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// What to do now, in this order; at most one decision for each job.
    pub decisions: Vec<Decision>,
    /// When something may follow that does not yet, if nothing else changes: a wait that ends, a node that has been back for long enough.
    pub wake_at: Option<Time>,
}

/// One move and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// What to send to the store.
    pub mv: Move,
    /// Where the job is.
    pub from: Option<NodeId>,
    /// Where it goes, if that is settled.
    pub to: Option<NodeId>,
    /// Why.
    pub why: Why,
}
