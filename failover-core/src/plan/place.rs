//! Where jobs can go: a [`Place`] is what the planner knows of a node.

use std::collections::BTreeMap;

use crate::capacity::Capacity;
use crate::ids::{Member, NodeId};
use crate::sentences::sentences;
use crate::time::Time;

/// A node as a place for jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// Its present incarnation; without one it is given nothing.
    pub member: Option<Member>,
    /// How much it can run. One that is lowered below what runs there moves nothing.
    pub capacity: Capacity,
    /// What jobs may require or prefer of it.
    pub labels: BTreeMap<String, String>,
    /// Whether it is given jobs.
    pub gate: Gate,
    /// What becomes of the jobs that run there.
    pub exit: Exit,
    /// Since when it has been there without a break; nothing returns to it by itself without that.
    pub stable_since: Option<Time>,
    /// How often it has fallen within the time that [`Damping`](crate::control::Damping) looks back.
    pub falls: u32,
}

impl Place {
    /// A node that is there, takes jobs and keeps what it has.
    pub fn open(member: Member, capacity: Capacity) -> Self {
        Self { member: Some(member.clone()), capacity, gate: Gate::Open, ..Self::shut(member.node, Shut::NotSeen) }
    }

    /// A node that is given nothing, for this reason.
    pub fn shut(node: NodeId, why: Shut) -> Self {
        Self {
            node,
            member: None,
            capacity: Capacity::NONE,
            labels: BTreeMap::new(),
            gate: Gate::Shut(why),
            exit: Exit::Stay,
            stable_since: None,
            falls: 0,
        }
    }

    /// Why it is given no jobs, if so.
    pub fn closed(&self) -> Option<Shut> {
        match (self.gate, self.exit, &self.member) {
            (Gate::Shut(why), _, _) => Some(why),
            (Gate::Open, Exit::WhenReady | Exit::AtOnce | Exit::Follow, _) => Some(Shut::Emptying),
            (Gate::Open, Exit::Stay, None) => Some(Shut::NotSeen),
            (Gate::Open, Exit::Stay, Some(_)) => None,
        }
    }
}

/// Whether a node is given jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// It is.
    Open,
    /// It is not.
    Shut(Shut),
}

/// What becomes of the jobs that run on a node. Only a node whose exit is [`Stay`](Exit::Stay) is given jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// They stay.
    Stay,
    /// Each stops as soon as room is reserved for it elsewhere, and may return later.
    WhenReady,
    /// They stop now, whether or not there is a place for them, and may return later.
    AtOnce,
    /// Each stops as soon as room is reserved for it elsewhere. It does not return: an operator wanted it to leave.
    Follow,
}

sentences! {
    /// Why a node is given no jobs.
    pub enum Shut {
        NotSeen => "no incarnation of it has been seen",
        Unknown => "the cluster knows no node of that name",
        Missing => "its heartbeats are missing",
        Fenced => "it is being fenced",
        Maintenance => "it is in maintenance",
        Inactive => "it takes no part",
        NotActive => "only the active node runs jobs in this topology",
        Leaving => "it is leaving",
        Hung => "its host does not feed its watchdog",
        Cordoned => "it is cordoned",
        Draining => "it is being drained",
        Emptying => "its jobs are moving away",
        Version => "its version is not the one that is wanted",
        NoJobs => "it has nothing to run jobs with",
    }
}
