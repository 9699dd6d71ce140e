//! Waiting: for the end of a job's run, for a job to be over, for a node to be empty.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::info;

use super::{Admin, PAGE};
use crate::control::Overdue;
use crate::error::{Error, Result};
use crate::ids::{Epoch, JobId, NodeId, Revision};
use crate::job::{Changes, JobChange, JobRecord, Phase, Run};
use crate::time::Time;

/// How often to look without a hint.
const LOOK: Duration = Duration::from_millis(500);

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// The end of the job's present run, or of its next one if it has none. Of a job that is over, the last one's.
    RunEnds,
    /// That the job is over: completed, or failed or lost with no retry left.
    Done,
}

/// What came of waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waited {
    /// This run ended: it has an [end](Run::end), with the outcome and the last progress it told.
    Ended(Run),
    /// The job was removed meanwhile.
    Removed,
    /// There is no such job.
    Absent,
}

impl Admin {
    /// Waits until a run of the job has ended, or the job is over. A run that was lost with its node counts as ended: whoever waits
    /// for it goes on. There is no deadline: put one around it. Which run it is was decided once the log says, at `info`, "waits for a
    /// job". Cancel safe.
    ///
    /// # Errors
    /// The store's, if it is of no use to try again; a store that is away for a while only makes it take longer.
    pub async fn wait(&self, job: &JobId, until: WaitFor) -> Result<Waited> {
        let mut feed = Feed::default();
        let mut first: Option<(Revision, Epoch)> = None;
        loop {
            let read = self.follow(&mut feed, |record| record.spec.id() == job).await;
            if useful(read)?.is_ok() {
                let Some(record) = feed.jobs.get(job) else {
                    return Ok(if first.is_some() { Waited::Removed } else { Waited::Absent });
                };
                let (submitted, epoch) = *first.get_or_insert_with(|| {
                    let epoch = awaited(record);
                    info!(%job, epoch = epoch.0, ?until, "waits for a job");
                    (record.submitted, epoch)
                });
                if record.submitted != submitted {
                    return Ok(Waited::Removed);
                }
                if let Some(run) = ended(record, epoch, until) {
                    return Ok(Waited::Ended(run.clone()));
                }
            }
            self.pause(self.backend.jobs.changed(), LOOK, None).await;
        }
    }

    /// Waits until none of a node's jobs is left on it, or `within` is over. Returns those that are left. Cancel safe.
    ///
    /// # Errors
    /// The store's, if it is of no use to try again.
    pub async fn drained(&self, node: &NodeId, within: Duration) -> Result<Vec<JobRecord>> {
        let deadline = self.clock.now() + within;
        let mut feed = Feed::default();
        let is_there = |record: &JobRecord| record.owner.as_ref().is_some_and(|owner| owner.node == *node);
        loop {
            let read = useful(self.follow(&mut feed, is_there).await)?;
            let over = self.clock.now() >= deadline;
            match read {
                Ok(()) if over || feed.jobs.is_empty() => return Ok(feed.jobs.into_values().collect()),
                Err(error) if over => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.pause(self.backend.jobs.changed(), LOOK, Some(deadline)).await;
        }
    }

    /// How long a drain may take in all: what the operator gave it, and if what is left is stopped then, time for that.
    pub fn drain_patience(within: Duration, then: Overdue) -> Duration {
        match then {
            Overdue::Abort => within,
            Overdue::Force => within.saturating_add(Duration::from_secs(30)),
        }
    }

    /// Reads on, and keeps the jobs that are wanted.
    async fn follow(&self, feed: &mut Feed, wanted: impl Fn(&JobRecord) -> bool) -> Result<()> {
        loop {
            let page = self.ask("changes", self.backend.jobs.changes(feed.since, PAGE)).await?;
            let more = page.more;
            feed.read(page, &wanted);
            if !more {
                return Ok(());
            }
        }
    }

    /// Waits for a hint, or a look's time, or the deadline. A hint that fails, or comes at once for nothing, does not make its caller spin.
    pub(super) async fn pause(
        &self,
        hint: impl Future<Output = Result<(), Error>>,
        look: Duration,
        deadline: Option<Time>,
    ) {
        let next = self.clock.now() + look;
        tokio::select! {
            () = self.clock.sleep_until(deadline.map_or(next, |deadline| next.min(deadline))) => {}
            () = async {
                let pause = if hint.await.is_ok() { look / 10 } else { look };
                self.clock.sleep_until(self.clock.now() + pause).await;
            } => {}
        }
    }
}

/// An error that may pass is for whoever waits to judge; any other ends the waiting.
fn useful(read: Result<()>) -> Result<Result<()>> {
    match read {
        Err(error) if !error.is_retryable() => Err(error),
        read => Ok(read),
    }
}

/// The jobs somebody waits for, as far as the feed was read.
#[derive(Default)]
struct Feed {
    since: Revision,
    jobs: BTreeMap<JobId, JobRecord>,
}

impl Feed {
    fn read(&mut self, page: Changes, wanted: &impl Fn(&JobRecord) -> bool) {
        if page.reset {
            self.jobs.clear();
        }
        self.since = page.upto;
        for change in page.changes {
            match change {
                JobChange::Put(record) if wanted(&record) => drop(self.jobs.insert(record.spec.id().clone(), record)),
                change => drop(self.jobs.remove(change.id())),
            }
        }
    }
}

/// The epoch of the run that ends next.
fn awaited(record: &JobRecord) -> Epoch {
    match record.runs.last().filter(|run| run.end.is_none()) {
        Some(open) => open.epoch,
        None => record.epoch.next(),
    }
}

/// The run that was waited for, if it is over.
fn ended(record: &JobRecord, epoch: Epoch, until: WaitFor) -> Option<&Run> {
    if is_over(record) {
        return record.runs.last();
    }
    match until {
        // The first that is remembered, should the one itself be forgotten.
        WaitFor::RunEnds => record.runs.iter().find(|run| run.epoch >= epoch && run.end.is_some()),
        WaitFor::Done => None,
    }
}

/// Whether no run follows unless somebody does something about it.
fn is_over(record: &JobRecord) -> bool {
    match record.phase {
        Phase::Completed => true,
        Phase::Failed | Phase::Lost => {
            record.spec.policy().retries.is_some_and(|retries| record.course.retries >= retries)
        }
        Phase::Queued | Phase::Assigned | Phase::Running | Phase::Draining => false,
    }
}
