//! What a simulation is made of: the cluster, its hosts, and what befalls it.

use std::time::Duration;

use crate::control::{Errand, Settings};
use crate::ids::NodeId;
use crate::job::JobSpec;
use crate::machine::Command;
use crate::timing::Timing;

/// The cluster as it is set up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) timing: Timing,
    pub(super) nodes: Vec<NodePlan>,
    pub(super) jobs: Vec<JobPlan>,
    /// How long a request or a reply takes while nothing is wrong.
    pub(super) latency: (Duration, Duration),
    /// How late a timer may fire.
    pub(super) lateness: Duration,
    pub(super) hints: Hints,
    pub(super) hooks: HookPlan,
    /// How often, of 1000 inputs, a copy of the machine is woken early to see that it does nothing.
    pub(super) nudges: u64,
}

/// One node.
#[derive(Debug, Clone)]
pub(super) struct NodePlan {
    pub(super) id: NodeId,
    pub(super) origin: u64,
    pub(super) ppm: i32,
    pub(super) capacity: u32,
    /// When it first starts; never, if only a `restart` is to start it.
    pub(super) starts: Option<Duration>,
    /// Whether it is started again if it is down when the faults end.
    pub(super) returns: bool,
}

/// One job and how it behaves.
#[derive(Debug, Clone)]
pub(super) struct JobPlan {
    pub(super) spec: JobSpec,
    pub(super) starting: Duration,
    pub(super) stopping: Duration,
    pub(super) end: JobFate,
    /// Ignores the wish to stop until it is cut off, while faults last. One that hangs cannot even be cut off before its node's right
    /// has ended.
    pub(super) stubborn: bool,
}

/// How a job's run ends if nobody stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobFate {
    Never,
    Completes(Duration),
    /// Breaks after this time, while faults last.
    Breaks(Duration),
    /// Tells no more progress after this time and pays no heed to anything but being cut off. Not any more once the faults have
    /// ended, but then a run that hangs already has to be found out.
    Hangs(Duration),
}

/// How long the hooks take.
#[derive(Debug, Clone, Copy)]
pub(super) struct HookPlan {
    pub(super) prepare: Duration,
    pub(super) promote: Duration,
    pub(super) demote: Duration,
}

/// How hints behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hints {
    Never,
    /// Within this time of the change; and so often, of 1000 applied calls, for nothing.
    Within(Duration, u64),
}

/// Something that befalls the cluster at a moment.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Crash(Target, Option<Duration>),
    Restart(Target),
    Pause(Target, Duration),
    Weather(Option<Target>, Duration, Weather),
    /// Everything under way breaks, and it is away for a while.
    RestartStore(Duration),
    Wipe,
    Submit(usize),
    Remove(usize),
    Switchover(Option<NodeId>),
    Settings(Box<Settings>),
    /// What an operator asks for once.
    Order(Errand),
    Command(Target, Command),
}

/// Whom it befalls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Node(usize),
    /// Whoever is active then.
    Active,
    /// Whoever is standby then.
    Standby,
    /// Whoever runs the most jobs then.
    Busiest,
}

/// What is wrong between a node, or all of them, and the store.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weather {
    /// A request and a reply may each take this long.
    Slow(Duration),
    /// So many in a hundred requests, and replies, are lost.
    Lossy { requests: u64, replies: u64 },
    /// Every call fails at once.
    Refusing,
    /// No call is answered; so many in a hundred are applied all the same.
    Hanging { applied: u64 },
}
