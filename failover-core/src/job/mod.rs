//! Who should run what: [`JobSpec`], [`JobRecord`] and the [`JobAssigner`] that keeps them.
//!
//! A job's life in the store, with who may cause each step:
//!
//! ```text
//!            submit               Place (active)            report Running (owner)
//!   (absent) ──────▶ Queued ────────────────▶ Assigned ───────────────────▶ Running
//!                      ▲ ▲                        │ Drain (active)             │ Drain (active)
//!                      │ │ report Stopped (owner) ▼                            ▼
//!                      │ └──────────────────── Draining ◀──────────────────────┘
//!                      └── Seize to nobody (active, after it took the owner's node lease) ▶ Lost ── Place ▶ …
//!   report Completed (owner) ▶ Completed         report Failed (owner) ▶ Failed ── Place ▶ …
//! ```

mod draft;
mod run;
mod spec;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use draft::{JobDraft, PolicyDraft};
pub use run::{Course, MAX_RUN_DETAIL, MAX_RUNS, Outcome, Run, RunEnd};
pub use spec::{Failback, FailoverPolicy, JobPolicy, JobSpec, MAX_RULES, MAX_WEIGHT, check_label};
pub(crate) use spec::{millis as optional_millis, whole_millis};

use crate::error::Result;
use crate::ids::{Epoch, FencingToken, JobId, Member, Revision, Term};
use crate::lease::Lease;

/// The most moves in one [`JobAssigner::assign`] and reports in one [`JobAssigner::report`]: small enough for one atomic
/// transaction of every store (etcd allows 128 operations).
pub const MAX_BATCH: usize = 100;

/// The most bytes of a job's payload.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// The most bytes of a report's text; what is longer is cut, because a report must not fail.
pub const MAX_DETAIL: usize = 1024;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Nobody's; waits to be placed.
    Queued,
    /// Given to its owner, which has not said yet that it runs.
    Assigned,
    /// Its owner says it runs.
    Running,
    /// Its owner was asked to stop it.
    Draining,
    /// Nobody's; done, and not placed again.
    Completed,
    /// Nobody's; ended badly. Waits to be placed again, if its policy wants that.
    Failed,
    /// Nobody's; its node was fenced while it ran. Waits to be placed again, if its policy wants that.
    Lost,
}

impl Phase {
    /// Whether the job has an owner in this phase.
    pub const fn is_owned(self) -> bool {
        match self {
            Self::Assigned | Self::Running | Self::Draining => true,
            Self::Queued | Self::Completed | Self::Failed | Self::Lost => false,
        }
    }

    /// The phase's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }

    /// All of them, for whoever has to find one by its name.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Assigned, Self::Running, Self::Draining, Self::Completed, Self::Failed, Self::Lost];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A job as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// What was submitted.
    pub spec: JobSpec,
    /// The feed position of its last change.
    pub revision: Revision,
    /// The feed position of its submission: among jobs of one priority, the order in which they are placed.
    pub submitted: Revision,
    /// Counts its placements; zero before the first. Never falls, also not when the job is removed and submitted again.
    pub epoch: Epoch,
    /// Where it stands.
    pub phase: Phase,
    /// Who may run it under `epoch`: set exactly in the phases that are [owned](Phase::is_owned).
    pub owner: Option<Member>,
    /// Whether it was removed while it had an owner: it goes as soon as it has none.
    pub retiring: bool,
    /// How often it has failed since it was submitted.
    pub failures: u32,
    /// The last progress or failure that its present, or last, owner reported; empty again when it is placed.
    pub detail: String,
    /// Where it comes from and where it goes, as the active node last noted.
    pub course: Course,
    /// Its latest runs, at most [`MAX_RUNS`], the present one last.
    pub runs: Vec<Run>,
}

impl JobRecord {
    /// The same under the revision that its change got, for backends. One that has just been queued was submitted under it.
    pub fn at_revision(self, revision: Revision) -> Self {
        let submitted = if self.submitted == Revision::ZERO { revision } else { self.submitted };
        Self { revision, submitted, ..self }
    }

    /// The token to carry to writes made by this run of the job.
    pub fn token(&self) -> FencingToken {
        FencingToken { name: format!("job/{}", self.spec.id()), number: self.epoch.0 }
    }
}

/// The answer to [`JobAssigner::submit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Submitted {
    /// It is new.
    Created,
    /// The same job is there already: a repeated call.
    Unchanged,
    /// Another job has this name, or the one of this name is still being removed. Nothing was changed.
    Conflict,
}

/// The answer to [`JobAssigner::revise`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revised {
    /// The job is now to be like this.
    Changed,
    /// It was like this already: a repeated call.
    Unchanged,
    /// There is none of this name, or it is being removed. Nothing was changed.
    Absent,
}

/// The answer to [`JobAssigner::remove`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removed {
    /// It had no owner and is gone.
    Gone,
    /// Its owner has to stop it first; then it goes by itself.
    Retiring,
    /// There was none.
    Absent,
}

/// One entry of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobChange {
    /// The job is now like this.
    Put(JobRecord),
    /// The job is gone.
    Removed {
        /// Which.
        id: JobId,
        /// Since when.
        revision: Revision,
    },
}

impl JobChange {
    /// The entry's position.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(record) => record.revision,
            Self::Removed { revision, .. } => *revision,
        }
    }

    /// The entry's job.
    pub fn id(&self) -> &JobId {
        match self {
            Self::Put(record) => record.spec.id(),
            Self::Removed { id, .. } => id,
        }
    }
}

/// A stretch of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Whether `since` was too old to continue from: forget what you know, this starts over from nothing.
    pub reset: bool,
    /// The latest change of each job that changed, in order of revision.
    pub changes: Vec<JobChange>,
    /// Continue from here.
    pub upto: Revision,
    /// Whether there is more to read right away.
    pub more: bool,
}

/// One decision of the active node about one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which job.
    pub job: JobId,
    /// The epoch it was decided on; if the job has another by now, the move is stale.
    pub expect: Epoch,
    /// What to do.
    pub step: Step,
    /// What the record says of the job's way from then on.
    pub course: Course,
}

impl Move {
    /// A move that leaves nothing to note of the job's way.
    pub fn new(job: JobId, expect: Epoch, step: Step) -> Self {
        Self { job, expect, step, course: Course::default() }
    }
}

/// What a [`Move`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Give a job without an owner to a member, under the next epoch. Not one that is completed or retiring.
    Place {
        /// The new owner.
        to: Member,
    },
    /// Take a job from an owner whose right has ended (law 11), under the next epoch, and give it on if there is a place. Its run
    /// is closed as [`Lost`](Outcome::Lost). One that is retiring is not given on: its ownership has ended, so it goes.
    Seize {
        /// The owner it is taken from; if another has it by now, the move is stale.
        from: Member,
        /// The new owner, if any.
        to: Option<Member>,
    },
    /// Ask the owner to stop it (law 13). The epoch stays until it has.
    Drain,
}

/// The answer to [`JobAssigner::assign`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assigned {
    /// All moves were applied; the feed holds them, and whatever came before them, up to here.
    Applied(Revision),
    /// Nothing was applied, because these jobs have moved on.
    Stale(Vec<JobId>),
    /// Nothing was applied, because a higher term has installed its fence.
    Fenced {
        /// That term.
        current: Term,
    },
}

/// What an owner says of one of its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// Which job.
    pub job: JobId,
    /// Who reports: it counts only from the owner.
    pub member: Member,
    /// Under which epoch: it counts only for the current one.
    pub epoch: Epoch,
    /// What it says.
    pub status: JobStatus,
}

/// What a [`JobReport`] says. Texts longer than [`MAX_DETAIL`] are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobStatus {
    /// It runs.
    Running,
    /// It runs and has come this far.
    Progress(String),
    /// It has stopped and may be placed elsewhere. Ends the ownership.
    Stopped,
    /// It is done. Ends the ownership.
    Completed,
    /// It ended badly. Ends the ownership.
    Failed(String),
}

/// The answer to one [`JobReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It counted.
    Accepted,
    /// The job is not the reporter's under that epoch (any more). Nothing was changed.
    Stale,
}

/// Where jobs and their assignments are kept.
///
/// # Effects
/// 1. `submit` of a new job queues it, under the epoch its name last had. The same spec again is `Unchanged`; another spec,
///    or a job that is retiring, is a `Conflict` and changes nothing. A job that has ended keeps its record, so submitting
///    it again is `Unchanged`.
/// 2. `remove` deletes a job without an owner; one with an owner becomes `retiring` and is deleted the moment its
///    ownership ends. Removing twice is removing once.
/// 3. `changes(since, limit)` returns, in order of revision, the latest change of every job that changed after `since`, at
///    most `limit` of them, and `more` if that was not all. `changes(0)` is a full read. No change is ever skipped, whatever
///    commits concurrently: once a revision was returned, no lower one appears later. A job that was removed appears as
///    `Removed`, unless `since` is zero or `reset` is set.
/// 4. A store may drop old removals; to a reader from before them it answers `reset` and starts from nothing.
/// 5. `assign` applies all its moves or none. Each needs the epoch it expects and what its [`Step`] demands;
///    else the answer is `Stale` with all jobs concerned. `Place` and `Seize` raise the epoch by one and set phase
///    `Assigned` (`Lost` for a `Seize` to nobody); `Drain` keeps the epoch and sets phase `Draining`, also when it already was.
///    Each sets the record's `course` to the move's.
/// 6. `assign` remembers the highest term per lease name. A lower one is `Fenced`, and nothing of it is applied (law 1); an
///    empty `assign` installs the fence (law 12) and answers with how far the feed goes by then: no lower than the revision of any change that was
///    committed before it. The fence needs nothing from the store that granted the lease.
/// 7. `report` counts if the job's owner and epoch are the reporter's. `Running` and `Progress` set phase `Running`, unless it is
///    `Draining`; `Stopped`, `Completed` and `Failed` end the ownership, keep the epoch and set phase `Queued`, `Completed` or
///    `Failed`; `Failed` counts one failure. Reports are judged one by one, answered in order, and repeating one is
///    harmless (law 5): a repeated `Running` changes no revision.
/// 8. Every change raises the revision. Epochs and revisions never fall, nor does an epoch repeat for a job's name.
/// 9. A record's `runs` are the latest [`MAX_RUNS`] placements: each `Place`, and each `Seize` to somebody, opens one; a `Stopped`, `Completed` or
///    `Failed` report and a `Seize` close the open one with that outcome (`Lost` for a `Seize`) and the last progress that owner told.
///    A job that is submitted anew begins with none.
/// 10. `revise` replaces the spec of a job that is there and not retiring, and nothing else of it: what runs goes on, its next run gets
///    the new payload. The same spec again is `Unchanged`.
/// 11. A record's `submitted` is the revision under which it was submitted, and stays.
/// 12. `changed` completes soon after a change by anyone. It may complete early or for nothing; it may also never (law 7).
///
/// # Failure
/// 1. An `Err` of kind [`Unknown`](crate::ErrorKind::Unknown) may have been applied, at once or later; every call is safe to repeat.
/// 2. More than [`MAX_BATCH`] moves or reports, two moves of one job in a batch, or a `limit` of zero are [`Invalid`](crate::ErrorKind::Invalid).
/// 3. A record of a newer format is [`TooNew`](crate::ErrorKind::TooNew) and is left as it is (law 15).
/// 4. A store that was wiped or replaced answers [`StoreChanged`](crate::ErrorKind::StoreChanged) to everyone who knew the old one.
///
/// Every method is cancel safe in the sense of failure 1.
#[async_trait]
pub trait JobAssigner: Send + Sync {
    /// Adds a job.
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted>;

    /// Makes a job that is there like this.
    async fn revise(&self, spec: &JobSpec) -> Result<Revised>;

    /// Takes a job away.
    async fn remove(&self, job: &JobId) -> Result<Removed>;

    /// Reads what changed after `since`.
    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes>;

    /// Applies the active node's decisions, under its lease.
    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned>;

    /// Takes in what owners say; one answer for each report.
    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>>;

    /// Waits for a hint that [`changes`](Self::changes) would tell something new. Cancel safe.
    async fn changed(&self) -> Result<()> {
        std::future::pending().await
    }
}

#[async_trait]
impl<T: JobAssigner + ?Sized> JobAssigner for Arc<T> {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        (**self).submit(spec).await
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        (**self).revise(spec).await
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        (**self).remove(job).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        (**self).changes(since, limit).await
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        (**self).assign(fence, moves).await
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        (**self).report(reports).await
    }

    async fn changed(&self) -> Result<()> {
        (**self).changed().await
    }
}
