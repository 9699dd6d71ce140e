use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use failover_core::job::{
    Assigned, Changes, JobAssigner, JobChange, JobRecord, JobReport, JobSpec, Move, Removed, Reported, Revised,
    Submitted,
};
use failover_core::lease::Lease;
use failover_core::rules::{self, Next};
use failover_core::time::Stamp;
use failover_core::{Epoch, Error, ErrorKind, JobId, Result, Revision, Term};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::NatsStore;
use crate::blob::Blobs;
use crate::keys::Topic;
use crate::state::Fences;
use crate::table::{Area, Blob, Table};

/// How many removals are remembered at most.
const MAX_REMOVALS: usize = 1000;

/// All jobs. Their payloads are kept beside the table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Jobs {
    entries: BTreeMap<JobId, Entry>,
    /// The last epoch of names that have no job any more, and when it went.
    removals: BTreeMap<JobId, Removal>,
    head: Revision,
    /// Removals up to here were dropped: a reader from before may have missed one.
    feed_floor: Revision,
    /// No name whose removal was dropped had a higher epoch.
    epoch_floor: Epoch,
    fences: Fences,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// With a spec that has an empty payload.
    record: JobRecord,
    payload: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Removal {
    revision: Revision,
    epoch: Epoch,
}

impl Table for Jobs {
    const AREA: Area = Area::Jobs;
}

/// The same job with another payload.
fn with_payload(spec: &JobSpec, payload: String) -> Result<JobSpec> {
    let spec = spec.clone().with_payload(payload);
    spec.map_err(|e| Error::new(ErrorKind::Corrupt, "changes", "a job breaks the rules of jobs").with_source(e))
}

impl Jobs {
    pub(crate) fn payloads(&self) -> BTreeSet<Uuid> {
        self.entries.values().map(|entry| entry.payload).collect()
    }

    /// Jobs that are new to this store begin above the floor.
    pub(crate) fn go_on_above(&mut self, floor: Term) {
        self.epoch_floor = self.epoch_floor.max(Epoch(floor.0));
    }

    /// Whether it was added: not if there is one of this name.
    fn submit(&mut self, spec: &JobSpec, payload: Uuid) -> bool {
        if self.entries.contains_key(spec.id()) {
            return false;
        }
        let epoch = self.removals.remove(spec.id()).map_or(self.epoch_floor, |removal| removal.epoch);
        self.head = self.head.next();
        let entry = Entry { record: rules::queued(spec, epoch, self.head), payload };
        self.entries.insert(spec.id().clone(), entry);
        true
    }

    /// Whether it was made like this: not if it has changed since `seen`. With it the payload that nothing names any more.
    fn revise(&mut self, spec: &JobSpec, payload: Uuid, seen: Revision) -> (bool, Uuid) {
        let there = self.entries.get_mut(spec.id()).filter(|entry| entry.record.revision == seen);
        let Some(entry) = there else { return (false, payload) };
        self.head = self.head.next();
        let record = JobRecord { spec: spec.clone(), ..entry.record.clone() };
        let before = std::mem::replace(entry, Entry { record: record.at_revision(self.head), payload });
        (true, before.payload)
    }

    /// Carries out what the rules say; the payload that nothing names any more.
    fn apply(&mut self, id: &JobId, next: Next) -> Option<Uuid> {
        match next {
            Next::Same => None,
            Next::Put(record) => {
                self.head = self.head.next();
                let entry = self.entries.get_mut(id)?;
                entry.record = record.at_revision(self.head);
                None
            }
            Next::Gone { epoch } => {
                self.head = self.head.next();
                self.removals.insert(id.clone(), Removal { revision: self.head, epoch });
                if self.removals.len() > MAX_REMOVALS {
                    self.drop_removals();
                }
                self.entries.remove(id).map(|entry| entry.payload)
            }
        }
    }

    /// Drops the older half of the removals. Jobs that lie behind the new floor are told again at the end of the feed: a
    /// reader that is paging through them would otherwise be sent back to the start for ever.
    fn drop_removals(&mut self) {
        let mut oldest: Vec<(JobId, Removal)> = self.removals.iter().map(|(id, r)| (id.clone(), *r)).collect();
        oldest.sort_by_key(|(_, removal)| removal.revision);
        for (id, removal) in oldest.into_iter().take(MAX_REMOVALS / 2) {
            self.removals.remove(&id);
            self.feed_floor = self.feed_floor.max(removal.revision);
            self.epoch_floor = self.epoch_floor.max(removal.epoch);
        }
        let floor = self.feed_floor;
        let mut behind: Vec<&mut JobRecord> = self
            .entries
            .values_mut()
            .map(|entry| &mut entry.record)
            .filter(|record| record.revision <= floor)
            .collect();
        behind.sort_by_key(|record| record.revision);
        for record in behind {
            self.head = self.head.next();
            record.revision = self.head;
        }
    }

    fn remove(&mut self, job: &JobId) -> (Removed, Option<Uuid>) {
        let Some(entry) = self.entries.get(job) else { return (Removed::Absent, None) };
        let (answer, next) = rules::remove(&entry.record);
        (answer, self.apply(job, next))
    }

    /// A stretch of the feed, without payloads, and which payload belongs to each of its entries.
    fn changes(&self, since: Revision, limit: usize) -> (Changes, Vec<Option<Uuid>>) {
        // Somebody who knows more than there is read another store's feed.
        let reset = since != Revision::ZERO && (since < self.feed_floor || since > self.head);
        let since = if reset { Revision::ZERO } else { since };
        let puts = self.entries.values().map(|entry| (JobChange::Put(entry.record.clone()), Some(entry.payload)));
        let gone = self.removals.iter().filter(|_| since != Revision::ZERO);
        let gone = gone.map(|(id, r)| (JobChange::Removed { id: id.clone(), revision: r.revision }, None));
        let mut feed: Vec<_> = puts.chain(gone).filter(|(change, _)| change.revision() > since).collect();
        feed.sort_by_key(|(change, _)| change.revision());
        let more = feed.len() > limit;
        feed.truncate(limit);
        let (changes, payloads): (Vec<_>, _) = feed.into_iter().unzip();
        let upto = changes.last().filter(|_| more).map_or(self.head, JobChange::revision);
        (Changes { reset, changes, upto, more }, payloads)
    }

    fn assign(&mut self, fence: &Lease, moves: &[Move], at: Stamp) -> (Assigned, Vec<Uuid>) {
        if let Err(current) = self.fences.pass(fence) {
            return (Assigned::Fenced { current }, Vec::new());
        }
        let mut steps = Vec::with_capacity(moves.len());
        let mut stale = Vec::new();
        for wanted in moves {
            match self.entries.get(&wanted.job).and_then(|entry| rules::step(&entry.record, wanted, at)) {
                Some(next) => steps.push((&wanted.job, next)),
                None => stale.push(wanted.job.clone()),
            }
        }
        if !stale.is_empty() {
            return (Assigned::Stale(stale), Vec::new());
        }
        let unnamed = steps.into_iter().filter_map(|(id, next)| self.apply(id, next)).collect();
        (Assigned::Applied(self.head), unnamed)
    }

    fn report(&mut self, reports: &[JobReport], at: Stamp) -> (Vec<Reported>, Vec<Uuid>) {
        let mut unnamed = Vec::new();
        let judge = |said: &JobReport| {
            let entry = self.entries.get(&said.job);
            let next = entry.and_then(|entry| rules::report(&entry.record, said, at));
            let Some(next) = next else { return Reported::Stale };
            unnamed.extend(self.apply(&said.job, next));
            Reported::Accepted
        };
        (reports.iter().map(judge).collect(), unnamed)
    }
}

impl NatsStore {
    /// Changes the jobs, tells of it, and removes the payloads that nothing names any more.
    async fn change_jobs<A, U: IntoIterator<Item = Uuid>>(
        &self,
        operation: &'static str,
        blob: Option<Blob<'_>>,
        change: impl FnMut(&mut Jobs) -> (A, U),
    ) -> Result<A> {
        let ((answer, unnamed), written) = self.change(operation, blob, change).await?;
        if written {
            self.hint(&Topic::Area(Area::Jobs)).await;
        }
        self.discard(Area::Jobs, unnamed).await;
        Ok(answer)
    }

    /// The job of this name with its payload.
    async fn job(&self, operation: &'static str, id: &JobId) -> Result<Option<JobRecord>> {
        let pick = |table: &Jobs| {
            let entry = table.entries.get(id);
            (entry.cloned(), entry.iter().map(|entry| entry.payload).collect())
        };
        let (entry, blobs) = self.read(operation, pick).await?;
        entry.map(|entry| complete(entry.record, entry.payload, &blobs)).transpose()
    }
}

/// A record with its payload.
fn complete(record: JobRecord, payload: Uuid, blobs: &Blobs) -> Result<JobRecord> {
    let text = String::from_utf8_lossy(blobs.get(&payload).map_or(&[][..], Vec::as_slice)).into_owned();
    Ok(JobRecord { spec: with_payload(&record.spec, text)?, ..record })
}

#[async_trait]
impl JobAssigner for NatsStore {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        let blob = Blob { id: Uuid::now_v7(), bytes: spec.payload().as_bytes() };
        let bare = with_payload(spec, String::new())?;
        let submit = async {
            loop {
                if let Some(there) = self.job("submit", spec.id()).await? {
                    return Ok(rules::submit(&there, spec));
                }
                let change = |table: &mut Jobs| {
                    let created = table.submit(&bare, blob.id);
                    (created, Some(blob.id).filter(|_| !created))
                };
                if self.change_jobs("submit", Some(blob), change).await? {
                    return Ok(Submitted::Created);
                }
            }
        };
        self.within("submit", ErrorKind::Unknown, submit).await
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        let blob = Blob { id: Uuid::now_v7(), bytes: spec.payload().as_bytes() };
        let bare = with_payload(spec, String::new())?;
        let revise = async {
            loop {
                let Some(there) = self.job("revise", spec.id()).await? else { return Ok(Revised::Absent) };
                let (answer, next) = rules::revise(&there, spec);
                if next == Next::Same {
                    return Ok(answer);
                }
                let change = |table: &mut Jobs| {
                    let (revised, unnamed) = table.revise(&bare, blob.id, there.revision);
                    (revised, Some(unnamed))
                };
                // Else it was moved or removed since it was read.
                if self.change_jobs("revise", Some(blob), change).await? {
                    return Ok(answer);
                }
            }
        };
        self.within("revise", ErrorKind::Unknown, revise).await
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        let remove = self.change_jobs("remove", None, |table| table.remove(job));
        self.within("remove", ErrorKind::Unknown, remove).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        rules::check_limit("changes", limit)?;
        let pick = |table: &Jobs| {
            let (page, payloads) = table.changes(since, limit);
            let wanted = payloads.iter().copied().flatten().collect();
            ((page, payloads), wanted)
        };
        let read = async {
            let ((mut page, payloads), blobs) = self.read("changes", pick).await?;
            for (change, payload) in page.changes.iter_mut().zip(payloads) {
                if let (JobChange::Put(record), Some(payload)) = (change, payload) {
                    *record = complete(record.clone(), payload, &blobs)?;
                }
            }
            Ok(page)
        };
        self.within("changes", ErrorKind::Unavailable, read).await
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        rules::check_moves("assign", moves)?;
        let at = Stamp::now();
        let assign = self.change_jobs("assign", None, |table| table.assign(fence, moves, at));
        self.within("assign", ErrorKind::Unknown, assign).await
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        rules::check_reports("report", reports)?;
        let at = Stamp::now();
        let report = self.change_jobs("report", None, |table| table.report(reports, at));
        self.within("report", ErrorKind::Unknown, report).await
    }

    async fn changed(&self) -> Result<()> {
        self.hinted(&Topic::Area(Area::Jobs)).await
    }
}
