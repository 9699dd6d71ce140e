//! The feed: the keys of all jobs in the order of their revisions, which etcd keeps by itself, compaction or not.

use std::collections::HashMap;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, SortOrder, SortTarget, Txn, TxnOp};
use failover_core::job::{Changes, JobChange};
use failover_core::{Error, ErrorKind, JobId, JobSpec, Result, Revision};

use super::record::{Job, Kept, Stored, end_of, etcd_revision, head, parse_spec, start_of};
use crate::connection::{Access, Call};
use crate::keys::{self, JOBS};
use crate::store::Shared;
use crate::txn::{Entry, kvs, send};

/// The most changes in one answer.
const MAX_PAGE: usize = 1000;

/// More than two revisions can have changes: what is read besides a page, so that it ends where a revision does.
const BESIDES: usize = 256;

/// How many specs are read in one request, with payloads of up to 64 KiB each.
const SPECS: usize = 64;

/// A stretch of the feed as it was read.
struct Stretch {
    /// The last position of all; nothing if no job was ever changed.
    head: Revision,
    /// Removals up to here were dropped: a reader from before may have missed one.
    floor: Revision,
    found: Vec<(JobId, Stored)>,
    /// Up to where the stretch is complete.
    complete: Revision,
    /// The revision of the read.
    at: i64,
}

impl Shared {
    pub(super) async fn changes(&self, call: &Call, since: Revision, limit: usize) -> Result<Changes> {
        let limit = limit.min(MAX_PAGE);
        let mut stretch = self.stretch(call, since, limit).await?;
        // From before the oldest removal still known, or from a future this store has never had.
        let reset = since > Revision::ZERO && (since < stretch.floor || since > stretch.head);
        let full = reset || since == Revision::ZERO;
        let mut from = if reset { Revision::ZERO } else { since };
        if reset {
            stretch = self.stretch(call, from, limit).await?;
        }
        loop {
            let Stretch { head, found, complete, at, .. } = stretch;
            let told = found.into_iter().filter(|(_, stored)| stored.position > from && stored.position <= complete);
            let mut told: Vec<_> = told.filter(|(_, stored)| !full || matches!(stored.kept, Kept::Job(_))).collect();
            told.sort_by_key(|(_, stored)| stored.position);
            let cut = told.len() > limit;
            told.truncate(limit);
            let more = cut || complete < head;
            let last = told.last().map(|(_, stored)| stored.position);
            let upto = if cut { last.unwrap_or(complete) } else { complete };
            if told.is_empty() && more {
                // All of it were removals, which a full read does not tell.
                from = upto;
                stretch = self.stretch(call, from, limit).await?;
                continue;
            }
            match self.with_specs(call, told, at).await {
                Ok(changes) => return Ok(Changes { reset, changes, upto, more }),
                // A job has changed since the stretch was read: read again.
                Err(None) => stretch = self.stretch(call, from, limit).await?,
                Err(Some(error)) => return Err(error),
            }
        }
    }

    /// The position of the last change of any job.
    pub(super) async fn feed_head(&self, call: &Call) -> Result<Revision> {
        let view = self.fetch(call, &self.durable, &[self.keys.hint(JOBS)]).await?;
        Ok(head(view.at(0)))
    }

    /// Reads at least `limit` changes after a position, if there are as many, and all of each revision it reads of.
    async fn stretch(&self, call: &Call, since: Revision, limit: usize) -> Result<Stretch> {
        let marker = self.keys.hint(JOBS);
        let first = etcd_revision(Revision(since.0 + 1));
        let most = limit + BESIDES;
        let options = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Mod, SortOrder::Ascend)
            .with_min_mod_revision(first.max(1))
            .with_limit(i64::try_from(most).unwrap_or(i64::MAX));
        let gets = vec![
            TxnOp::get(marker.as_str(), None),
            TxnOp::get(self.keys.feed(), None),
            TxnOp::get(self.keys.all_jobs(), Some(options)),
        ];
        // Where nothing is new, which is the usual case, the servers need not look at the jobs.
        let news = Compare::mod_revision(marker.as_str(), CompareOp::Greater, first - 1);
        let compares: Vec<Compare> = self.same_store().into_iter().chain([news]).collect();
        let short = [self.get_meta(), TxnOp::get(marker, None), TxnOp::get(self.keys.feed(), None)];
        let txn = Txn::new().when(compares).and_then(gets).or_else(short);
        let before = self.revision();
        let response = send(call, &self.durable, Access::Read, &txn).await.map_err(|fault| call.error(fault))?;
        let at = self.take_in(call, response.header(), before)?;
        let mut answers = response.op_responses();
        if !response.succeeded() {
            if let Some(error) = self.judge(call, kvs(answers.first()).first()) {
                return Err(error);
            }
            answers.remove(0);
        }
        let head = kvs(answers.first()).first().map_or(Revision::ZERO, |kv| end_of(kv.mod_revision()));
        let floor = kvs(answers.get(1)).first().map_or(Ok(Revision::ZERO), |kv| floor(call, kv.value()))?;
        let rows = kvs(answers.get(2));
        let found = rows.iter().map(|kv| self.stored(call, kv)).collect::<Result<Vec<_>>>()?;
        // The last revision may have been cut off in its midst.
        let last = rows.last().filter(|_| rows.len() >= most).map(KeyValue::mod_revision);
        let complete = last.map_or(head, |last| Revision(start_of(last).0 - 1));
        Ok(Stretch { head, floor, found, complete, at })
    }

    pub(super) fn stored(&self, call: &Call, kv: &KeyValue) -> Result<(JobId, Stored)> {
        let id = kv.key_str().ok().and_then(|key| JobId::new(key.strip_prefix(&self.keys.all_jobs())?).ok());
        let id = id.ok_or_else(|| keys::corrupt(call.operation, "a job"))?;
        let stored = Stored::parse(call, &id, &Entry::of(kv))?;
        Ok((id, stored))
    }

    /// Adds the specs that are kept apart, as they were at the same revision. Nothing as an error if that has been compacted.
    async fn with_specs(
        &self,
        call: &Call,
        told: Vec<(JobId, Stored)>,
        at: i64,
    ) -> Result<Vec<JobChange>, Option<Error>> {
        let apart = told.iter().filter(|(_, stored)| matches!(&stored.kept, Kept::Job(job) if !job.inline));
        let apart: Vec<JobId> = apart.map(|(id, _)| id.clone()).collect();
        let mut specs: HashMap<JobId, JobSpec> = HashMap::new();
        for some in apart.chunks(SPECS) {
            let options = GetOptions::new().with_revision(at);
            let gets = some.iter().map(|id| TxnOp::get(self.keys.spec(id), Some(options.clone()))).collect();
            let (answers, _, _) = match self.read(call, &self.durable, gets).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && error.to_string().contains("compacted") => {
                    return Err(None);
                }
                answer => answer.map_err(Some)?,
            };
            for (id, answer) in some.iter().zip(&answers) {
                if let Some(kv) = kvs(Some(answer)).first() {
                    specs.insert(id.clone(), parse_spec(call, id, kv.value()).map_err(Some)?);
                }
            }
        }
        let mut change = |(id, stored): (JobId, Stored)| match stored.kept {
            Kept::Gone { .. } => Ok(JobChange::Removed { id, revision: stored.position }),
            Kept::Job(job) => Ok(JobChange::Put(Job::whole(*job, call, specs.remove(&id))?)),
        };
        told.into_iter().map(|told| change(told).map_err(Some)).collect()
    }
}

pub(super) fn floor(call: &Call, value: &[u8]) -> Result<Revision> {
    let text = keys::text(call.operation, "the feed", value)?;
    text.parse().map(Revision).map_err(|_| keys::corrupt(call.operation, "the feed"))
}
