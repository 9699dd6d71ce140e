//! Jobs as rows: reading, writing, burying, and the feed made of them.

use std::collections::BTreeMap;

use failover_core::job::{JobChange, Phase};
use failover_core::rules::Next;
use failover_core::{Epoch, JobId, JobRecord, JobSpec, Lease, Result, Revision, record};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::dialect::{Fault, Row, Save, Value, args};
use crate::keys::JOBS;
use crate::tx::{Counters, REVISION, Tx};

/// How many removals the feed remembers at most; half of them are dropped when it has more.
const MAX_REMOVED: usize = 1000;

/// The columns that [`parse`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT format, job, revision, epoch, phase, owner, incarnation, retiring, failures, detail, submitted, course, runs, spec \
             FROM {jobs} ",
            $rest
        )
    };
}

/// The same of many jobs without what was submitted, which moves and reports neither look at nor change: a payload may be large.
const BARE_JOBS: &str = "SELECT format, job, revision, epoch, phase, owner, incarnation, retiring, failures, detail, submitted, \
    course, runs, NULL FROM {jobs} WHERE cluster = ? AND job {among}";

fn parse(row: &Row) -> Result<JobRecord> {
    let id: JobId = row.id(1)?;
    row.check_format(0, || format!("job {id}"))?;
    let spec: JobSpec = match row.values.get(13) {
        Some(Value::Null) => bare(&id),
        _ => record::decode(row.operation, &format!("job {id}"), row.text(13)?.as_bytes())?,
    };
    let phase = parse_phase(row.text(4)?).ok_or_else(|| row.corrupt("a job's phase"))?;
    let failures = u32::try_from(row.int(8)?).map_err(|_| row.corrupt("a count of failures"))?;
    let owner = row.optional_member(5)?;
    if phase.is_owned() != owner.is_some() || *spec.id() != id {
        return Err(row.corrupt("a job"));
    }
    let (revision, epoch) = (Revision(row.number(2)?), Epoch(row.number(3)?));
    let (retiring, detail) = (row.int(7)? != 0, row.text(9)?.to_owned());
    let submitted = Revision(row.number(10)?);
    let course = serde_json::from_str(row.text(11)?).map_err(|_| row.corrupt("a job's course"))?;
    let runs = serde_json::from_str(row.text(12)?).map_err(|_| row.corrupt("a list of a job's runs"))?;
    Ok(JobRecord { spec, revision, submitted, epoch, phase, owner, retiring, failures, detail, course, runs })
}

/// Stands for a spec that was not read.
fn bare(id: &JobId) -> JobSpec {
    JobSpec::new(id.clone(), "").unwrap_or_else(|e| unreachable!("nothing is not too long: {e}"))
}

/// The jobs in these rows.
pub(super) fn jobs(rows: &[Row]) -> Result<BTreeMap<JobId, JobRecord>> {
    let jobs = rows.iter().map(|row| parse(row).map(|job| (job.spec.id().clone(), job)));
    jobs.collect()
}

/// The changes of jobs as [`Save::Rows`] takes them.
pub(super) fn rows_of(jobs: &[JobRecord]) -> String {
    to_json(&jobs.iter().map(|job| Named(values(job))).collect::<Vec<_>>())
}

/// What changes of a job, by the columns' names.
struct Named([Value; 11]);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(COLUMNS.iter().zip(&self.0).map(|(name, value)| {
            let value = match value {
                Value::Int(n) => Cell::Int(*n),
                Value::Text(text) => Cell::Text(text),
                Value::Null | Value::Bytes(_) => Cell::Null,
            };
            (name, value)
        }))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Cell<'a> {
    Int(i64),
    Text(&'a str),
    Null,
}

/// As a text: the database keeps it as it is, whatever it makes of JSON.
fn to_json(of: &impl Serialize) -> String {
    serde_json::to_string(of).unwrap_or_else(|e| unreachable!("names and numbers are always JSON: {e}"))
}

const COLUMNS: [&str; 11] =
    ["job", "revision", "epoch", "phase", "owner", "incarnation", "retiring", "failures", "detail", "course", "runs"];

/// What of a job's row moves and reports may change, behind its name.
fn values(job: &JobRecord) -> [Value; 11] {
    [
        job.spec.id().as_str().into(),
        job.revision.0.into(),
        job.epoch.0.into(),
        job.phase.as_str().into(),
        job.owner.as_ref().map(|owner| &owner.node).into(),
        job.owner.as_ref().map(|owner| owner.incarnation.to_string()).into(),
        job.retiring.into(),
        job.failures.into(),
        // Not every database's texts can hold a NUL.
        job.detail.replace('\0', "\u{fffd}").into(),
        to_json(&job.course).into(),
        to_json(&job.runs).into(),
    ]
}

/// As [`BARE_JOBS`], with the term that is installed for a fence and the cluster's revision.
pub(super) const FENCE_AND_JOBS: &str = "SELECT j.format, j.job, j.revision, j.epoch, j.phase, j.owner, j.incarnation, j.retiring, \
    j.failures, j.detail, j.submitted, j.course, j.runs, NULL, f.term, c.revision FROM {clusters} AS c \
    LEFT JOIN {fences} AS f ON f.cluster = c.cluster AND f.area = ? AND f.lease = ? \
    LEFT JOIN {jobs} AS j ON j.cluster = c.cluster AND j.job {among} WHERE c.cluster = ?";

/// What [`FENCE_AND_JOBS`] takes.
pub(super) fn fence_and_jobs<'a>(cluster: &str, fence: &Lease, ids: impl Iterator<Item = &'a JobId>) -> Vec<Value> {
    args![JOBS, &fence.name, to_json(&ids.map(JobId::as_str).collect::<Vec<_>>()), cluster]
}

/// The term in a row of it.
pub(super) fn installed(row: &Row) -> Result<Option<u64>> {
    if row.values.get(14) == Some(&Value::Null) { Ok(None) } else { row.number(14).map(Some) }
}

/// The cluster's revision in a row of it.
pub(super) fn head(row: &Row) -> Result<u64> {
    row.number(15)
}

fn parse_phase(text: &str) -> Option<Phase> {
    Phase::ALL.into_iter().find(|phase| phase.as_str() == text)
}

impl Tx<'_> {
    pub(super) async fn job(&mut self, id: &JobId) -> Result<Option<JobRecord>, Fault> {
        let args = args![self.cluster(), id.as_str()];
        let row = self.row(select!("WHERE cluster = ? AND job = ? {lock}"), args).await?;
        Ok(row.as_ref().map(parse).transpose()?)
    }

    /// The jobs of these names that there are. The cluster's row is locked, without which nobody writes a job: their own rows
    /// need no lock.
    pub(super) async fn jobs(
        &mut self,
        ids: impl Iterator<Item = &JobId>,
    ) -> Result<BTreeMap<JobId, JobRecord>, Fault> {
        let ids = to_json(&ids.map(JobId::as_str).collect::<Vec<_>>());
        let rows = self.rows(BARE_JOBS, args![self.cluster(), ids]).await?;
        Ok(jobs(&rows)?)
    }

    /// The term that is installed for a fence, and the rows of these jobs, for [`jobs`] to read.
    pub(super) async fn fence_and_jobs(
        &mut self,
        fence: &Lease,
        ids: impl Iterator<Item = &JobId>,
    ) -> Result<(Option<u64>, Vec<Row>), Fault> {
        let mut rows = self.rows(FENCE_AND_JOBS, fence_and_jobs(self.cluster(), fence, ids)).await?;
        let installed = rows.first().map(installed).transpose()?.flatten();
        // No job is one row of nothing.
        rows.retain(|row| row.values.first() != Some(&Value::Null));
        Ok((installed, rows))
    }

    /// Writes what the rules made of jobs, one change a job, in as many statements for many as for one.
    pub(super) async fn apply(&mut self, counters: &mut Counters, nexts: Vec<(&JobId, Next)>) -> Result<(), Fault> {
        let (mut puts, mut gone) = (Vec::new(), Vec::new());
        for (job, next) in nexts {
            match next {
                Next::Same => {}
                Next::Put(record) => {
                    counters.revision += 1;
                    puts.push(record.at_revision(Revision(counters.revision)));
                }
                Next::Gone { epoch } => {
                    counters.revision += 1;
                    gone.push((job, counters.revision, epoch));
                }
            }
        }
        if puts.is_empty() && gone.is_empty() {
            return Ok(());
        }
        if let (Some(save), true) = (self.words().save_jobs_and_revision, gone.is_empty()) {
            self.run(save, args![rows_of(&puts), self.cluster(), counters.revision]).await?;
            self.counted(counters);
            return Ok(());
        }
        self.save(&puts).await?;
        self.bury(counters, &gone).await?;
        self.keep_revision(counters).await
    }

    /// Keeps the revision that was counted up to. The cluster's row is locked since `counters` was read, so revisions become
    /// visible in their order: once one was returned, no lower one appears later.
    async fn keep_revision(&mut self, counters: &Counters) -> Result<(), Fault> {
        self.run("UPDATE {clusters} SET revision = ? WHERE cluster = ?", args![counters.revision, self.cluster()])
            .await?;
        self.counted(counters);
        Ok(())
    }

    fn counted(&mut self, counters: &Counters) {
        self.raised(REVISION, counters.revision);
        self.hint(JOBS);
    }

    /// Makes a new job's row, which is submitted under the next revision.
    pub(super) async fn insert(&mut self, counters: &mut Counters, job: &JobRecord) -> Result<(), Fault> {
        counters.revision += 1;
        let spec = record::encode(self.operation(), &job.spec)?;
        self.run(
            "INSERT INTO {jobs} (cluster, job, format, revision, submitted, epoch, phase, retiring, failures, detail, course, runs, \
             spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            args![
                self.cluster(),
                job.spec.id().as_str(),
                record::FORMAT,
                counters.revision,
                counters.revision,
                job.epoch.0,
                job.phase.as_str(),
                job.retiring,
                job.failures,
                job.detail.as_str(),
                to_json(&job.course),
                to_json(&job.runs),
                spec,
            ],
        )
        .await?;
        self.keep_revision(counters).await
    }

    /// Writes the spec of a job that was revised, which is all that changes by that.
    pub(super) async fn respec(&mut self, counters: &mut Counters, job: &JobRecord) -> Result<(), Fault> {
        counters.revision += 1;
        let spec = record::encode(self.operation(), &job.spec)?;
        self.run(
            "UPDATE {jobs} SET revision = ?, spec = ? WHERE cluster = ? AND job = ?",
            args![counters.revision, spec, self.cluster(), job.spec.id().as_str()],
        )
        .await?;
        self.keep_revision(counters).await
    }

    /// Writes everything but the spec, which only [`respec`](Self::respec) changes: no save carries the payload.
    async fn save(&mut self, jobs: &[JobRecord]) -> Result<(), Fault> {
        if jobs.is_empty() {
            return Ok(());
        }
        match self.words().save_jobs {
            Save::Rows(save) => drop(self.run(save, args![rows_of(jobs), self.cluster()]).await?),
            Save::Bound(sizes) => {
                let mut rest = jobs;
                for (size, save) in sizes {
                    while let Some((some, others)) = rest.split_at_checked(*size) {
                        let mut args: Vec<Value> = some.iter().flat_map(values).collect();
                        args.push(self.cluster().into());
                        self.run(save, args).await?;
                        rest = others;
                    }
                }
            }
        }
        Ok(())
    }

    /// Deletes jobs, keeping their epochs so that they never repeat, and their removals for the feed.
    async fn bury(&mut self, counters: &mut Counters, gone: &[(&JobId, u64, Epoch)]) -> Result<(), Fault> {
        if gone.is_empty() {
            return Ok(());
        }
        let ids = to_json(&gone.iter().map(|(job, ..)| job.as_str()).collect::<Vec<_>>());
        self.run("DELETE FROM {jobs} WHERE cluster = ? AND job {among}", args![self.cluster(), ids]).await?;
        let rows = gone
            .iter()
            .map(|(job, revision, epoch)| json!({ "job": job.as_str(), "revision": revision, "epoch": epoch.0 }))
            .collect::<Vec<_>>();
        self.run(
            "INSERT INTO {removed} (cluster, job, revision, epoch) SELECT ?, v.job, v.revision, v.epoch FROM {job_rows} WHERE true",
            args![self.cluster(), to_json(&rows)],
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
        let args = args![self.cluster(), counters.feed_floor];
        let rows = self.rows(select!("WHERE cluster = ? AND revision <= ? ORDER BY revision"), args).await?;
        let mut behind = Vec::with_capacity(rows.len());
        for row in &rows {
            counters.revision += 1;
            behind.push(JobRecord { revision: Revision(counters.revision), ..parse(row)? });
        }
        self.save(&behind).await
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
