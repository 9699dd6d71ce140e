//! The decisions: a synchronous, deterministic machine without clock, randomness or tokio.
//!
//! Time and outcomes go in, [`Effect`]s and one next [`deadline`](Machine::deadline) come out. Waking it too often is harmless.

mod effect;
mod event;
mod input;
mod reason;
pub mod table;

use std::collections::BTreeMap;

pub use effect::{Call, CallId, Effect, Finish};
pub use event::{Event, EventKind};
pub use input::{Command, Fault, Hint, HostInput, Input, JobEnd, Reply, Switch};
pub use reason::Reason;
pub use table::{Stage, Trigger};

use crate::detect::Detector;
use crate::heartbeat::Role;
use crate::ids::{Member, NodeId};
use crate::time::Time;
use crate::timing::Timing;

/// What a machine is told once, at its start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who it is.
    pub member: Member,
    /// How fast.
    pub timing: Timing,
    /// How it suspects.
    pub detector: Detector,
    /// The summed weight of the jobs it can run.
    pub capacity: u32,
    /// The order of takeover and placement until a `control/cluster` document says otherwise. Nodes it does not name come
    /// after those it does, by name.
    pub roster: Vec<NodeId>,
    /// What to tell the others about it.
    pub labels: BTreeMap<String, String>,
}

impl Config {
    /// The defaults for this member: capacity 50, no roster, no labels.
    pub fn new(member: Member, timing: Timing) -> Self {
        let detector = Detector::Deadline;
        Self { member, timing, detector, capacity: 50, roster: Vec::new(), labels: BTreeMap::new() }
    }
}

/// The failover state machine of one node.
#[derive(Debug, Clone)]
pub struct Machine {
    config: Config,
}

impl Machine {
    /// A node that is about to join.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Takes in one thing that happened at `now` and appends what is to be done about it.
    ///
    /// `now` comes from one clock and never goes backwards.
    pub fn handle(&mut self, _now: Time, _input: Input, _effects: &mut Vec<Effect>) {}

    /// When to come back with [`Input::Wake`], unless something else happens before. `None` once it is finished.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// Who it is.
    pub fn member(&self) -> &Member {
        &self.config.member
    }

    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        Stage::Joining
    }

    /// Its role.
    pub fn role(&self) -> Role {
        Role::Inactive
    }
}
