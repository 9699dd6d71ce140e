use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;

use super::{Fences, MemoryStore, Watch, World};
use crate::error::Result;
use crate::ids::{Epoch, JobId, Revision};
use crate::job::{
    Assigned, Changes, JobAssigner, JobChange, JobRecord, JobReport, JobSpec, Move, Removed, Reported, Revised,
    Submitted,
};
use crate::lease::Lease;
use crate::rules::{self, Next};
use crate::time::{Stamp, Time};

/// How many removals are remembered at most.
const MAX_REMOVALS: usize = 1000;

#[derive(Debug, Clone, Default)]
pub(super) struct Jobs {
    records: BTreeMap<JobId, JobRecord>,
    /// The last epoch and the removal of names that have no record.
    removals: BTreeMap<JobId, Removal>,
    /// The latest change of every name above: the feed.
    feed: BTreeMap<Revision, JobId>,
    head: Revision,
    /// Removals up to here were dropped: a reader from before may have missed one.
    feed_floor: Revision,
    /// No name whose removal was dropped had a higher epoch.
    pub(super) epoch_floor: Epoch,
    fences: Fences,
    pub(super) stamp: u64,
}

#[derive(Debug, Clone, Copy)]
struct Removal {
    revision: Revision,
    epoch: Epoch,
}

impl Jobs {
    /// Takes a name's previous entry out of the feed and puts its new one at the end.
    fn advance(&mut self, id: &JobId) -> Revision {
        let record = self.records.get(id).map(|record| record.revision);
        if let Some(before) = record.or_else(|| self.removals.get(id).map(|removal| removal.revision)) {
            self.feed.remove(&before);
        }
        self.head = self.head.next();
        self.feed.insert(self.head, id.clone());
        self.head
    }

    fn apply(&mut self, id: &JobId, next: Next) {
        match next {
            Next::Same => {}
            Next::Put(record) => {
                let revision = self.advance(id);
                self.removals.remove(id);
                self.records.insert(id.clone(), record.at_revision(revision));
            }
            Next::Gone { epoch } => {
                let revision = self.advance(id);
                self.records.remove(id);
                self.removals.insert(id.clone(), Removal { revision, epoch });
                if self.removals.len() > MAX_REMOVALS {
                    self.drop_removals();
                }
            }
        }
    }

    /// Drops the older half of the removals. Records that lie behind the new floor are told again at the end of the feed:
    /// a reader that is paging through them would otherwise be sent back to the start for ever.
    fn drop_removals(&mut self) {
        let mut oldest: Vec<(JobId, Removal)> = self.removals.iter().map(|(id, r)| (id.clone(), *r)).collect();
        oldest.sort_by_key(|(_, removal)| removal.revision);
        for (id, removal) in oldest.into_iter().take(MAX_REMOVALS / 2) {
            self.removals.remove(&id);
            self.feed.remove(&removal.revision);
            self.feed_floor = self.feed_floor.max(removal.revision);
            self.epoch_floor = self.epoch_floor.max(removal.epoch);
        }
        let behind: Vec<JobId> = self.feed.range(..=self.feed_floor).map(|(_, id)| id.clone()).collect();
        for id in behind {
            if let Some(record) = self.records.get(&id) {
                self.apply(&id, Next::Put(record.clone()));
            }
        }
    }

    fn change(&self, revision: Revision, id: &JobId) -> JobChange {
        match self.records.get(id) {
            Some(record) => JobChange::Put(record.clone()),
            None => JobChange::Removed { id: id.clone(), revision },
        }
    }
}

impl World {
    /// [`JobAssigner::submit`].
    pub fn submit(&mut self, spec: &JobSpec) -> Submitted {
        let id = spec.id();
        if let Some(there) = self.jobs.records.get(id) {
            return rules::submit(there, spec);
        }
        let epoch = self.jobs.removals.get(id).map_or(self.jobs.epoch_floor, |removal| removal.epoch);
        self.change_jobs(|jobs| jobs.apply(id, Next::Put(rules::queued(spec, epoch, Revision::ZERO))));
        Submitted::Created
    }

    /// [`JobAssigner::revise`].
    pub fn revise(&mut self, spec: &JobSpec) -> Revised {
        let Some(there) = self.jobs.records.get(spec.id()) else { return Revised::Absent };
        let (answer, next) = rules::revise(there, spec);
        self.change_jobs(|jobs| jobs.apply(spec.id(), next));
        answer
    }

    /// [`JobAssigner::remove`].
    pub fn remove(&mut self, job: &JobId) -> Removed {
        let Some(there) = self.jobs.records.get(job) else { return Removed::Absent };
        let (answer, next) = rules::remove(there);
        self.change_jobs(|jobs| jobs.apply(job, next));
        answer
    }

    /// [`JobAssigner::changes`].
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a limit of zero.
    pub fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        rules::check_limit("changes", limit)?;
        let jobs = &self.jobs;
        // Somebody who knows more than there is read another store's feed.
        let reset = since != Revision::ZERO && (since < jobs.feed_floor || since > jobs.head);
        let since = if reset { Revision::ZERO } else { since };
        let mut changes = jobs
            .feed
            .range((Bound::Excluded(since), Bound::Unbounded))
            .filter(|(_, id)| since != Revision::ZERO || jobs.records.contains_key(*id))
            .map(|(revision, id)| jobs.change(*revision, id));
        let page: Vec<JobChange> = changes.by_ref().take(limit).collect();
        let more = changes.next().is_some();
        let upto = page.last().filter(|_| more).map_or(jobs.head, JobChange::revision);
        Ok(Changes { reset, changes: page, upto, more })
    }

    /// How far the feed goes.
    #[cfg(feature = "testkit")]
    pub(crate) fn job_head(&self) -> Revision {
        self.jobs.head
    }

    /// [`JobAssigner::assign`]. `at` is what people read as the time.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for too many moves, or two of one job.
    pub fn assign(&mut self, fence: &Lease, moves: &[Move], at: Stamp) -> Result<Assigned> {
        rules::check_moves("assign", moves)?;
        if let Err(current) = self.jobs.fences.pass(fence) {
            return Ok(Assigned::Fenced { current });
        }
        let mut steps = Vec::with_capacity(moves.len());
        let mut stale = Vec::new();
        for wanted in moves {
            match self.jobs.records.get(&wanted.job).and_then(|there| rules::step(there, wanted, at)) {
                Some(next) => steps.push((&wanted.job, next)),
                None => stale.push(wanted.job.clone()),
            }
        }
        if !stale.is_empty() {
            return Ok(Assigned::Stale(stale));
        }
        self.change_jobs(|jobs| steps.into_iter().for_each(|(id, next)| jobs.apply(id, next)));
        Ok(Assigned::Applied(self.jobs.head))
    }

    /// [`JobAssigner::report`]. `at` is what people read as the time.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for too many reports.
    pub fn report(&mut self, reports: &[JobReport], at: Stamp) -> Result<Vec<Reported>> {
        rules::check_reports("report", reports)?;
        let judge = |said: &JobReport| match self.jobs.records.get(&said.job).and_then(|r| rules::report(r, said, at)) {
            Some(next) => {
                self.change_jobs(|jobs| jobs.apply(&said.job, next));
                Reported::Accepted
            }
            None => Reported::Stale,
        };
        Ok(reports.iter().map(judge).collect())
    }

    /// Changes jobs and, if the feed has grown by it, makes that known.
    fn change_jobs(&mut self, change: impl FnOnce(&mut Jobs)) {
        let before = self.jobs.head;
        change(&mut self.jobs);
        if self.jobs.head != before {
            self.jobs.stamp = self.next_stamp();
        }
    }
}

#[async_trait]
impl JobAssigner for MemoryStore {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        self.with("submit", |world, _| world.submit(spec))
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        self.with("revise", |world, _| world.revise(spec))
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        self.with("remove", |world, _| world.remove(job))
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        self.with("changes", |world, _| world.changes(since, limit))?
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        self.with("assign", |world, now| world.assign(fence, moves, stamp(now)))?
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        self.with("report", |world, now| world.report(reports, stamp(now)))?
    }

    async fn changed(&self) -> Result<()> {
        self.changed("changed", Watch::Jobs).await
    }
}

/// This store's clock is all the time it knows.
pub(crate) fn stamp(now: Time) -> Stamp {
    Stamp(now.as_nanos() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spec(name: &str) -> JobSpec {
        JobSpec::new(JobId::new(name).unwrap(), "").unwrap()
    }

    /// A reader that pages through the feed as a node does.
    fn follow(world: &World, known: &mut BTreeMap<JobId, Revision>, mut since: Revision) -> Revision {
        for _ in 0..10_000 {
            let page = world.changes(since, 3).unwrap();
            if page.reset {
                known.clear();
            }
            for change in &page.changes {
                match change {
                    JobChange::Put(record) => drop(known.insert(record.spec.id().clone(), record.revision)),
                    JobChange::Removed { id, .. } => drop(known.remove(id)),
                }
            }
            since = page.upto;
            if !page.more {
                return since;
            }
        }
        panic!("the reader never reaches the end of the feed");
    }

    #[test]
    fn dropped_removals_reset_old_readers_and_no_epoch_comes_again() {
        let mut world = World::new(1);
        for i in 0..20 {
            world.submit(&spec(&format!("idle-{i}")));
        }
        let fence = Lease {
            name: crate::LeaseName::active(),
            holder: crate::Member::new(crate::NodeId::new("n").unwrap(), crate::Incarnation::from_u128(1)),
            term: crate::Term(1),
            ttl: std::time::Duration::from_secs(1),
        };
        world.submit(&spec("old"));
        for epoch in 0..5 {
            let step = crate::job::Step::Place { to: fence.holder.clone() };
            let job = JobId::new("old").unwrap();
            world.assign(&fence, &[Move::new(job.clone(), Epoch(epoch), step)], Stamp(1)).unwrap();
            let stopped = crate::job::JobStatus::Stopped;
            let said = JobReport { job, member: fence.holder.clone(), epoch: Epoch(epoch + 1), status: stopped };
            assert_eq!(world.report(&[said], Stamp(2)).unwrap(), [Reported::Accepted]);
        }
        let mut known = BTreeMap::new();
        let before = follow(&world, &mut known, Revision::ZERO);
        assert_eq!(known.len(), 21);
        world.remove(&JobId::new("old").unwrap());
        for i in 0..=MAX_REMOVALS {
            let churn = spec(&format!("churn-{i}"));
            world.submit(&churn);
            world.remove(churn.id());
            assert!(world.jobs.removals.len() <= MAX_REMOVALS);
        }
        assert!(world.changes(before, 3).unwrap().reset, "a removal was dropped that this reader has not seen");
        follow(&world, &mut known, before);
        assert_eq!(known.len(), 20, "the reader that was reset knows exactly what is there");
        world.submit(&spec("old"));
        assert!(world.jobs.records[&JobId::new("old").unwrap()].epoch >= Epoch(5), "its epochs are not given again");
    }
}
