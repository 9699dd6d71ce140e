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

    pub(crate) fn term(mut self, term: Term) -> Self {
        self.term = Some(term);
        self
    }

    pub(crate) fn detail(mut self, detail: String) -> Self {
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
    /// It is silent and holds leases, so the host is asked to switch its machine off.
    FencingAsked,
    /// Its machine is off, by the word of the host's fencer: its leases are given back in its stead.
    FencingConfirmed,
    /// Nobody has confirmed that its machine is off: nothing is broken, its leases lapse.
    FencingRefused,
    /// It seems to be lost while the store is silent: nothing was claimed, taken or moved, and nobody can say more. Once for each silence.
    Unconfirmed,
    /// The store answers again, so what seemed to be lost can be looked into.
    UnconfirmedOver,
    /// A response action was begun for its loss.
    ActionBegun,
    /// A response action for its loss is done.
    ActionDone,
    /// A response action for its loss failed.
    ActionFailed,
    /// It is to take over first.
    StandbyAppointed,
    /// The target of a switchover could take over, by everything that is known of it.
    SwitchoverChecked,
    /// The target of a switchover prepares itself first.
    SwitchoverPreparing,
    /// It ends what it does as the active node, to hand its role over as an operator wished.
    SwitchoverStarted,
    /// It has ended that and gives its lease to the target.
    SwitchoverReleased,
    /// It has taken the role over as an operator wished.
    SwitchoverDone,
    /// An operator's wish cannot be met. Nothing was begun.
    SwitchoverRefused,
    /// A switchover that had begun did not come to its end; the node that tells it is active now.
    SwitchoverFailed,
    /// Nothing happens by itself from now on, as an operator wished.
    ClusterPaused,
    /// Things happen by themselves again.
    ClusterResumed,
    /// The cluster's settings hold something that the node cannot follow; what it followed before stays in force.
    SettingsRefused,
    /// It follows another version of the cluster's configuration.
    SettingsChanged,
    /// It begins with the configuration that it kept on its own disk.
    SettingsRestored,
    /// It could not keep the configuration on its own disk.
    SettingsNotKept,
    /// It is as fast as the cluster's settings say from now on.
    PaceChanged,
    /// Its version keeps it from being active or standby, and from being given jobs.
    VersionRefused,
    /// Its version keeps it back no more.
    VersionAccepted,
    /// An operator's order is carried out.
    OrderDone,
    /// An operator's order will not be.
    OrderRefused,
    /// Its host reported something that is wrong with it, or changed what it said of it.
    FailureReported,
    /// Something that was wrong with it is over.
    FailureCleared,
    /// As the active node it asks that its role go to a standby in better health; the steps of a switchover follow.
    ReliefRequested,
    /// The guard of its host is gone: after a crash the others have to wait until its leases lapse.
    GuardLost,
    /// Its host has not fed its watchdog in time: it has no role until it does.
    HostHung,
    /// Its host feeds its watchdog again.
    HostBack,
    /// It holds the lease and its host cannot act: it gives the role up, so that another node can try.
    PromotionRefused,
    /// Nobody is active, and it does not take over: because it is too far behind, or because it could not act
    /// ([`FenceAbove`](Reason::FenceAbove)).
    TakeoverWithheld,
    /// The store does not answer it. The reason tells whether that is all that is known, whether it is the store alone
    /// ([`StoreAway`](Reason::StoreAway)), or whether the node is cut off ([`CutOff`](Reason::CutOff)).
    StoreSilent,
    /// The store answers again.
    StoreBack,
    /// The store has taken in where clients can reach it, now that it is active.
    EndpointsPublished,
    /// Clients were led to it, now that it is active.
    RedirectDone,
    /// They could not be.
    RedirectFailed,
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
            Self::FencingAsked => "fencing_asked",
            Self::FencingConfirmed => "fencing_confirmed",
            Self::FencingRefused => "fencing_refused",
            Self::Unconfirmed => "unconfirmed",
            Self::UnconfirmedOver => "unconfirmed_over",
            Self::ActionBegun => "action_begun",
            Self::ActionDone => "action_done",
            Self::ActionFailed => "action_failed",
            Self::StandbyAppointed => "standby_appointed",
            Self::SwitchoverChecked => "switchover_checked",
            Self::SwitchoverPreparing => "switchover_preparing",
            Self::SwitchoverStarted => "switchover_started",
            Self::SwitchoverReleased => "switchover_released",
            Self::SwitchoverDone => "switchover_done",
            Self::SwitchoverRefused => "switchover_refused",
            Self::SwitchoverFailed => "switchover_failed",
            Self::ClusterPaused => "cluster_paused",
            Self::ClusterResumed => "cluster_resumed",
            Self::SettingsRefused => "settings_refused",
            Self::SettingsChanged => "settings_changed",
            Self::SettingsRestored => "settings_restored",
            Self::SettingsNotKept => "settings_not_kept",
            Self::PaceChanged => "pace_changed",
            Self::VersionRefused => "version_refused",
            Self::VersionAccepted => "version_accepted",
            Self::OrderDone => "order_done",
            Self::OrderRefused => "order_refused",
            Self::FailureReported => "failure_reported",
            Self::FailureCleared => "failure_cleared",
            Self::ReliefRequested => "relief_requested",
            Self::GuardLost => "guard_lost",
            Self::HostHung => "host_hung",
            Self::HostBack => "host_back",
            Self::PromotionRefused => "promotion_refused",
            Self::TakeoverWithheld => "takeover_withheld",
            Self::StoreSilent => "store_silent",
            Self::StoreBack => "store_back",
            Self::EndpointsPublished => "endpoints_published",
            Self::RedirectDone => "redirect_done",
            Self::RedirectFailed => "redirect_failed",
            Self::StoodBack => "stood_back",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
