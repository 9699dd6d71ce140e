//! Only jobs that something has happened to are looked at: so each such thing has to be noticed.

use std::time::Duration;

use super::effect::Effect;
use super::input::JobEnd;
use super::mirror::Mirror;
use super::reason::Reason;
use super::runner::Runner;
use crate::ids::{Epoch, Incarnation, JobId, Member, NodeId, Revision};
use crate::job::{Changes, JobChange, JobRecord, JobSpec, JobStatus, Phase};
use crate::rules;
use crate::time::Time;

const fn at(millis: u64) -> Time {
    Time::from_nanos(1_000_000_000_000 + millis * 1_000_000)
}

fn me() -> Member {
    Member::new(NodeId::new("a").unwrap(), Incarnation::from_u128(1))
}

fn id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

/// A job that is this node's under an epoch.
fn own(name: &str, epoch: u64) -> JobRecord {
    let queued = rules::queued(&JobSpec::new(id(name), "").unwrap(), Epoch(epoch), Revision(epoch));
    JobRecord { phase: Phase::Assigned, owner: Some(me()), ..queued }
}

struct Stage {
    mirror: Mirror,
    runner: Runner,
    now: u64,
}

impl Stage {
    /// A node that has held its lease since the beginning, and has read these jobs since.
    fn with(jobs: &[JobRecord]) -> Self {
        let (mirror, mut runner) = (Mirror::new(me()), Runner::new(me(), Duration::from_secs(30)));
        runner.begin_term(at(0));
        let mut stage = Self { mirror, runner, now: 1 };
        stage.read(&[]);
        assert_eq!(stage.reconciled(), [""; 0]);
        stage.read(jobs);
        stage
    }

    fn take_in(&mut self, reset: bool, changes: Vec<JobChange>) {
        self.now += 1;
        self.mirror.read_from(at(self.now));
        let upto = Revision(self.now);
        self.mirror.apply(at(self.now), Changes { reset, changes, upto, more: false });
    }

    fn read(&mut self, jobs: &[JobRecord]) {
        self.take_in(false, jobs.iter().cloned().map(JobChange::Put).collect());
    }

    fn looked(&mut self, may_begin: bool) -> Vec<String> {
        let mut out = Vec::new();
        self.now += 1;
        self.runner.reconcile(at(self.now), &mut self.mirror, may_begin, &mut out);
        let told = out.into_iter().filter_map(|effect| match effect {
            Effect::Start { job } => Some(format!("start {}#{}", job.spec.id(), job.epoch.0)),
            Effect::Stop { job, epoch, reason } => Some(format!("stop {job}#{}: {reason:?}", epoch.0)),
            _ => None,
        });
        told.collect()
    }

    fn reconciled(&mut self) -> Vec<String> {
        self.looked(true)
    }
}

#[test]
fn what_was_read_is_looked_at_once() {
    let mut stage = Stage::with(&[own("x", 1), own("y", 1)]);
    assert_eq!(stage.reconciled(), ["start x#1", "start y#1"]);
    assert_eq!(stage.reconciled(), [""; 0]);
    stage.read(&[JobRecord { phase: Phase::Draining, ..own("y", 1) }]);
    assert_eq!(stage.reconciled(), [format!("stop y#1: {:?}", Reason::Draining)]);
}

#[test]
fn a_job_that_is_removed_or_left_out_by_a_feed_that_starts_over_is_stopped() {
    let mut stage = Stage::with(&[own("x", 1), own("y", 1)]);
    stage.reconciled();
    stage.take_in(false, vec![JobChange::Removed { id: id("x"), revision: Revision(9) }]);
    assert_eq!(stage.reconciled(), [format!("stop x#1: {:?}", Reason::Retiring)]);
    stage.take_in(true, Vec::new());
    assert_eq!(stage.reconciled(), [format!("stop y#1: {:?}", Reason::Retiring)]);
}

#[test]
fn a_job_that_came_back_while_its_former_run_stopped_begins_when_that_has_ended() {
    let mut stage = Stage::with(&[own("x", 1)]);
    stage.reconciled();
    stage.read(&[own("x", 2)]);
    assert_eq!(stage.reconciled(), [format!("stop x#1: {:?}", Reason::MovedAway)]);
    stage.runner.on_ended(id("x"), Epoch(1), JobEnd::Stopped, &mut Vec::new());
    assert_eq!(stage.reconciled(), ["start x#2"]);
}

#[test]
fn a_job_that_might_not_begin_when_it_was_read_begins_when_it_may() {
    let mut stage = Stage::with(&[own("x", 1)]);
    assert_eq!(stage.looked(false), [""; 0]);
    assert_eq!(stage.reconciled(), ["start x#1"]);
}

#[test]
fn jobs_of_an_earlier_term_are_handed_back_though_nothing_is_read_of_them() {
    let mut stage = Stage::with(&[own("x", 1)]);
    assert_eq!(stage.looked(false), [""; 0]);
    stage.now += 1;
    stage.runner.begin_term(at(stage.now));
    assert_eq!(stage.looked(false), [""; 0]);
    stage.read(&[]);
    assert_eq!(stage.looked(false), [""; 0]);
    let Some(super::Call::Report(reports)) = stage.runner.poll(at(stage.now)) else { panic!("nothing is reported") };
    let told: Vec<_> = reports.into_iter().map(|report| (report.job, report.epoch, report.status)).collect();
    assert_eq!(told, [(id("x"), Epoch(1), JobStatus::Stopped)]);
}
