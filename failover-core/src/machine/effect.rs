//! What the machine wants done, and what must have happened before.

use std::time::Duration;

use super::event::Event;
use super::reason::Reason;
use crate::heartbeat::Heartbeat;
use crate::ids::{ActionName, Epoch, JobId, LeaseName, Member, NodeId, Revision, StateKey};
use crate::incident::Incident;
use crate::job::{JobRecord, JobReport, Move};
use crate::lease::Lease;
use crate::state::Expect;
use crate::time::Time;

/// Ties an [`Effect::Call`] to its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

#[cfg(feature = "testkit")]
impl CallId {
    /// Of calls that no machine makes: nobody waits for their outcome.
    pub(crate) const fn of_a_guard() -> Self {
        Self(0)
    }
}

/// One thing the machine wants done. Effects are done in the order given; only calls run beside what follows them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Make this store call, under a deadline of [`Timing::call`](crate::Timing::call), and hand in exactly one
    /// [`Input::Outcome`](super::Input::Outcome) with its id: the answer, the error, or *unknown* when the deadline passed. Never wait for it.
    Call {
        /// Ties the outcome to it.
        id: CallId,
        /// The call.
        call: Call,
    },
    /// The store has confirmed that this node holds `lease` (a grant or a renewal). The right lasts until `ends_at`; at `stop_at` the
    /// machine will begin to stop the work under it. Publish both moments to whoever acts under the lease.
    Hold {
        /// The lease.
        lease: Lease,
        /// When work under it will be told to stop, unless it is renewed before.
        stop_at: Time,
        /// When the right ends, unless it is renewed before.
        ends_at: Time,
    },
    /// Work under this lease has to stop now: cancel its tokens. The right may still last for the grace period.
    Cancel {
        /// The lease.
        name: LeaseName,
        /// Why.
        reason: Reason,
    },
    /// The right to this lease is over. Comes after its `Cancel`. Work that still runs under it is cut off as hard as the host can.
    Drop {
        /// The lease.
        name: LeaseName,
    },
    /// Run the host's `prepare` hook; answer with [`HostInput::Prepared`](super::HostInput::Prepared).
    Prepare,
    /// Run the host's `promote` hook under this lease; answer with [`HostInput::Promoted`](super::HostInput::Promoted). Comes after a `Prepare` has been answered.
    Promote {
        /// The active lease; its `Hold` came before.
        lease: Lease,
    },
    /// Run the host's `demote` hook, after `promote` has returned if it still runs; answer with [`HostInput::Demoted`](super::HostInput::Demoted). The lease is
    /// released only after that answer (law 8).
    Demote,
    /// Run this job. The node's right is confirmed and the job is its own under `job.epoch`. Answer with
    /// [`HostInput::JobRunning`](super::HostInput::JobRunning) and in the end, whatever happens, with [`HostInput::JobEnded`](super::HostInput::JobEnded).
    Start {
        /// The job as it was assigned.
        job: Box<JobRecord>,
    },
    /// Stop this job. Its ownership ends only with [`HostInput::JobEnded`](super::HostInput::JobEnded) (law 8).
    Stop {
        /// Which job.
        job: JobId,
        /// Which run of it.
        epoch: Epoch,
        /// Why.
        reason: Reason,
    },
    /// Cut this job off as hard as the host can: it was told to stop and shows no sign of life. Answer with [`HostInput::JobEnded`](super::HostInput::JobEnded) once
    /// nothing of it runs.
    Cut {
        /// Which job.
        job: JobId,
        /// Which run of it.
        epoch: Epoch,
    },
    /// Ask the witnesses whether any of them answers, under a deadline of [`Timing::call`](crate::Timing::call); hand in exactly one
    /// [`HostInput::Witness`](super::HostInput::Witness). Never wait for it. Comes only if [`Config::witnessed`](super::Config::witnessed), and not again before the answer.
    AskWitness,
    /// Have the host's [`NodeFencer`](crate::NodeFencer) switch the machine of this member off; answer with
    /// [`HostInput::SwitchedOff`](super::HostInput::SwitchedOff). The order is of no use from `until` on: drop it then where it stands. Comes only if
    /// [`Config::fencer`](super::Config::fencer), after the store has just shown that the member is silent and how its leases stand, and never while another order is open.
    SwitchOff {
        /// Which incarnation's.
        target: Member,
        /// Ties the answer to it.
        order: u64,
        /// By when.
        until: Time,
    },
    /// Drop this order where it stands: its answer does not count any more.
    CallOff {
        /// Which.
        order: u64,
    },
    /// Run this response action for this incident, under the active lease: it is claimed for this attempt, and is begun only this once.
    /// Cut it off with the lease's `Cancel`. Answer with [`HostInput::Responded`](super::HostInput::Responded) once nothing of it runs, whatever happens.
    Respond {
        /// Which action.
        action: ActionName,
        /// Which attempt at it.
        attempt: u32,
        /// For what.
        incident: Box<Incident>,
    },
    /// Keep this configuration, as the store has it, on the node's own disk, in the order given. Answer with
    /// [`HostInput::NotKept`](super::HostInput::NotKept) if that fails. Only of a machine that [`keeps`](super::Config::keeps).
    Keep {
        /// Its document.
        configuration: Vec<u8>,
    },
    /// Tell whoever listens. In order, each exactly once.
    Tell(Event),
    /// The node is done: nothing runs, nothing is held, and no further input will do anything.
    Finish(Finish),
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// It left in good order.
    Left,
    /// Another process holds its name.
    NameTaken,
    /// The store was wiped, restored or replaced: nothing it says is ownership until an operator has looked (law 2).
    StoreChanged,
    /// Not the machine's word but the driver's: it was stopped where it stood, because the last handle was dropped or its runtime shut
    /// down. As after a crash, its leases lapse by time.
    Abandoned,
}

/// A store call. Each stands for the trait method of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// [`HeartbeatStore::beat`](crate::HeartbeatStore::beat)
    Beat(Box<Heartbeat>),
    /// [`HeartbeatStore::sightings`](crate::HeartbeatStore::sightings)
    Sightings,
    /// [`HeartbeatStore::forget`](crate::HeartbeatStore::forget)
    Forget(Member),
    /// [`LeaseManager::acquire`](crate::LeaseManager::acquire), by this member
    Acquire {
        /// Which lease.
        name: LeaseName,
        /// For how long.
        ttl: Duration,
    },
    /// [`LeaseManager::renew`](crate::LeaseManager::renew)
    Renew(Lease),
    /// [`LeaseManager::release`](crate::LeaseManager::release)
    Release {
        /// What is given back.
        lease: Lease,
        /// To whom, if to someone.
        successor: Option<NodeId>,
    },
    /// [`LeaseManager::current`](crate::LeaseManager::current)
    Current(LeaseName),
    /// [`JobAssigner::changes`](crate::JobAssigner::changes)
    Changes {
        /// From where.
        since: Revision,
        /// At most so many.
        limit: usize,
    },
    /// [`JobAssigner::assign`](crate::JobAssigner::assign)
    Assign {
        /// The active lease.
        fence: Lease,
        /// The decisions; none installs the fence.
        moves: Vec<Move>,
    },
    /// [`JobAssigner::report`](crate::JobAssigner::report)
    Report(Vec<JobReport>),
    /// [`StateStore::list`](crate::StateStore::list) of all below a key
    List {
        /// The key.
        prefix: StateKey,
        /// From behind this one, or from the start.
        after: Option<StateKey>,
        /// At most so many.
        limit: usize,
    },
    /// [`StateStore::put`](crate::StateStore::put)
    Put {
        /// Where.
        key: StateKey,
        /// What.
        value: Vec<u8>,
        /// Over what.
        expect: Expect,
        /// Under which lease.
        fence: Lease,
    },
    /// [`StateStore::delete`](crate::StateStore::delete)
    Delete {
        /// Which.
        key: StateKey,
        /// Which version of it.
        expect: Expect,
        /// Under which lease.
        fence: Lease,
    },
}
