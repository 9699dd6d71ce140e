//! The one that leads: puts what is published into the journal, under the right's lease, and applies it.

use std::mem;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;
use uuid::Uuid;

use super::entry::{self, Draft, Mark, Record};
use super::follow::{Local, Since};
use super::host;
use super::journal::Fenced;
use super::keeper::Order;
use super::publisher::{Answer, Request};
use super::{Position, PublishError};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Term;
use crate::right::Right;
use crate::time::Time;

/// How many requests go into one round of writing.
const AT_ONCE: usize = 1024;

/// Why it leads no more.
pub(super) enum Parting {
    /// Its node is demoted; all that was asked for before is done.
    Demoted(oneshot::Sender<()>),
    /// Its right is over, another's term is higher, or nobody keeps the replica any more.
    Over,
    /// It has to look at the journal's end before it can go on.
    InDoubt,
}

/// Leads from the end of the journal on.
pub(super) struct Lead<'a> {
    local: &'a mut Local,
    right: Right,
    mark: Mark,
    snapshot: Option<Writing>,
    /// Who waits for a snapshot that has not been begun.
    asked: Vec<Answer>,
    /// After a failure: no snapshot before this by itself.
    rested_at: Time,
}

/// A snapshot that is being written.
struct Writing {
    task: AbortOnDropHandle<Result<Fenced>>,
    position: u64,
    /// What it holds more than the one before.
    holds: Since,
    asked: Vec<Answer>,
}

/// How a put came out in the end.
enum Put {
    Done,
    Fenced(Term),
    /// Nothing was written.
    Failed(Error),
    /// The right ended before anything was sent.
    Never,
    Unknown,
}

impl<'a> Lead<'a> {
    pub(super) fn new(local: &'a mut Local, right: &Right) -> Self {
        let mark = Mark { writer: Uuid::now_v7(), id: 0 };
        Self { local, right: right.clone(), mark, snapshot: None, asked: Vec::new(), rested_at: Time::ZERO }
    }

    /// Serves requests until it has to part.
    pub(super) async fn serve(
        mut self,
        requests: &mut mpsc::Receiver<Request>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Parting {
        let mut some = Vec::new();
        let over = self.right.clone().over();
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => return Parting::Over,
                outcome = written(self.snapshot.as_mut()) => {
                    self.on_written(outcome);
                    self.may_snapshot().await;
                }
                order = orders.recv() => match order {
                    Some(Order::Demote(answer)) => {
                        self.flush(requests).await;
                        return Parting::Demoted(answer);
                    }
                    Some(Order::Promote(_, answer)) => {
                        let _gone = answer.send(Err("it leads already".to_owned()));
                    }
                    None => return Parting::Over,
                },
                _ = requests.recv_many(&mut some, AT_ONCE) => {
                    if let Some(parting) = self.write(mem::take(&mut some)).await {
                        return parting;
                    }
                }
            }
        }
    }

    /// Writes what was asked for before; what is asked for from now on finds nobody.
    async fn flush(&mut self, requests: &mut mpsc::Receiver<Request>) {
        self.local.shared.open(None);
        requests.close();
        let mut some = Vec::new();
        while requests.recv_many(&mut some, AT_ONCE).await > 0 {
            if self.write(mem::take(&mut some)).await.is_some() {
                refuse(requests);
            }
        }
    }

    /// Writes some requests, in as few entries as they fit, and answers each.
    async fn write(&mut self, requests: Vec<Request>) -> Option<Parting> {
        let (mut records, mut answers) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Publish(record, answer) => {
                    records.push(record);
                    answers.push(answer);
                }
                Request::Snapshot(answer) => self.asked.push(answer),
            }
        }
        if !records.is_empty()
            && let Some(parting) = self.publish(&records, answers).await
        {
            return Some(parting);
        }
        self.may_snapshot().await;
        None
    }

    async fn publish(&mut self, mut records: &[Record], answers: Vec<Answer>) -> Option<Parting> {
        let drafts = entry::pack(self.mark, self.local.position, records);
        let mut answers = answers.into_iter();
        for draft in drafts {
            let number = self.local.entry + 1;
            let put = self.put(number, &draft).await;
            self.mark.id += 1;
            let (failed, parting) = match put {
                Put::Done => {
                    let (whole, rest) = records.split_at(draft.ends);
                    records = rest;
                    if self.take_in(number, whole, &mut answers).await {
                        continue;
                    }
                    // What would have come in later entries was never sent.
                    (PublishError::Passive, Parting::InDoubt)
                }
                Put::Fenced(current) => (PublishError::Fenced { current }, Parting::Over),
                Put::Failed(error) => (PublishError::Failed(error), Parting::InDoubt),
                Put::Never => (PublishError::Passive, Parting::Over),
                Put::Unknown => {
                    answer_all(answers.by_ref().take(draft.ends), &PublishError::Unknown);
                    (PublishError::Passive, Parting::InDoubt)
                }
            };
            answer_all(answers, &failed);
            return Some(parting);
        }
        None
    }

    /// Applies what is in the journal now, and answers who published it. Whether the host could.
    async fn take_in(&mut self, number: u64, records: &[Record], answers: &mut impl Iterator<Item = Answer>) -> bool {
        let first = self.local.position;
        let (done, refused) = self.local.apply_own(number, records).await;
        for (position, answer) in (first + 1..).zip(answers.by_ref().take(done)) {
            let _gone = answer.send(Ok(Position(position)));
        }
        let Some(refused) = refused else { return true };
        answer_all(answers.take(records.len() - done), &PublishError::Refused(refused));
        false
    }

    /// Puts an entry, again and again for as long as the right lasts: no gap, and never twice.
    async fn put(&mut self, number: u64, draft: &Draft) -> Put {
        let mut sent = false;
        while self.right.is_valid() {
            match self.local.journal.append(number, self.mark, draft, self.right.lease()).await {
                Ok(Fenced::Done) => return Put::Done,
                Ok(Fenced::By(current)) => return Put::Fenced(current),
                Err(error) if error.is_retryable() => {
                    sent |= error.is_outcome_unknown();
                    let clock = &self.local.journal.clock;
                    let again = clock.now() + self.local.shared.pace.period / 20;
                    clock.sleep_until(again.min(self.right.ends_at())).await;
                }
                Err(_) if sent => return Put::Unknown,
                Err(error) => return Put::Failed(error),
            }
        }
        if sent { Put::Unknown } else { Put::Never }
    }

    /// Begins a snapshot if one is asked for, or due, and none is being written. The state is that of the last record: nothing is applied meanwhile.
    async fn may_snapshot(&mut self) {
        let (pace, since, now) = (self.local.shared.pace, self.local.since, self.local.journal.clock.now());
        let is_due = (since.records >= pace.records || since.bytes >= pace.bytes) && now >= self.rested_at;
        if self.snapshot.is_some() || (self.asked.is_empty() && !is_due) {
            return;
        }
        let (entry, position, asked) = (self.local.entry, self.local.position, mem::take(&mut self.asked));
        let state = match host::snapshot(&*self.local.shared.host).await {
            Ok(state) => state,
            Err(why) => {
                self.rested_at = now + pace.period;
                answer_all(asked, &PublishError::Refused(why));
                return;
            }
        };
        let (journal, lease) = (self.local.journal.clone(), self.right.lease().clone());
        self.local.since = Since::default();
        let writing = async move {
            // Without an entry there is nothing to cut, and nobody who could be behind it.
            if entry == 0 { Ok(Fenced::Done) } else { journal.write(&state, entry, position, &lease).await }
        };
        let task = AbortOnDropHandle::new(tokio::spawn(writing));
        self.snapshot = Some(Writing { task, position, holds: since, asked });
    }

    fn on_written(&mut self, outcome: Result<Fenced>) {
        let Some(Writing { position, holds, asked, .. }) = self.snapshot.take() else { return };
        let failed = match outcome {
            Ok(Fenced::Done) => {
                for answer in asked {
                    let _gone = answer.send(Ok(Position(position)));
                }
                return;
            }
            Ok(Fenced::By(current)) => PublishError::Fenced { current },
            Err(error) => {
                warn!(%error, replica = self.local.shared.name(), "a snapshot could not be written; the one before counts");
                PublishError::Failed(error)
            }
        };
        self.rested_at = self.local.journal.clock.now() + self.local.shared.pace.period;
        self.local.since.records += holds.records;
        self.local.since.bytes += holds.bytes;
        answer_all(asked, &failed);
    }
}

/// How the snapshot that is being written came out; never, if none is. Cancel safe.
async fn written(writing: Option<&mut Writing>) -> Result<Fenced> {
    let Some(writing) = writing else { return std::future::pending().await };
    (&mut writing.task)
        .await
        .unwrap_or_else(|panic| Err(Error::new(ErrorKind::Unknown, "snapshot", format!("its task ended: {panic}"))))
}

fn answer_all(answers: impl IntoIterator<Item = Answer>, failed: &PublishError) {
    for answer in answers {
        let _gone = answer.send(Err(failed.clone()));
    }
}

/// Answers whoever still waits that nothing was published for them.
pub(super) fn refuse(requests: &mut mpsc::Receiver<Request>) {
    requests.close();
    while let Ok(Request::Publish(_, answer) | Request::Snapshot(answer)) = requests.try_recv() {
        let _gone = answer.send(Err(PublishError::Passive));
    }
}
