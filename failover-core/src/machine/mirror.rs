//! The node's copy of the jobs, and how fresh it is.

use std::collections::BTreeMap;

use crate::ids::{JobId, Member, Revision};
use crate::job::{Changes, JobChange, JobRecord};
use crate::time::Time;

/// A job as last read.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) record: JobRecord,
    /// When this state of it was first read.
    pub(super) read_at: Time,
}

/// The jobs as last read.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    jobs: BTreeMap<JobId, Entry>,
    /// What a feed that starts over has told so far. It counts as a whole or not at all: half of it would look like removals.
    rebuilt: Option<BTreeMap<JobId, Entry>>,
    upto: Revision,
    began: Option<Time>,
    complete: Option<Time>,
}

impl Mirror {
    pub(super) fn new() -> Self {
        Self { jobs: BTreeMap::new(), rebuilt: None, upto: Revision::ZERO, began: None, complete: None }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Entry> {
        self.jobs.values()
    }

    /// Every member that owns a job, and when the latest of its jobs was read.
    pub(super) fn owners(&self) -> BTreeMap<Member, Time> {
        let mut owners = BTreeMap::new();
        for Entry { record, read_at } in self.jobs.values() {
            if let Some(owner) = &record.owner {
                let known = owners.entry(owner.clone()).or_insert(*read_at);
                *known = (*known).max(*read_at);
            }
        }
        owners
    }

    pub(super) fn get(&self, job: &JobId) -> Option<&JobRecord> {
        self.jobs.get(job).map(|entry| &entry.record)
    }

    /// Where the next read continues. A read that begins now will count as sent at `now`.
    pub(super) fn read_from(&mut self, now: Time) -> Revision {
        self.began.get_or_insert(now);
        self.upto
    }

    /// Whether everything that was committed before `moment` is in it: a whole read was sent at or after it.
    pub(super) fn covers(&self, moment: Time) -> bool {
        self.complete.is_some_and(|sent| sent >= moment)
    }

    /// Takes in a stretch of the feed.
    pub(super) fn apply(&mut self, now: Time, changes: Changes) {
        if changes.reset {
            self.rebuilt = Some(BTreeMap::new());
        }
        let jobs = self.rebuilt.as_mut().unwrap_or(&mut self.jobs);
        for change in changes.changes {
            match change {
                JobChange::Put(record) => {
                    jobs.insert(record.spec.id().clone(), Entry { record, read_at: now });
                }
                JobChange::Removed { id, .. } => {
                    jobs.remove(&id);
                }
            }
        }
        self.upto = changes.upto;
        if !changes.more {
            if let Some(rebuilt) = self.rebuilt.take() {
                self.jobs = rebuilt;
            }
            self.complete = self.began.take().or(self.complete);
        }
    }

    /// A read failed: what follows is a new one.
    pub(super) fn interrupted(&mut self) {
        self.began = None;
    }
}
