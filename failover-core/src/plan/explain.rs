//! What the planner tells people: where a job stands ([`State`]) and what each node is to it ([`Verdict`]).

use std::fmt;

use super::place::Shut;
use crate::capacity::Capacity;
use crate::ids::{Epoch, JobId, Member, NodeId};
use crate::job::{Course, FailoverPolicy, Phase};
use crate::time::Time;

/// What the board knows of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The epoch a move of it expects.
    pub epoch: Epoch,
    /// Its phase.
    pub phase: Phase,
    /// Its owner.
    pub owner: Option<Member>,
    /// Whether it goes as soon as it has no owner.
    pub retiring: bool,
    /// Where it comes from and where it goes.
    pub course: Course,
    /// How much of a node's capacity it takes.
    pub weight: u32,
    /// What becomes of it when its node is lost.
    pub failover: FailoverPolicy,
}

/// Where a job stands, in the planner's eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It runs.
    Running {
        /// Where.
        on: NodeId,
    },
    /// It was given to a node that has not said yet that it runs.
    Starting {
        /// Where.
        on: NodeId,
    },
    /// It is stopping where it is.
    Moving {
        /// Where it is.
        from: NodeId,
        /// Where it goes, if that is settled.
        to: Option<NodeId>,
    },
    /// It was removed and goes as soon as it has stopped.
    Retiring {
        /// Where it is.
        on: NodeId,
    },
    /// Its owner's right has ended: it is about to be taken from there.
    Orphaned {
        /// Where it was.
        on: NodeId,
    },
    /// It waits, and this node can take it: it is about to be placed.
    Ready {
        /// The best place for it.
        to: NodeId,
    },
    /// It waits, and no node can take it: the verdicts say why.
    Queued,
    /// It waits for this node, because its policy lets it run nowhere else.
    Bound {
        /// Which node.
        to: NodeId,
    },
    /// It waits for this node, or for an operator to move it: its policy is [manual](FailoverPolicy::Manual).
    Held {
        /// Which node.
        to: NodeId,
    },
    /// It failed and is started again after a wait.
    BackingOff {
        /// Until then.
        until: Time,
    },
    /// It has been started again as often as its policy allows, and waits for an operator.
    GaveUp {
        /// So often.
        retries: u32,
    },
    /// It is done.
    Completed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { on } => write!(f, "it runs on {on}"),
            Self::Starting { on } => write!(f, "it starts on {on}"),
            Self::Moving { from, to: Some(to) } => write!(f, "it stops on {from} and goes on on {to}"),
            Self::Moving { from, to: None } => write!(f, "it stops on {from}, and no place can take it yet"),
            Self::Retiring { on } => write!(f, "it was removed and stops on {on}"),
            Self::Orphaned { on } => write!(f, "its node {on} is lost, and it is about to be taken from there"),
            Self::Ready { to } => write!(f, "it is about to be placed on {to}"),
            Self::Queued => f.write_str("it waits for a place: no node can take it now"),
            Self::Bound { to } => write!(f, "it waits for {to}, because its policy lets it run nowhere else"),
            Self::Held { to } => write!(f, "it waits for {to}, or for an operator to move it"),
            Self::BackingOff { .. } => f.write_str("it failed and is started again after a wait"),
            Self::GaveUp { retries } => {
                write!(
                    f,
                    "it was started again {retries} times, as often as its policy allows, and waits for an operator"
                )
            }
            Self::Completed => f.write_str("it is done"),
        }
    }
}

/// What a node is to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The job is there.
    Here,
    /// It can take the job.
    WouldTake,
    /// It is given no jobs.
    Shut(Shut),
    /// The job is pinned to others.
    NotPinned,
    /// It lacks a label that the job requires.
    LacksLabel {
        /// Which label.
        label: String,
        /// The value that is required.
        wanted: String,
        /// The value it has.
        has: Option<String>,
    },
    /// A job that this one keeps apart from is there, or on its way there.
    Apart {
        /// Which.
        from: JobId,
    },
    /// It has not enough room left.
    Full {
        /// What is left of it.
        free: Capacity,
        /// What the job needs.
        needs: Capacity,
    },
    /// The job is heavier than everything it can run.
    TooHeavy {
        /// What it can run.
        capacity: Capacity,
        /// How heavy the job is.
        weight: u32,
    },
    /// The job's policy binds it to its own node.
    HeldElsewhere {
        /// To which.
        node: NodeId,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("it is there"),
            Self::WouldTake => f.write_str("could take it"),
            Self::Shut(why) => f.write_str(why.text()),
            Self::NotPinned => f.write_str("the job is pinned to other nodes"),
            Self::LacksLabel { label, wanted, has: None } => {
                write!(f, "it has no label {label}, and the job requires {label}={wanted}")
            }
            Self::LacksLabel { label, wanted, has: Some(has) } => {
                write!(f, "its label is {label}={has}, and the job requires {label}={wanted}")
            }
            Self::Apart { from } => write!(f, "{from} is there, and the two keep apart"),
            Self::Full { free, needs } => write!(
                f,
                "it is full: it has room for {} more jobs of weight {} in sum, and this one needs {} of weight {}",
                free.jobs, free.weight, needs.jobs, needs.weight
            ),
            Self::TooHeavy { capacity, weight } => {
                write!(f, "the job weighs {weight}, more than all it can run ({})", capacity.weight)
            }
            Self::HeldElsewhere { node } => write!(f, "the job's policy binds it to {node}"),
        }
    }
}

/// Why a job is where it is, and not elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Where it stands.
    pub state: State,
    /// What each node is to it, in rank order.
    pub verdicts: Vec<(NodeId, Verdict)>,
}
