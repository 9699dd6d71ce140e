//! What the machine tells: one [`Event`] for each thing that happened, with its reason.

use super::reason::Reason;
use crate::heartbeat::Role;
use crate::ids::{Epoch, JobId, NodeId, Term};

/// Something that happened, without a time: the driver stamps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The node it happened to.
    pub node: NodeId,
    /// The role it has now.
    pub role: Option<Role>,
    /// The job it is about.
    pub job: Option<JobId>,
    /// The job's epoch.
    pub epoch: Option<Epoch>,
    /// The term of the lease it is about.
    pub term: Option<Term>,
    /// Why.
    pub reason: Reason,
    /// What the host or the store said, where there is more to say than the reason.
    pub detail: Option<String>,
}

impl Event {
    /// An event about a node.
    pub fn new(kind: EventKind, node: NodeId, reason: Reason) -> Self {
        Self { kind, node, role: None, job: None, epoch: None, term: None, reason, detail: None }
    }

    pub(super) fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    pub(super) fn job(mut self, job: JobId, epoch: Epoch) -> Self {
        self.job = Some(job);
        self.epoch = Some(epoch);
        self
    }

    pub(super) fn term(mut self, term: Term) -> Self {
        self.term = Some(term);
        self
    }

    pub(super) fn detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }
}

/// The kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The node holds its own lease: it is a member.
    NodeJoined,
    /// The node has left in good order.
    NodeLeft,
    /// The node could not be one: its name is taken or the store is not the one it was.
    NodeRefused,
    /// Its role is another now.
    RoleChanged,
    /// It may not act any more under a lease it held.
    LeaseLost,
    /// A job runs on it.
    JobStarted,
    /// A job on it has stopped and may run elsewhere.
    JobStopped,
    /// A job on it is done.
    JobCompleted,
    /// A job on it ended badly.
    JobFailed,
    /// A job is moved there, or away from there if it has no place; told by the active node once the store has taken that in.
    JobMoved,
    /// A job on it was told to stop and does not.
    JobStuck,
    /// Its heartbeats have stopped.
    NodeMissing,
    /// Its heartbeats are back, or a new incarnation's.
    NodeReturned,
    /// Its lease was taken and its jobs may move (law 11). Once per failed incarnation, whoever is active (law 14).
    NodeFenced,
    /// It is to take over first.
    StandbyAppointed,
    /// It hands its role over as an operator wished.
    SwitchoverStarted,
    /// It has taken the role over as an operator wished.
    SwitchoverDone,
    /// An operator's wish cannot be met.
    SwitchoverRefused,
    /// The cluster's settings hold something that the node cannot follow; what it followed before stays in force.
    SettingsRefused,
    /// An operator's order is carried out.
    OrderDone,
    /// An operator's order will not be.
    OrderRefused,
    /// The store does not answer it.
    StoreSilent,
    /// The store answers again.
    StoreBack,
    /// It stands back because records are of a newer format.
    StoodBack,
}

impl EventKind {
    /// The kind's name, as it is written to logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodeJoined => "node_joined",
            Self::NodeLeft => "node_left",
            Self::NodeRefused => "node_refused",
            Self::RoleChanged => "role_changed",
            Self::LeaseLost => "lease_lost",
            Self::JobStarted => "job_started",
            Self::JobStopped => "job_stopped",
            Self::JobCompleted => "job_completed",
            Self::JobFailed => "job_failed",
            Self::JobMoved => "job_moved",
            Self::JobStuck => "job_stuck",
            Self::NodeMissing => "node_missing",
            Self::NodeReturned => "node_returned",
            Self::NodeFenced => "node_fenced",
            Self::StandbyAppointed => "standby_appointed",
            Self::SwitchoverStarted => "switchover_started",
            Self::SwitchoverDone => "switchover_done",
            Self::SwitchoverRefused => "switchover_refused",
            Self::SettingsRefused => "settings_refused",
            Self::OrderDone => "order_done",
            Self::OrderRefused => "order_refused",
            Self::StoreSilent => "store_silent",
            Self::StoreBack => "store_back",
            Self::StoodBack => "stood_back",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
