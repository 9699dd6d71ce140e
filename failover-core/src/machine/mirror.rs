//! The node's copy of the jobs, and how fresh it is: in full where they are its own, as the planner needs them where they are others'.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{JobId, Member, Revision};
use crate::job::{Changes, JobChange, JobRecord};
use crate::plan::{Board, Standing};
use crate::time::Time;

/// The jobs that may be other than they were when somebody last looked.
#[derive(Debug, Clone)]
pub(super) enum Touched {
    These(BTreeSet<JobId>),
    All,
}

impl Default for Touched {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Touched {
    pub(super) fn add(&mut self, job: &JobId) {
        if let Self::These(jobs) = self {
            jobs.insert(job.clone());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::These(jobs) if jobs.is_empty())
    }
}

/// The jobs as last read.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    me: Member,
    /// All jobs, as a decision needs them.
    pub(super) board: Board,
    /// Those that are this node's.
    own: BTreeMap<JobId, JobRecord>,
    /// What a feed that starts over has told so far. It counts as a whole or not at all: half of it would look like removals.
    rebuilt: Option<BTreeMap<JobId, (JobRecord, Time)>>,
    /// What was taken in since the last look at what runs here.
    touched: Touched,
    /// Counts what was taken in.
    version: u64,
    upto: Revision,
    began: Option<Time>,
    complete: Option<Time>,
}

impl Mirror {
    pub(super) fn new(me: Member) -> Self {
        Self {
            me,
            board: Board::new(),
            own: BTreeMap::new(),
            rebuilt: None,
            touched: Touched::default(),
            version: 0,
            upto: Revision::ZERO,
            began: None,
            complete: None,
        }
    }

    /// The jobs that are this node's.
    pub(super) fn own(&self) -> impl Iterator<Item = &JobRecord> {
        self.own.values()
    }

    /// A job, if it is this node's.
    pub(super) fn own_job(&self, job: &JobId) -> Option<&JobRecord> {
        self.own.get(job)
    }

    pub(super) fn get(&self, job: &JobId) -> Option<Standing> {
        self.board.get(job)
    }

    /// Adds the jobs that were taken in since it was last asked.
    pub(super) fn touched(&mut self, to: &mut Touched) {
        match std::mem::take(&mut self.touched) {
            Touched::All => *to = Touched::All,
            Touched::These(jobs) => match to {
                Touched::All => {}
                Touched::These(known) if known.is_empty() => *known = jobs,
                Touched::These(known) => known.extend(jobs),
            },
        }
    }

    /// Another number whenever something was taken in.
    pub(super) fn version(&self) -> u64 {
        self.version
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

    /// If all that the feed holds up to `revision` is in it: since when it has been whole.
    pub(super) fn whole_upto(&self, revision: Revision) -> Option<Time> {
        self.complete.filter(|_| self.rebuilt.is_none() && self.upto >= revision)
    }

    /// Takes in a stretch of the feed.
    pub(super) fn apply(&mut self, now: Time, changes: Changes) {
        self.version += 1;
        if changes.reset {
            self.rebuilt = Some(BTreeMap::new());
        }
        for change in changes.changes {
            match (&mut self.rebuilt, change) {
                (Some(rebuilt), JobChange::Put(record)) => {
                    rebuilt.insert(record.spec.id().clone(), (record, now));
                }
                (Some(rebuilt), JobChange::Removed { id, .. }) => drop(rebuilt.remove(&id)),
                (None, JobChange::Put(record)) => self.put(now, record),
                (None, JobChange::Removed { id, .. }) => {
                    self.touched.add(&id);
                    self.own.remove(&id);
                    self.board.remove(&id);
                }
            }
        }
        self.upto = changes.upto;
        if !changes.more {
            if let Some(rebuilt) = self.rebuilt.take() {
                self.touched = Touched::All;
                self.own.clear();
                self.board.clear();
                for (record, read_at) in rebuilt.into_values() {
                    self.put(read_at, record);
                }
            }
            self.complete = self.began.take().or(self.complete);
        }
    }

    fn put(&mut self, now: Time, record: JobRecord) {
        self.touched.add(record.spec.id());
        self.board.put(now, &record);
        if record.owner.as_ref() == Some(&self.me) {
            self.own.insert(record.spec.id().clone(), record);
        } else {
            self.own.remove(record.spec.id());
        }
    }

    /// A read failed: what follows is a new one.
    pub(super) fn interrupted(&mut self) {
        self.began = None;
    }
}
