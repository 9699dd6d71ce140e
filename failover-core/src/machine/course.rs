//! How long the parts of a failover take, each measured on this node's own clock (law 10).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::mirror::Mirror;
use crate::ids::{JobId, Member};
use crate::incident::Phases;
use crate::job::{Phase, Step};
use crate::plan::Decision;
use crate::time::Time;

/// What follows the loss of one member.
#[derive(Debug, Clone)]
struct Course {
    found: Time,
    /// Whether this node has claimed the failure, so that it is the one to tell.
    claimed: bool,
    /// The jobs that were taken from it and given to others.
    moved: BTreeSet<JobId>,
    /// When nothing was left with it; only if something was.
    stopped: Option<Time>,
    give_up: Time,
}

/// The failures that are being seen through.
#[derive(Debug, Clone)]
pub(super) struct Courses {
    open: BTreeMap<Member, Course>,
    patience: Duration,
}

impl Courses {
    /// `patience` is how long the jobs' start is waited for: one that never starts is no measurement.
    pub(super) fn new(patience: Duration) -> Self {
        Self { open: BTreeMap::new(), patience }
    }

    fn course(&mut self, now: Time, member: &Member) -> &mut Course {
        let give_up = now + self.patience;
        let begin = || Course { found: now, claimed: false, moved: BTreeSet::new(), stopped: None, give_up };
        self.open.entry(member.clone()).or_insert_with(begin)
    }

    /// The member was found dead then, and this node has claimed that.
    pub(super) fn claimed(&mut self, now: Time, member: &Member, found: Time) {
        let course = self.course(now, member);
        (course.found, course.claimed) = (found, true);
    }

    /// Somebody else claimed it, and tells.
    pub(super) fn forget(&mut self, member: &Member) {
        self.open.remove(member);
    }

    /// The store has taken in that these jobs move.
    pub(super) fn moved(&mut self, now: Time, decided: &[Decision]) {
        for decision in decided {
            if let Step::Seize { from, to } = &decision.mv.step {
                let course = self.course(now, from);
                // Also if none of them has a place: something was there to be stopped.
                course.stopped = Some(now);
                course.moved.extend(to.as_ref().map(|_| decision.mv.job.clone()));
            }
        }
    }

    /// What has been measured to its end by now.
    pub(super) fn over(&mut self, now: Time, mirror: &Mirror) -> Vec<(Member, Phases)> {
        let mut over = Vec::new();
        self.open.retain(|member, course| {
            let is_left = mirror.board.owners().any(|(owner, _)| owner == member);
            let waits = is_left || !course.moved.iter().all(|job| has_begun(mirror, job));
            if waits && now < course.give_up {
                return true;
            }
            if course.claimed {
                let stop = course.stopped.filter(|_| !is_left).map(|at| at.since(course.found));
                let began = course.stopped.filter(|_| !waits && !course.moved.is_empty());
                let phases = Phases { stop, start: began.map(|at| now.since(at)), ..Phases::default() };
                over.push((member.clone(), phases));
                return false;
            }
            // Not known yet whose it is.
            now < course.give_up
        });
        over
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.open.values().map(|course| course.give_up).min()
    }
}

/// Whether the job runs, or needs not.
fn has_begun(mirror: &Mirror, job: &JobId) -> bool {
    mirror.get(job).is_none_or(|there| match there.phase {
        Phase::Running | Phase::Completed => true,
        Phase::Queued | Phase::Assigned | Phase::Draining | Phase::Failed | Phase::Lost => false,
    })
}
