//! The host's jobs: each run a task of its own that is told to stop, and cut off when the right is over.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::calls::panic_text;
use super::host::Host;
use super::inbox::{Message, Nudges, Outbox};
use crate::ids::{Epoch, FencingToken, JobId};
use crate::job::{JobRecord, JobSpec};
use crate::machine::{JobEnd, Reason};
use crate::right::Right;
use crate::time::Clock;

/// What runs a host's jobs. Also any `Fn(JobRun) -> impl Future<Output = JobEnd>`.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Runs a job until it is done, breaks, or is told to stop.
    ///
    /// When [`JobRun::stop`] fires, stop and return [`JobEnd::Stopped`]: the job goes to another node only after that (law 8). A run that has not
    /// returned when the node's right ends, or that is silent beyond its [promise of progress](crate::JobPolicy::progress) even then, is dropped where it stands, at its next `await`; what it started in tasks of its
    /// own is for it to end, by [`JobRun::stop`] and a guard in its own `Drop`, within [`Timing::margin`](crate::Timing::margin): only then does
    /// the run count as ended. A panic is [`JobEnd::Failed`].
    async fn run(&self, run: JobRun) -> JobEnd;
}

#[async_trait]
impl<F, R> JobHandler for F
where
    F: Fn(JobRun) -> R + Send + Sync,
    R: Future<Output = JobEnd> + Send,
{
    async fn run(&self, run: JobRun) -> JobEnd {
        self(run).await
    }
}

/// One run of a job.
#[derive(Clone)]
pub struct JobRun {
    job: Arc<JobRecord>,
    right: Right,
    stop: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
    nudges: Arc<Nudges>,
}

impl JobRun {
    /// The job as it was assigned.
    pub fn job(&self) -> &JobRecord {
        &self.job
    }

    /// What was submitted.
    pub fn spec(&self) -> &JobSpec {
        &self.job.spec
    }

    /// Which of the job's placements this is.
    pub fn epoch(&self) -> Epoch {
        self.job.epoch
    }

    /// The token to carry to every write of this run: `job/ID` and the epoch.
    pub fn token(&self) -> FencingToken {
        self.job.token()
    }

    /// The node's own right, under which the job runs.
    pub fn right(&self) -> &Right {
        &self.right
    }

    /// Fires when the run has to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Why it has to stop, once it has to.
    pub fn stop_reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }

    /// Tells how far it has come. At most 1 KiB is kept, and only the latest text that is waiting to be told.
    pub fn progress(&self, text: impl Into<String>) {
        self.nudges.progress(self.job.spec.id(), self.job.epoch, text.into());
    }
}

impl fmt::Debug for JobRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRun")
            .field("job", self.job.spec.id())
            .field("epoch", &self.job.epoch)
            .field("stopping", &self.stop.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// For a node that takes no jobs: one that reaches it nevertheless fails, visibly.
pub(crate) struct NoJobs;

#[async_trait]
impl JobHandler for NoJobs {
    async fn run(&self, _run: JobRun) -> JobEnd {
        JobEnd::Failed("this node has no job handler: give it one with NodeBuilder::jobs".into())
    }
}

/// The runs under way.
pub(crate) struct Jobs {
    handler: Arc<dyn JobHandler>,
    outbox: Outbox,
    nudges: Arc<Nudges>,
    aftermath: Aftermath,
    host: Host,
    runs: BTreeMap<(JobId, Epoch), Run>,
}

/// How long a run that was cut off counts as running: what its handler left outside the process, such as a guard that is killing
/// a command, has until the lease itself ends, which is the margin.
#[derive(Clone)]
pub(crate) struct Aftermath {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) margin: Duration,
}

struct Run {
    stop: CancellationToken,
    cut: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Jobs {
    pub(crate) fn new(
        handler: Arc<dyn JobHandler>,
        outbox: Outbox,
        nudges: Arc<Nudges>,
        aftermath: Aftermath,
        host: Host,
    ) -> Self {
        Self { handler, outbox, nudges, aftermath, host, runs: BTreeMap::new() }
    }

    /// The margin of runs that begin from now on.
    pub(crate) fn set_margin(&mut self, margin: Duration) {
        self.aftermath.margin = margin;
    }

    /// Begins a run. Without a right there is nothing to run under.
    pub(crate) fn start(&mut self, job: JobRecord, right: Option<Right>, tasks: &mut JoinSet<()>) {
        let (id, epoch) = (job.spec.id().clone(), job.epoch);
        let Some(right) = right.filter(Right::is_valid) else {
            warn!(job = %id, %epoch, "the node's right ended before the job could begin");
            let _gone = self.outbox.send(Message::JobEnded(id, epoch, JobEnd::Stopped));
            return;
        };
        // The run is told to stop with the right it runs under, even if nobody tells the run itself.
        let stop = right.stopping().child_token();
        let (cut, reason) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        self.runs.insert((id, epoch), Run { stop: stop.clone(), cut: cut.clone(), reason: reason.clone() });
        let run = JobRun { job: Arc::new(job), right, stop, reason, nudges: self.nudges.clone() };
        let aftermath = self.aftermath.clone();
        self.host.run(tasks, carry_out(self.handler.clone(), run, cut, aftermath, self.outbox.clone()));
    }

    /// Tells a run to stop.
    pub(crate) fn stop(&self, job: JobId, epoch: Epoch, reason: Reason) {
        if let Some(run) = self.runs.get(&(job, epoch)) {
            let _earlier_reason_stands = run.reason.set(reason);
            run.stop.cancel();
        }
    }

    /// Drops a run where it stands.
    pub(crate) fn cut_off(&self, job: JobId, epoch: Epoch) {
        if let Some(run) = self.runs.get(&(job, epoch)) {
            run.cut.cancel();
        }
    }

    /// The node's lease is ending for this reason: its token stops every run, this tells why.
    pub(crate) fn cancelled(&self, reason: Reason) {
        for run in self.runs.values() {
            let _earlier_reason_stands = run.reason.set(reason);
        }
    }

    /// The right is over: whatever still runs is dropped where it stands.
    pub(crate) fn cut(&self) {
        for run in self.runs.values() {
            run.stop.cancel();
            run.cut.cancel();
        }
    }

    /// Nothing of this run runs any more.
    pub(crate) fn ended(&mut self, job: &JobId, epoch: Epoch) {
        self.runs.remove(&(job.clone(), epoch));
        self.nudges.ended(job, epoch);
    }
}

async fn carry_out(
    handler: Arc<dyn JobHandler>,
    run: JobRun,
    cut: CancellationToken,
    aftermath: Aftermath,
    outbox: Outbox,
) {
    let (job, epoch, right) = (run.spec().id().clone(), run.epoch(), run.right.clone());
    // The host may come to it late.
    if !right.is_valid() {
        let _gone = outbox.send(Message::JobEnded(job, epoch, JobEnd::Stopped));
        return;
    }
    let _gone = outbox.send(Message::JobRunning(job.clone(), epoch));
    let end = tokio::select! {
        biased;
        () = cut.cancelled() => None,
        () = right.ended() => None,
        end = AssertUnwindSafe(handler.run(run)).catch_unwind() => Some(end.unwrap_or_else(|panic| {
            let text = panic_text(&*panic);
            error!(%job, %epoch, panic = text, "the job handler panicked");
            JobEnd::Failed(format!("panicked: {text}"))
        })),
    };
    // The handler's future is gone here.
    let end = if let Some(end) = end {
        end
    } else {
        warn!(%job, %epoch, "the job had not stopped in time and was cut off");
        aftermath.clock.sleep_until(aftermath.clock.now() + aftermath.margin).await;
        JobEnd::Stopped
    };
    let _gone = outbox.send(Message::JobEnded(job, epoch, end));
}
