//! What a simulation is made of: the cluster, its hosts, and what befalls it.

use std::time::Duration;

use crate::control::{Errand, Pace, Settings, Topology, VersionRule};
use crate::ids::{ActionName, FailureName, NodeId};
use crate::job::JobSpec;
use crate::machine::{Command, Switch};
use crate::timing::Timing;

/// The cluster as it is set up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) timing: Timing,
    /// The slowest and the quickest that it may be told to be.
    pub(super) slowest: Timing,
    pub(super) quickest: Timing,
    pub(super) nodes: Vec<NodePlan>,
    pub(super) jobs: Vec<JobPlan>,
    /// How long a request or a reply takes while nothing is wrong.
    pub(super) latency: (Duration, Duration),
    /// How late a timer may fire.
    pub(super) lateness: Duration,
    pub(super) hints: Hints,
    pub(super) hooks: HookPlan,
    /// Within which time the hosts feed their watchdogs, if they have any. They do so four times as often.
    pub(super) watchdog: Option<Duration>,
    /// Whether the nodes have a witness to ask.
    pub(super) witnessed: bool,
    /// How the hosts' guards are, if they have any.
    pub(super) guards: Option<GuardPlan>,
    /// How the hosts' fencers are, if they have any.
    pub(super) fencers: Option<FencerPlan>,
    /// The response actions that every node knows.
    pub(super) responses: Vec<ResponsePlan>,
    /// Whether a fence may be above what the lease store grants, until the faults end.
    pub(super) ahead: bool,
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
    /// The version its host tells; an upgrade changes it.
    pub(super) version: Option<&'static str>,
    /// When it first starts; never, if only a `restart` is to start it.
    pub(super) starts: Option<Duration>,
    /// Whether it is started again if it is down when the faults end.
    pub(super) returns: bool,
    /// Whether its host can never be promoted.
    pub(super) hopeless: bool,
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

/// One response action and how it behaves.
#[derive(Debug, Clone)]
pub(super) struct ResponsePlan {
    pub(super) name: ActionName,
    pub(super) takes: Duration,
    pub(super) fails: bool,
}

/// What guards are like.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuardPlan {
    /// Of so many in a hundred changes they hear only with the next.
    pub(super) late: u64,
    /// How soon they notice that their host is dead.
    pub(super) notices: (Duration, Duration),
    /// How often at most they make a call again.
    pub(super) again: u64,
}

/// What fencers are like.
#[derive(Debug, Clone, Copy)]
pub(super) struct FencerPlan {
    /// How long they take until the machine is off, or until they refuse.
    pub(super) takes: (Duration, Duration),
    /// So many in a hundred orders they refuse.
    pub(super) refuses: u64,
    /// So many of the others they never answer, and never carry out.
    pub(super) silent: u64,
    /// So many in a hundred machines come up again by themselves.
    pub(super) restarts: u64,
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
    Activate(NodeId),
    /// Whether anything is to happen by itself.
    Standstill(Switch),
    Topology(Topology),
    Settings(Box<Settings>),
    /// An edit of the settings that are there: how fast to be, or as it was started.
    Pace(Option<Pace>),
    /// Another: how versions must match, and which.
    Versions(VersionRule, Option<&'static str>),
    /// The process is ended and started again as another version.
    Upgrade(Target, &'static str),
    /// What an operator asks for once.
    Order(Errand),
    /// An operator acknowledges the incident of this number, counted around.
    Ack(usize),
    /// An operator has an action of the incident of this number retried.
    Retry(usize),
    Command(Target, Command),
    /// An operator sets how long the role stays after a relief.
    HoldOff(Duration),
    /// The host says that something is wrong with it, or that it is over.
    Report(Target, FailureName, u32),
    Clear(Target, FailureName),
    /// The host does nothing any more for a while: it neither feeds its watchdog nor returns from a hook.
    Hang(Target, Duration),
    /// The node's host cannot be promoted for a while.
    Refuse(Target, Duration),
    /// The jobs or the documents have seen a term that is so much higher than any the store ever granted: they are in another store, and one of the two
    /// was replaced.
    Ahead(Beside, u64),
    /// An operator raises the floor of the lease store above every fence.
    Floor,
    /// No witness answers the node for a while.
    Unwitnessed(Target, Duration),
    /// Neither does the store.
    CutOff(Target, Duration),
}

/// What may be in another store than the leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Jobs,
    Documents,
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
