//! Jobs as rows: reading, writing, burying, and the feed made of them.

use failover_core::job::{JobChange, Phase};
use failover_core::rules::Next;
use failover_core::{Epoch, JobId, JobRecord, JobSpec, Result, Revision, record};

use crate::dialect::{Fault, Row, args};
use crate::keys::JOBS;
use crate::store::{Counters, REVISION, Tx};

/// How many removals the feed remembers at most; half of them are dropped when it has more.
const MAX_REMOVED: usize = 1000;

/// The columns that [`parse`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT format, job, revision, epoch, phase, owner, incarnation, retiring, failures, detail, spec FROM {jobs} ",
            $rest
        )
    };
}

fn parse(row: &Row) -> Result<JobRecord> {
    let id: JobId = row.id(1)?;
    row.check_format(0, || format!("job {id}"))?;
    let spec: JobSpec = record::decode(row.operation, &format!("job {id}"), row.text(10)?.as_bytes())?;
    let phase = parse_phase(row.text(4)?).ok_or_else(|| row.corrupt("a job's phase"))?;
    let failures = u32::try_from(row.int(8)?).map_err(|_| row.corrupt("a count of failures"))?;
    let owner = row.optional_member(5)?;
    if phase.is_owned() != owner.is_some() || *spec.id() != id {
        return Err(row.corrupt("a job"));
    }
    let (revision, epoch) = (Revision(row.number(2)?), Epoch(row.number(3)?));
    let (retiring, detail) = (row.int(7)? != 0, row.text(9)?.to_owned());
    Ok(JobRecord { spec, revision, epoch, phase, owner, retiring, failures, detail })
}

fn parse_phase(text: &str) -> Option<Phase> {
    [Phase::Queued, Phase::Assigned, Phase::Running, Phase::Draining, Phase::Completed, Phase::Failed]
        .into_iter()
        .find(|phase| phase.as_str() == text)
}

impl Tx<'_> {
    pub(super) async fn job(&mut self, id: &JobId) -> Result<Option<JobRecord>, Fault> {
        let args = args![self.cluster(), id.as_str()];
        let row = self.row(select!("WHERE cluster = ? AND job = ? {lock}"), args).await?;
        Ok(row.as_ref().map(parse).transpose()?)
    }

    /// Writes what the rules made of a job.
    pub(super) async fn apply(&mut self, counters: &mut Counters, job: &JobId, next: Next) -> Result<(), Fault> {
        match next {
            Next::Same => Ok(()),
            Next::Put(record) => self.save(counters, &record).await,
            Next::Gone { epoch } => self.bury(counters, job, epoch).await,
        }
    }

    /// Takes the next revision. The cluster's row is locked since `counters` was read, so revisions become visible in their
    /// order: once one was returned, no lower one appears later.
    async fn next_revision(&mut self, counters: &mut Counters) -> Result<(), Fault> {
        counters.revision += 1;
        self.run("UPDATE {clusters} SET revision = ? WHERE cluster = ?", args![counters.revision, self.cluster()])
            .await?;
        self.raised(REVISION, counters.revision);
        self.hint(JOBS);
        Ok(())
    }

    pub(super) async fn insert(&mut self, counters: &mut Counters, job: &JobRecord) -> Result<(), Fault> {
        self.next_revision(counters).await?;
        let spec = record::encode(self.operation(), &job.spec)?;
        self.run(
            "INSERT INTO {jobs} (cluster, job, format, revision, epoch, phase, retiring, failures, detail, spec) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            args![
                self.cluster(),
                job.spec.id().as_str(),
                record::FORMAT,
                counters.revision,
                job.epoch.0,
                job.phase.as_str(),
                job.retiring,
                job.failures,
                job.detail.as_str(),
                spec,
            ],
        )
        .await?;
        Ok(())
    }

    /// Everything but the spec, which never changes.
    async fn save(&mut self, counters: &mut Counters, job: &JobRecord) -> Result<(), Fault> {
        self.next_revision(counters).await?;
        self.run(
            "UPDATE {jobs} SET revision = ?, epoch = ?, phase = ?, owner = ?, incarnation = ?, retiring = ?, failures = ?, \
             detail = ? WHERE cluster = ? AND job = ?",
            args![
                counters.revision,
                job.epoch.0,
                job.phase.as_str(),
                job.owner.as_ref().map(|owner| &owner.node),
                job.owner.as_ref().map(|owner| owner.incarnation.to_string()),
                job.retiring,
                job.failures,
                job.detail.as_str(),
                self.cluster(),
                job.spec.id().as_str(),
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes a job, keeping its epoch so that it never repeats, and its removal for the feed.
    async fn bury(&mut self, counters: &mut Counters, job: &JobId, epoch: Epoch) -> Result<(), Fault> {
        self.next_revision(counters).await?;
        self.run("DELETE FROM {jobs} WHERE cluster = ? AND job = ?", args![self.cluster(), job.as_str()]).await?;
        self.run(
            "INSERT INTO {removed} (cluster, job, revision, epoch) VALUES (?, ?, ?, ?)",
            args![self.cluster(), job.as_str(), counters.revision, epoch.0],
        )
        .await?;
        let count = self.row("SELECT COUNT(*) FROM {removed} WHERE cluster = ?", args![self.cluster()]).await?;
        if count.map(|row| row.number(0)).transpose()?.is_some_and(|n| n > MAX_REMOVED as u64) {
            self.purge(counters).await?;
        }
        Ok(())
    }

    /// The epoch a removed job last had, if that is still known; the job is about to exist again.
    pub(super) async fn unbury(&mut self, id: &JobId) -> Result<Option<u64>, Fault> {
        let row = self
            .row("SELECT epoch FROM {removed} WHERE cluster = ? AND job = ? {lock}", args![self.cluster(), id.as_str()])
            .await?;
        let Some(row) = row else { return Ok(None) };
        self.run("DELETE FROM {removed} WHERE cluster = ? AND job = ?", args![self.cluster(), id.as_str()]).await?;
        Ok(Some(row.number(0)?))
    }

    /// Drops the older half of the removals. What was known of them goes into two floors: no new job starts at an epoch
    /// below any dropped one, and a reader from before the last dropped one starts over.
    ///
    /// Every job that last changed below the new feed floor is given a new revision. Otherwise a full read in pages would
    /// come to a position below the floor, be told to start over, and never end.
    async fn purge(&mut self, counters: &mut Counters) -> Result<(), Fault> {
        let old = self
            .rows(
                "SELECT revision, epoch FROM {removed} WHERE cluster = ? ORDER BY revision LIMIT ?",
                args![self.cluster(), MAX_REMOVED / 2],
            )
            .await?;
        for row in &old {
            counters.feed_floor = counters.feed_floor.max(row.number(0)?);
            counters.epoch_floor = counters.epoch_floor.max(row.number(1)?);
        }
        self.run(
            "DELETE FROM {removed} WHERE cluster = ? AND revision <= ?",
            args![self.cluster(), counters.feed_floor],
        )
        .await?;
        self.run(
            "UPDATE {clusters} SET feed_floor = ?, epoch_floor = ? WHERE cluster = ?",
            args![counters.feed_floor, counters.epoch_floor, self.cluster()],
        )
        .await?;
        let behind = self
            .rows(
                "SELECT job FROM {jobs} WHERE cluster = ? AND revision <= ? ORDER BY revision",
                args![self.cluster(), counters.feed_floor],
            )
            .await?;
        for row in behind {
            self.next_revision(counters).await?;
            self.run(
                "UPDATE {jobs} SET revision = ? WHERE cluster = ? AND job = ?",
                args![counters.revision, self.cluster(), row.text(0)?],
            )
            .await?;
        }
        Ok(())
    }

    /// The latest change of each job after `since` in order of revision: one more than `limit`, if there are as many.
    /// Removals only to a reader who may know the job.
    pub(super) async fn changed_jobs(&mut self, since: u64, limit: usize) -> Result<Vec<JobChange>, Fault> {
        let most = limit.saturating_add(1);
        let args = args![self.cluster(), since, most];
        let rows = self.rows(select!("WHERE cluster = ? AND revision > ? ORDER BY revision LIMIT ?"), args).await?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in &rows {
            changes.push(JobChange::Put(parse(row)?));
        }
        if since > 0 {
            let rows = self
                .rows(
                    "SELECT job, revision FROM {removed} WHERE cluster = ? AND revision > ? ORDER BY revision LIMIT ?",
                    args![self.cluster(), since, most],
                )
                .await?;
            for row in &rows {
                changes.push(JobChange::Removed { id: row.id(0)?, revision: Revision(row.number(1)?) });
            }
            changes.sort_by_key(JobChange::revision);
        }
        Ok(changes)
    }
}
