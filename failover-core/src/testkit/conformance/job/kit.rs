//! Short ways to say what clauses about jobs say often.

use super::super::kit::{fence, ok, patiently};
use crate::Backend;
use crate::ids::{Epoch, JobId, Member, Revision};
use crate::job::{
    Assigned, JobChange, JobRecord, JobReport, JobSpec, JobStatus, Move, Phase, Reported, Step, Submitted,
};

pub(super) fn id(name: &str) -> JobId {
    JobId::new(name).unwrap_or_else(|e| panic!("{e}"))
}

pub(super) fn spec(name: &str) -> JobSpec {
    JobSpec::new(id(name), format!("run {name}")).unwrap_or_else(|e| panic!("{e}"))
}

/// Submits a job that has to be new.
pub(super) async fn submit(backend: &Backend, name: &str) {
    assert_eq!(ok(backend.jobs.submit(&spec(name)).await), Submitted::Created, "{name} is new");
}

/// The job's record, from a full read in small pages.
pub(super) async fn record(backend: &Backend, name: &str) -> Option<JobRecord> {
    let (mut since, mut found) = (Revision::ZERO, None);
    loop {
        let page = ok(backend.jobs.changes(since, 7).await);
        for change in page.changes {
            if *change.id() == id(name) {
                found = match change {
                    JobChange::Put(record) => Some(record),
                    JobChange::Removed { .. } => None,
                };
            }
        }
        since = page.upto;
        if !page.more {
            return found;
        }
    }
}

/// The record of a job that has to be there.
pub(super) async fn job(backend: &Backend, name: &str) -> JobRecord {
    record(backend, name).await.unwrap_or_else(|| panic!("{name} has to be there"))
}

/// Where a job stands: phase, epoch, owner.
pub(super) async fn stands(backend: &Backend, name: &str) -> (Phase, Epoch, Option<Member>) {
    let record = job(backend, name).await;
    (record.phase, record.epoch, record.owner)
}

/// The position at the end of the feed.
pub(super) async fn head(backend: &Backend) -> Revision {
    let mut since = Revision::ZERO;
    loop {
        let page = ok(backend.jobs.changes(since, 100).await);
        since = page.upto;
        if !page.more {
            return since;
        }
    }
}

pub(super) fn place(job: &str, expect: u64, to: &Member) -> Move {
    Move::new(id(job), Epoch(expect), Step::Place { to: to.clone() })
}

pub(super) fn seize(job: &str, expect: u64, from: &Member, to: Option<&Member>) -> Move {
    Move::new(id(job), Epoch(expect), Step::Seize { from: from.clone(), to: to.cloned() })
}

pub(super) fn drain(job: &str, expect: u64) -> Move {
    Move::new(id(job), Epoch(expect), Step::Drain)
}

/// Assigns under term 1 of the active lease.
pub(super) async fn assign(backend: &Backend, moves: &[Move]) -> Assigned {
    ok(backend.jobs.assign(&fence("active", 1), moves).await)
}

/// Assigns what has to be applied.
pub(super) async fn applied(backend: &Backend, moves: &[Move]) -> Revision {
    match assign(backend, moves).await {
        Assigned::Applied(revision) => revision,
        other => panic!("{moves:?} have to be applied, and gave {other:?}"),
    }
}

/// Assigns what has to be stale, for these jobs.
pub(super) async fn stale(backend: &Backend, moves: &[Move], jobs: &[&str]) {
    let answer = assign(backend, moves).await;
    let Assigned::Stale(mut which) = answer else { panic!("{moves:?} have to be stale, and gave {answer:?}") };
    which.sort();
    let mut expected: Vec<JobId> = jobs.iter().map(|job| id(job)).collect();
    expected.sort();
    assert_eq!(which, expected, "exactly the jobs that moved on are named");
}

pub(super) fn said(job: &str, member: &Member, epoch: u64, status: JobStatus) -> JobReport {
    JobReport { job: id(job), member: member.clone(), epoch: Epoch(epoch), status }
}

/// Makes one report.
pub(super) async fn report(backend: &Backend, job: &str, member: &Member, epoch: u64, status: JobStatus) -> Reported {
    let reports = [said(job, member, epoch, status)];
    let answers = patiently(|| backend.jobs.report(&reports)).await;
    assert_eq!(answers.len(), 1, "one report, one answer");
    answers[0]
}

/// Makes one report that has to count.
pub(super) async fn accepted(backend: &Backend, job: &str, member: &Member, epoch: u64, status: JobStatus) {
    let told = format!("{status:?} of {job} by {member} under epoch {epoch}");
    assert_eq!(report(backend, job, member, epoch, status).await, Reported::Accepted, "{told} counts");
}

/// Submits a job and gives it to a member, under epoch 1.
pub(super) async fn placed(backend: &Backend, name: &str, to: &Member) {
    submit(backend, name).await;
    applied(backend, &[place(name, 0, to)]).await;
}
