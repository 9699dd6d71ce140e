//! What the machine is told.

use super::effect::CallId;
use super::standing::Standing;
use crate::error::ErrorKind;
use crate::health::Failure;
use crate::heartbeat::Sighting;
use crate::ids::{ActionName, Epoch, FailureName, JobId, LeaseName, Member};
use crate::job::{Assigned, Changes, Reported};
use crate::lease::{Acquired, LeaseView, Renewed};
use crate::state::{Deleted, Document, Written};
use crate::time::Time;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Time has passed. Due at [`Machine::deadline`](super::Machine::deadline); at any other moment it is harmless.
    Wake,
    /// How an [`Effect::Call`](super::Effect::Call) came out.
    Outcome {
        /// The call's.
        id: CallId,
        /// Its answer, or that there is none.
        outcome: Result<Reply, Fault>,
    },
    /// A store hinted at a change. May be early, late, wrong or missing (law 7).
    Hint(Hint),
    /// The host's work came this far.
    Host(HostInput),
    /// The host, or an operator through it, wants something.
    Command(Command),
}

/// A store's answer, by call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// To a beat, a forget or a release: done.
    Done,
    /// To sightings.
    Sightings(Vec<Sighting>),
    /// To an acquire.
    Acquired(Acquired),
    /// To a renew.
    Renewed(Renewed),
    /// To a current.
    View(LeaseView),
    /// To a changes.
    Changes(Changes),
    /// To an assign.
    Assigned(Assigned),
    /// To a report.
    Reported(Vec<Reported>),
    /// To a list.
    Documents(Vec<Document>),
    /// To a put.
    Written(Written),
    /// To a delete.
    Deleted(Deleted),
}

/// Why a call has no answer, as far as a decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It may have been applied, at once or later (law 3).
    Unknown,
    /// It was not applied.
    Failed,
    /// Records are of a newer format: stand back (law 15).
    TooNew,
    /// The store is not the one it was: fail closed (law 2).
    StoreChanged,
}

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unknown => Self::Unknown,
            ErrorKind::TooNew => Self::TooNew,
            ErrorKind::StoreChanged => Self::StoreChanged,
            ErrorKind::Invalid | ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Full | ErrorKind::Corrupt => {
                Self::Failed
            }
        }
    }
}

/// Where a change was hinted at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The heartbeats.
    Heartbeats,
    /// This lease.
    Lease(LeaseName),
    /// The jobs.
    Jobs,
    /// The documents below `control`.
    Control,
}

/// How the host's work goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostInput {
    /// The `prepare` hook has returned.
    Prepared,
    /// The `promote` hook has returned.
    Promoted,
    /// The node cannot be promoted: a replica could not be completed, or the hook panicked.
    PromotionRefused {
        /// Why, in the host's words.
        why: String,
    },
    /// How far behind its replicas are.
    Replicated(Standing),
    /// The configuration could not be kept on the node's own disk, for this reason.
    NotKept(String),
    /// The `demote` hook has returned: nothing runs under the active lease any more.
    Demoted,
    /// The job's run has begun.
    JobRunning {
        /// Which job.
        job: JobId,
        /// Which run.
        epoch: Epoch,
    },
    /// The job has come this far.
    JobProgress {
        /// Which job.
        job: JobId,
        /// Which run.
        epoch: Epoch,
        /// How far.
        text: String,
    },
    /// The job's run has ended: nothing of it runs any more.
    JobEnded {
        /// Which job.
        job: JobId,
        /// Which run.
        epoch: Epoch,
        /// How.
        end: JobEnd,
    },
    /// Something is wrong with the node, by its host's word.
    FailureReported {
        /// What it is called.
        name: FailureName,
        /// What it is and how much it weighs.
        failure: Failure,
    },
    /// That is over.
    FailureCleared {
        /// What it is called.
        name: FailureName,
    },
    /// The host fed its watchdog at this moment. It may be told late.
    Fed(Time),
    /// The answer to [`Effect::AskWitness`](super::Effect::AskWitness).
    Witness(Reach),
    /// The answer to [`Effect::SwitchOff`](super::Effect::SwitchOff).
    SwitchedOff {
        /// Which order.
        order: u64,
        /// That the machine is off, and what the host's fencer said of it; or why nobody knows that it is.
        outcome: Result<String, String>,
    },
    /// A response action is over: nothing of it runs any more.
    Responded {
        /// Of which incident: the incarnation that was lost.
        incident: Member,
        /// Which action.
        action: ActionName,
        /// Which attempt.
        attempt: u32,
        /// What it said, or why it failed.
        outcome: Result<String, String>,
    },
}

/// How a job's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// It is done for good.
    Completed,
    /// It stopped because it was told to.
    Stopped,
    /// It broke.
    Failed(String),
}

/// What the host wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Leave in good order: stop the work, hand over, release.
    Leave,
    /// Take no part until further notice, or take part again.
    Maintenance(Switch),
}

/// Whether anybody beside the store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A witness does.
    Reachable,
    /// None does, in time.
    Unreachable,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}
