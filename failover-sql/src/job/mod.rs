//! [`JobAssigner`] on SQL: one row for each job, one for each removal that the feed still tells.
//!
//! What a move or a report does to a record is decided by [`failover_core::rules`], inside the transaction that read it.

mod at_once;
mod row;

use std::collections::BTreeMap;

use async_trait::async_trait;
use failover_core::job::{Assigned, Changes, JobChange, JobReport, Move, Removed, Reported, Revised, Submitted};
use failover_core::rules::{self, Next};
use failover_core::time::Stamp;
use failover_core::{Epoch, JobAssigner, JobId, JobSpec, Lease, Result, Revision};

use crate::dialect::Lane;
use crate::keys::JOBS;
use crate::store::SqlStore;

#[async_trait]
impl JobAssigner for SqlStore {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        self.write("submit", Lane::Durable, move |tx| {
            Box::pin(async move {
                let mut counters = tx.counters().await?;
                if let Some(there) = tx.job(spec.id()).await? {
                    return Ok(rules::submit(&there, spec));
                }
                let epoch = Epoch(tx.unbury(spec.id()).await?.unwrap_or(counters.epoch_floor));
                tx.insert(&mut counters, &rules::queued(spec, epoch, Revision::ZERO)).await?;
                Ok(Submitted::Created)
            })
        })
        .await
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        self.write("revise", Lane::Durable, move |tx| {
            Box::pin(async move {
                let mut counters = tx.counters().await?;
                let Some(there) = tx.job(spec.id()).await? else { return Ok(Revised::Absent) };
                let (answer, next) = rules::revise(&there, spec);
                if let Next::Put(record) = next {
                    tx.respec(&mut counters, &record).await?;
                }
                Ok(answer)
            })
        })
        .await
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        self.write("remove", Lane::Durable, move |tx| {
            Box::pin(async move {
                let mut counters = tx.counters().await?;
                let Some(there) = tx.job(job).await? else { return Ok(Removed::Absent) };
                let (answer, next) = rules::remove(&there);
                tx.apply(&mut counters, vec![(job, next)]).await?;
                Ok(answer)
            })
        })
        .await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        rules::check_limit("changes", limit)?;
        self.read("changes", Lane::Durable, move |tx| {
            Box::pin(async move {
                let counters = tx.counters().await?;
                // From before the oldest removal still known, or from a future this store has never had.
                let reset = since.0 > 0 && since.0 < counters.feed_floor || since.0 > counters.revision;
                let since = if reset { 0 } else { since.0 };
                let mut changes = tx.changed_jobs(since, limit).await?;
                let more = changes.len() > limit;
                changes.truncate(limit);
                let last = changes.last().map(JobChange::revision);
                let upto = last.filter(|_| more).unwrap_or(Revision(counters.revision));
                Ok(Changes { reset, changes, upto, more })
            })
        })
        .await
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        rules::check_moves("assign", moves)?;
        let at = Stamp::now();
        if let Some(revision) = self.assign_at_once(fence, moves, at).await? {
            return Ok(Assigned::Applied(revision));
        }
        self.write("assign", Lane::Durable, move |tx| {
            Box::pin(async move {
                let mut counters = tx.counters().await?;
                let (fenced, rows) = tx.fence_and_jobs(fence, moves.iter().map(|wanted| &wanted.job)).await?;
                if let Some(current) = tx.install(JOBS, fence, fenced).await? {
                    return Ok(Assigned::Fenced { current });
                }
                let there = row::jobs(&rows)?;
                let (mut steps, mut stale) = (Vec::with_capacity(moves.len()), Vec::new());
                for wanted in moves {
                    match there.get(&wanted.job).and_then(|there| rules::step(there, wanted, at)) {
                        Some(next) => steps.push((&wanted.job, next)),
                        None => stale.push(wanted.job.clone()),
                    }
                }
                if !stale.is_empty() {
                    return Ok(Assigned::Stale(stale));
                }
                tx.apply(&mut counters, steps).await?;
                Ok(Assigned::Applied(Revision(counters.revision)))
            })
        })
        .await
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        rules::check_reports("report", reports)?;
        let at = Stamp::now();
        self.write("report", Lane::Durable, move |tx| {
            Box::pin(async move {
                let mut counters = tx.counters().await?;
                let mut there = tx.jobs(reports.iter().map(|said| &said.job)).await?;
                let mut answers = Vec::with_capacity(reports.len());
                // One by one, as if each were a call: a later report of a job is judged by what an earlier one made of it, and
                // only the last of a job's changes is written.
                let mut nexts: BTreeMap<&JobId, Next> = BTreeMap::new();
                for said in reports {
                    let next = there.get(&said.job).and_then(|there| rules::report(there, said, at));
                    answers.push(if next.is_some() { Reported::Accepted } else { Reported::Stale });
                    match next {
                        None | Some(Next::Same) => continue,
                        Some(Next::Put(ref record)) => there.insert(said.job.clone(), record.clone()),
                        Some(Next::Gone { .. }) => there.remove(&said.job),
                    };
                    nexts.extend(next.map(|next| (&said.job, next)));
                }
                tx.apply(&mut counters, nexts.into_iter().collect()).await?;
                Ok(answers)
            })
        })
        .await
    }

    async fn changed(&self) -> Result<()> {
        self.changed_in(JOBS).await
    }
}
