//! [`JobAssigner`] on etcd: one key for each job, which stays when the job is removed, as what is remembered of it.
//!
//! What a move or a report does to a record is decided by [`failover_core::rules`], between a read and a write that is
//! conditional on it. A batch of 100 moves writes one key a job, a fence and a hint: within the 128 operations that etcd allows.

mod feed;
mod purge;
mod record;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use failover_core::job::{Assigned, Changes, JobReport, Move, Removed, Reported, Revised, Submitted};
use failover_core::rules::{self, Next};
use failover_core::time::Stamp;
use failover_core::{Epoch, JobAssigner, JobId, JobRecord, JobSpec, Lease, Result, Revision, Term};

use crate::connection::Call;
use crate::keys::JOBS;
use crate::store::{EtcdStore, Shared};
use crate::txn::{Entry, Op, Plan, View};
use record::{Kept, Stored};

pub(crate) use record::run_prefix;

/// The most operations of a transaction, some below what etcd allows.
const MAX_OPS: usize = 120;

/// One removal in so many looks whether there are too many that are remembered.
const LOOK: u64 = 128;

#[async_trait]
impl JobAssigner for EtcdStore {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        let shared = &*self.shared;
        let call = Call::new("submit");
        let id = spec.id();
        let named = [shared.keys.job(id), shared.keys.spec(id), shared.keys.floor()];
        let decide = |view: &View| {
            let epoch = match there(&call, id, view)? {
                There::Job(there) => return Ok(Plan::Answer(rules::submit(&there, spec))),
                There::Gone { epoch } => epoch,
                There::Nothing => Epoch(Shared::first_epoch(&call, view, 2)?),
            };
            let mut writes = Writes::new(shared);
            writes.put_whole(&call, &rules::queued(spec, epoch, Revision::ZERO), view.at(1))?;
            Ok(Plan::Write(writes.done(), Submitted::Created))
        };
        let (answer, _) = shared.within(&call, shared.transact(&call, &shared.durable, &named, decide)).await?;
        Ok(answer)
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        let shared = &*self.shared;
        let call = Call::new("revise");
        let id = spec.id();
        let named = [shared.keys.job(id), shared.keys.spec(id)];
        let decide = |view: &View| {
            let There::Job(there) = there(&call, id, view)? else { return Ok(Plan::Answer(Revised::Absent)) };
            let (answer, next) = rules::revise(&there, spec);
            let Next::Put(record) = next else { return Ok(Plan::Answer(answer)) };
            let mut writes = Writes::new(shared);
            writes.put_whole(&call, &record, view.at(1))?;
            Ok(Plan::Write(writes.done(), answer))
        };
        let (answer, _) = shared.within(&call, shared.transact(&call, &shared.durable, &named, decide)).await?;
        Ok(answer)
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        let call = Call::new("remove");
        let (answer, _) = self
            .change(&call, &[job], None, |records, writes| {
                let Some(there) = records.get(job) else { return Ok(Removed::Absent) };
                let (answer, next) = rules::remove(&there.record);
                writes.apply(&call, there, next)?;
                Ok(answer)
            })
            .await?;
        Ok(answer)
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        rules::check_limit("changes", limit)?;
        let call = Call::new("changes");
        self.shared.within(&call, self.shared.changes(&call, since, limit)).await
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        rules::check_moves("assign", moves)?;
        let (call, at) = (Call::new("assign"), Stamp::now());
        let jobs: Vec<&JobId> = moves.iter().map(|wanted| &wanted.job).collect();
        let (answer, head) = self
            .change(&call, &jobs, Some(fence), |records, writes| {
                if let Some(current) = writes.fenced {
                    return Ok(Assigned::Fenced { current });
                }
                let (mut steps, mut stale) = (Vec::with_capacity(moves.len()), Vec::new());
                for wanted in moves {
                    let there = records.get(&wanted.job);
                    match there.and_then(|there| Some((there, rules::step(&there.record, wanted, at)?))) {
                        Some(step) => steps.push(step),
                        None => stale.push(wanted.job.clone()),
                    }
                }
                if !stale.is_empty() {
                    return Ok(Assigned::Stale(stale));
                }
                for (there, next) in steps {
                    writes.apply(&call, there, next)?;
                }
                Ok(Assigned::Applied(Revision::ZERO))
            })
            .await?;
        match (answer, head) {
            (Assigned::Applied(_), Some(head)) => Ok(Assigned::Applied(head)),
            // Nothing was written.
            (Assigned::Applied(_), None) => {
                let head = self.shared.within(&call, self.shared.feed_head(&call)).await?;
                Ok(Assigned::Applied(head))
            }
            (answer, _) => Ok(answer),
        }
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        rules::check_reports("report", reports)?;
        let (call, at) = (Call::new("report"), Stamp::now());
        let jobs: Vec<&JobId> = reports.iter().map(|said| &said.job).collect();
        let (answers, _) = self
            .change(&call, &jobs, None, |records, writes| {
                // What each report leaves behind, for the next one about the same job; nothing once it is gone.
                let mut now: HashMap<&JobId, Option<JobRecord>> = HashMap::new();
                let mut answers = Vec::with_capacity(reports.len());
                let mut last: HashMap<&JobId, Next> = HashMap::new();
                for said in reports {
                    let there = now.entry(&said.job);
                    let there = there.or_insert_with(|| records.get(&said.job).map(|there| there.record.clone()));
                    let next = there.as_ref().and_then(|there| rules::report(there, said, at));
                    answers.push(if next.is_some() { Reported::Accepted } else { Reported::Stale });
                    match &next {
                        None | Some(Next::Same) => continue,
                        Some(Next::Put(record)) => *there = Some(record.clone()),
                        Some(Next::Gone { .. }) => *there = None,
                    }
                    last.insert(&said.job, next.unwrap_or(Next::Same));
                }
                for (job, there) in records {
                    if let Some(next) = last.remove(job) {
                        writes.apply(&call, there, next)?;
                    }
                }
                Ok(answers)
            })
            .await?;
        Ok(answers)
    }

    async fn changed(&self) -> Result<()> {
        self.changed_in(JOBS).await
    }
}

/// What is there under a job's name.
enum There {
    Job(Box<JobRecord>),
    Gone { epoch: Epoch },
    Nothing,
}

/// The same, in a view of the job's record and of the key of its spec.
fn there(call: &Call, id: &JobId, view: &View) -> Result<There> {
    match view.at(0).map(|entry| Stored::parse(call, id, entry)).transpose()? {
        None => Ok(There::Nothing),
        Some(Stored { kept: Kept::Gone { epoch }, .. }) => Ok(There::Gone { epoch }),
        Some(Stored { kept: Kept::Job(job), .. }) => {
            let apart = view.at(1).filter(|_| !job.inline);
            let spec = apart.map(|entry| record::parse_spec(call, id, &entry.value)).transpose()?;
            Ok(There::Job(Box::new(job.whole(call, spec)?)))
        }
    }
}

/// A job to be moved.
struct Found {
    /// Without the spec, if that is kept elsewhere: no rule that moves a job looks at it.
    record: JobRecord,
    /// Whether the spec is in the record.
    inline: bool,
}

impl EtcdStore {
    /// Changes some jobs, under a fence if one is given. Returns the answer, and where the feed ends if anything was written.
    async fn change<T>(
        &self,
        call: &Call,
        jobs: &[&JobId],
        fence: Option<&Lease>,
        mut decide: impl FnMut(&HashMap<JobId, Found>, &mut Writes<'_>) -> Result<T>,
    ) -> Result<(T, Option<Revision>)> {
        let shared = &self.shared;
        let mut jobs = jobs.to_vec();
        jobs.sort_unstable();
        jobs.dedup();
        let mut named: Vec<String> = jobs.iter().map(|job| shared.keys.job(job)).collect();
        named.extend(fence.map(|lease| shared.keys.job_fence(&lease.name)));
        let plan = |view: &View| {
            let mut writes = Writes::new(shared);
            let mut records = HashMap::with_capacity(jobs.len());
            if let Some(lease) = fence {
                let key = named.last().map_or("", String::as_str);
                writes.fence(call, lease, key, view.at(jobs.len()))?;
            }
            for (index, job) in jobs.iter().enumerate() {
                let Some(entry) = view.at(index) else { continue };
                if let Kept::Job(kept) = Stored::parse(call, job, entry)?.kept {
                    let inline = kept.inline;
                    records.insert((*job).clone(), Found { record: kept.record(), inline });
                }
            }
            let answer = decide(&records, &mut writes)?;
            let (grown, buried) = (writes.grown, writes.buried);
            let ops = writes.done();
            if ops.is_empty() {
                Ok(Plan::Answer((answer, grown, buried)))
            } else {
                Ok(Plan::Write(ops, (answer, grown, buried)))
            }
        };
        // Where only the fence is written, the feed has not grown by it.
        let marker = [shared.keys.hint(JOBS)];
        let others = if jobs.is_empty() { &marker[..] } else { &[] };
        let done = shared.transact_and_read(call, &shared.durable, &named, others, plan);
        let ((answer, grown, buried), revision, read) = shared.within(call, done).await?;
        if (0..buried).any(|n| RandomState::new().hash_one(n).is_multiple_of(LOOK)) {
            // Not the caller's to wait for. Whoever removes enough comes here often enough.
            tokio::spawn(purge::purge(Arc::clone(shared)));
        }
        let head = if grown {
            Some(record::end_of(revision))
        } else {
            read.as_deref().and_then(<[_]>::first).map(|marker| record::head(marker.as_ref()))
        };
        Ok((answer, head))
    }
}

/// The writes of one transaction about jobs.
struct Writes<'s> {
    shared: &'s Shared,
    ops: Vec<Op>,
    /// The place of the next change among those of its transaction, which share a revision.
    place: u64,
    grown: bool,
    buried: u32,
    /// The term that has raised the fence higher.
    fenced: Option<Term>,
    /// Specs to delete, where there is room for it: what is left of them a later submission clears away.
    orphans: Vec<Op>,
}

impl<'s> Writes<'s> {
    fn new(shared: &'s Shared) -> Self {
        Self { shared, ops: Vec::new(), place: 0, grown: false, buried: 0, fenced: None, orphans: Vec::new() }
    }

    fn fence(&mut self, call: &Call, lease: &Lease, key: &str, there: Option<&Entry>) -> Result<()> {
        match crate::fence::pass(call, lease, key, there)? {
            Ok(raised) => self.ops.extend(raised),
            Err(current) => self.fenced = Some(current),
        }
        Ok(())
    }

    /// Writes what the rules made of a job.
    fn apply(&mut self, call: &Call, there: &Found, next: Next) -> Result<()> {
        match next {
            Next::Same => Ok(()),
            Next::Put(record) => self.put(call, &record, there.inline),
            Next::Gone { epoch } => {
                let id = there.record.spec.id();
                let op = Op::put(self.shared.keys.job(id), record::gone(epoch, self.place));
                self.change(op);
                self.buried += 1;
                if !there.inline {
                    self.orphans.push(Op::Delete { key: self.shared.keys.spec(id) });
                }
                Ok(())
            }
        }
    }

    /// Writes a job with its spec, in place of what is under the spec's key.
    fn put_whole(&mut self, call: &Call, job: &JobRecord, apart: Option<&Entry>) -> Result<()> {
        let key = self.shared.keys.spec(job.spec.id());
        let value = record::spec_apart(call, &job.spec)?;
        self.put(call, job, value.is_none())?;
        match value {
            Some(value) => self.ops.push(Op::put(key, value)),
            None => self.ops.extend(apart.map(|_| Op::Delete { key })),
        }
        Ok(())
    }

    fn put(&mut self, call: &Call, job: &JobRecord, inline: bool) -> Result<()> {
        let value = record::value(call, job, self.place, inline)?;
        self.change(Op::put(self.shared.keys.job(job.spec.id()), value));
        Ok(())
    }

    fn change(&mut self, op: Op) {
        self.ops.push(op);
        self.place += 1;
        self.grown = true;
    }

    fn done(mut self) -> Vec<Op> {
        if self.grown {
            self.ops.push(Op::hint(self.shared, JOBS));
            let room = MAX_OPS.saturating_sub(self.ops.len());
            self.ops.extend(self.orphans.into_iter().take(room));
        }
        self.ops
    }
}
