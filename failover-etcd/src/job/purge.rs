//! Dropping old removals, so that names that come and go do not fill the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use etcd_client::{GetOptions, SortOrder, SortTarget, TxnOp};
use failover_core::{JobId, Result, Revision};

use super::Writes;
use super::feed::floor;
use super::record::{Kept, Stored, end_of};
use crate::connection::Call;
use crate::keys;
use crate::store::Shared;
use crate::txn::{Op, Plan, View, kvs};

/// How many removals are remembered before the older half of them is dropped.
const MAX_REMOVED: usize = 1000;

/// How many keys are read, and how many are written, in one transaction.
const PAGE: i64 = 1000;
const CHUNK: usize = 100;

/// A key of a job as it was found.
struct Found {
    id: JobId,
    modified: i64,
    gone: Option<u64>,
}

/// Drops the older half of the removals, if there are too many. One at a time; what fails is left for the next.
pub(super) async fn purge(shared: Arc<Shared>) {
    if shared.purging.swap(true, Ordering::AcqRel) {
        return;
    }
    if let Err(error) = shared.purge(&Call::new("purge")).await {
        tracing::debug!(cluster = %shared.cluster, %error, "old removals were not dropped");
    }
    shared.purging.store(false, Ordering::Release);
}

impl Shared {
    /// What was known of the dropped removals goes into two floors: no new job starts at an epoch below any of theirs, and a
    /// reader from before the last of them starts over.
    ///
    /// Jobs that last changed below the new floor of the feed are told again first, at its end. Otherwise a full read in pages
    /// would come to a position below the floor, be told to start over, and never end.
    async fn purge(&self, call: &Call) -> Result<()> {
        let found = self.within(call, self.all_found(call)).await?;
        let gone: Vec<&Found> = found.iter().filter(|found| found.gone.is_some()).collect();
        if gone.len() <= MAX_REMOVED {
            return Ok(());
        }
        // All of a revision or none of it.
        let last = gone[gone.len() / 2].modified;
        let behind = |found: &&Found| found.modified <= last;
        let jobs: Vec<&Found> = found.iter().filter(behind).filter(|found| found.gone.is_none()).collect();
        for some in jobs.chunks(CHUNK) {
            self.rewrite(call, some, |writes, id, stored| match stored.kept {
                Kept::Job(job) => {
                    let inline = job.inline;
                    writes.put(&Call::new("purge"), &job.record(), inline)
                }
                Kept::Gone { .. } => Err(keys::corrupt("purge", &super::record::what(id))),
            })
            .await?;
        }
        let epoch = gone.iter().copied().filter(behind).filter_map(|found| found.gone).max().unwrap_or(0);
        self.raise(call, 0, epoch).await?;
        let upto = end_of(last);
        let key = [self.keys.feed()];
        let decide = |view: &View| {
            let there = view.at(0).map_or(Ok(Revision::ZERO), |entry| floor(call, &entry.value))?;
            if there >= upto {
                return Ok(Plan::Answer(()));
            }
            Ok(Plan::Write(vec![Op::put(key[0].clone(), keys::value(upto))], ()))
        };
        self.within(call, self.transact(call, &self.durable, &key, decide)).await?;
        let old: Vec<&Found> = gone.into_iter().filter(behind).collect();
        for some in old.chunks(CHUNK) {
            self.rewrite(call, some, |writes, id, _| {
                writes.ops.push(Op::Delete { key: self.keys.job(id) });
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Writes to those of these keys that have not changed since they were found.
    async fn rewrite(
        &self,
        call: &Call,
        some: &[&Found],
        mut write: impl FnMut(&mut Writes<'_>, &JobId, Stored) -> Result<()>,
    ) -> Result<()> {
        let named: Vec<String> = some.iter().map(|found| self.keys.job(&found.id)).collect();
        let decide = |view: &View| {
            let mut writes = Writes::new(self);
            for (index, found) in some.iter().enumerate() {
                if let Some(entry) = view.at(index).filter(|entry| entry.modified == found.modified) {
                    write(&mut writes, &found.id, Stored::parse(call, &found.id, entry)?)?;
                }
            }
            let ops = writes.done();
            if ops.is_empty() { Ok(Plan::Answer(())) } else { Ok(Plan::Write(ops, ())) }
        };
        self.within(call, self.transact(call, &self.durable, &named, decide)).await?;
        Ok(())
    }

    /// All keys of jobs, the longest unchanged first.
    async fn all_found(&self, call: &Call) -> Result<Vec<Found>> {
        let mut all: Vec<Found> = Vec::new();
        let mut from = 1;
        loop {
            let options = GetOptions::new().with_prefix().with_sort(SortTarget::Mod, SortOrder::Ascend);
            let options = options.with_min_mod_revision(from).with_limit(PAGE);
            let get = TxnOp::get(self.keys.all_jobs(), Some(options));
            let (answers, _, _) = self.read(call, &self.durable, vec![get]).await?;
            let rows = kvs(answers.first());
            let complete = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            // The last revision of a page may have been cut off; it is read again.
            let cut = rows.last().map(etcd_client::KeyValue::mod_revision).filter(|_| !complete);
            for kv in rows.iter().filter(|kv| Some(kv.mod_revision()) != cut) {
                let (id, stored) = self.stored(call, kv)?;
                let gone = match stored.kept {
                    Kept::Gone { epoch } => Some(epoch.0),
                    Kept::Job(_) => None,
                };
                all.push(Found { id, modified: kv.mod_revision(), gone });
            }
            match cut {
                Some(revision) => from = revision,
                None => return Ok(all),
            }
        }
    }
}
