//! What reaches the driver: messages in order, and nudges of which only the latest matters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::error::Error;
use crate::ids::{ActionName, Epoch, JobId, Member};
use crate::job::MAX_DETAIL;
use crate::machine::{CallId, Command, Hint, HostInput, Input, JobEnd, Reply, Standing};

/// What must arrive, in order. As many as there are calls, jobs, hooks, questions and things the host says: bounded by them.
#[derive(Debug)]
pub(crate) enum Message {
    /// A call came out.
    Outcome { id: CallId, operation: &'static str, outcome: Result<Reply, Error> },
    /// A hook has returned, or was cut off.
    HookEnded(HostInput),
    /// A job's run has begun.
    JobRunning(JobId, Epoch),
    /// Nothing of a job's run runs any more.
    JobEnded(JobId, Epoch, JobEnd),
    /// The host says something of itself, or a witness of the network.
    Host(HostInput),
    /// The host feeds its watchdog again.
    Fed,
    /// A response action is over.
    Responded { incident: Member, action: ActionName, attempt: u32, outcome: Result<String, String> },
    /// The host wants something.
    Command(Command),
    /// Somebody wants to know whether this is read.
    #[cfg(feature = "http")]
    Ping(tokio::sync::oneshot::Sender<()>),
}

pub(crate) type Outbox = mpsc::UnboundedSender<Message>;

/// Hints and progress, coalesced: however many come in, each thing waits at most once.
#[derive(Debug, Default)]
pub(crate) struct Nudges {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    hints: Vec<Hint>,
    progress: BTreeMap<JobId, (Epoch, String)>,
    standing: Option<Standing>,
}

impl Nudges {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn hint(&self, hint: &Hint) {
        self.with(|waiting| {
            if !waiting.hints.contains(hint) {
                waiting.hints.push(hint.clone());
            }
        });
        self.changed.notify_one();
    }

    /// Keeps the latest progress of a job's latest run, cut to what a report may hold.
    pub(crate) fn progress(&self, job: &JobId, epoch: Epoch, mut text: String) {
        text.truncate(text.floor_char_boundary(MAX_DETAIL));
        self.with(|waiting| {
            let newer = waiting.progress.get(job).is_none_or(|(waiting, _)| *waiting <= epoch);
            if newer {
                waiting.progress.insert(job.clone(), (epoch, text));
            }
        });
        self.changed.notify_one();
    }

    /// Keeps how far behind the replicas are by now.
    pub(crate) fn replicated(&self, standing: Standing) {
        self.with(|waiting| waiting.standing = Some(standing));
        self.changed.notify_one();
    }

    /// Forgets the progress of a run that has ended.
    pub(crate) fn ended(&self, job: &JobId, epoch: Epoch) {
        self.with(|waiting| {
            if waiting.progress.get(job).is_some_and(|(waiting, _)| *waiting == epoch) {
                waiting.progress.remove(job);
            }
        });
    }

    /// Waits for one. Cancel safe: it is taken in the same step in which this completes.
    pub(crate) async fn next(&self) -> Input {
        loop {
            let changed = self.changed.notified();
            if let Some(input) = self.with(Waiting::take) {
                return input;
            }
            changed.await;
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Input> {
        if !self.hints.is_empty() {
            return Some(Input::Hint(self.hints.remove(0)));
        }
        if let Some(standing) = self.standing.take() {
            return Some(Input::Host(HostInput::Replicated(standing)));
        }
        let (job, (epoch, text)) = self.progress.pop_first()?;
        Some(Input::Host(HostInput::JobProgress { job, epoch, text }))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_thousand_hints_are_one() {
        let nudges = Nudges::new();
        for _ in 0..1000 {
            nudges.hint(&Hint::Jobs);
            nudges.hint(&Hint::Heartbeats);
        }
        assert_eq!(nudges.next().now_or_never(), Some(Input::Hint(Hint::Jobs)));
        assert_eq!(nudges.next().now_or_never(), Some(Input::Hint(Hint::Heartbeats)));
        assert_eq!(nudges.next().now_or_never(), None);
    }

    #[test]
    fn only_the_latest_progress_of_the_latest_run_counts() {
        let nudges = Nudges::new();
        let job = JobId::new("a").unwrap();
        nudges.progress(&job, Epoch(2), "one".into());
        nudges.progress(&job, Epoch(2), "two".into());
        nudges.progress(&job, Epoch(1), "late".into());
        let expected = HostInput::JobProgress { job: job.clone(), epoch: Epoch(2), text: "two".into() };
        assert_eq!(nudges.next().now_or_never(), Some(Input::Host(expected)));
        nudges.progress(&job, Epoch(2), "é".repeat(MAX_DETAIL));
        nudges.ended(&job, Epoch(2));
        assert_eq!(nudges.next().now_or_never(), None);
    }
}
