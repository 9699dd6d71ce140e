//! The rules that every backend keeps inside its own transaction, as pure functions: what a [`Move`] or a [`JobReport`]
//! makes of a record, and which input is refused before the store is asked.
//!
//! A backend that can run Rust between reading and writing (SQL, etcd) calls these; one that decides inside the store (a
//! Redis script) restates them there, and the conformance suite holds both to the same contract.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{Error, Invalid, Result};
use crate::ids::{Epoch, JobId, Member, Revision, Term};
use crate::job::{
    Course, JobRecord, JobReport, JobSpec, JobStatus, MAX_BATCH, MAX_DETAIL, MAX_RUNS, Move, Outcome, Phase, Removed,
    Revised, Run, RunEnd, Step, Submitted,
};
use crate::lease::MAX_FLOOR;
use crate::state::{Expect, MAX_VALUE};
use crate::time::Stamp;

/// What becomes of a job's record. The backend gives it its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing changes, and no revision is spent.
    Same,
    /// The record is now this, under the next revision.
    Put(JobRecord),
    /// The job is gone; its name's last epoch is this.
    Gone {
        /// The epoch a later job of this name starts from.
        epoch: Epoch,
    },
}

/// The record of a job that is new, under the epoch its name last had and the revision it gets; zero if that is yet to be told, by
/// [`JobRecord::at_revision`].
pub fn queued(spec: &JobSpec, epoch: Epoch, revision: Revision) -> JobRecord {
    JobRecord {
        spec: spec.clone(),
        revision,
        submitted: revision,
        epoch,
        phase: Phase::Queued,
        owner: None,
        retiring: false,
        failures: 0,
        detail: String::new(),
        course: Course::default(),
        runs: Vec::new(),
    }
}

/// The answer to submitting `spec` where `there` is: never [`Submitted::Created`].
pub fn submit(there: &JobRecord, spec: &JobSpec) -> Submitted {
    if there.spec == *spec && !there.retiring { Submitted::Unchanged } else { Submitted::Conflict }
}

/// What making `there` like `spec` does.
pub fn revise(there: &JobRecord, spec: &JobSpec) -> (Revised, Next) {
    if there.retiring {
        (Revised::Absent, Next::Same)
    } else if there.spec == *spec {
        (Revised::Unchanged, Next::Same)
    } else {
        (Revised::Changed, Next::Put(JobRecord { spec: spec.clone(), ..there.clone() }))
    }
}

/// What removing `there` does.
pub fn remove(there: &JobRecord) -> (Removed, Next) {
    match (&there.owner, there.retiring) {
        (None, _) => (Removed::Gone, Next::Gone { epoch: there.epoch }),
        (Some(_), true) => (Removed::Retiring, Next::Same),
        (Some(_), false) => (Removed::Retiring, Next::Put(JobRecord { retiring: true, ..there.clone() })),
    }
}

/// What `wanted`, at `at`, makes of `there`; nothing if it is stale.
pub fn step(there: &JobRecord, wanted: &Move, at: Stamp) -> Option<Next> {
    if there.epoch != wanted.expect {
        return None;
    }
    let course = wanted.course.clone();
    match &wanted.step {
        Step::Place { to } => {
            let free = there.owner.is_none() && there.phase != Phase::Completed && !there.retiring;
            free.then(|| Next::Put(placed(JobRecord { course, ..there.clone() }, to.clone(), at)))
        }
        Step::Seize { from, to } => (there.owner.as_ref() == Some(from)).then(|| {
            if there.retiring {
                return Next::Gone { epoch: there.epoch.next() };
            }
            let lost = ended(there, Phase::Lost, Outcome::Lost, at);
            let lost = JobRecord { course, ..lost };
            Next::Put(match to {
                Some(to) => placed(lost, to.clone(), at),
                None => JobRecord { epoch: lost.epoch.next(), ..lost },
            })
        }),
        Step::Drain => there.owner.as_ref().map(|_| {
            let next = JobRecord { phase: Phase::Draining, course, ..there.clone() };
            if next == *there { Next::Same } else { Next::Put(next) }
        }),
    }
}

/// The record, given to a member under the next epoch.
fn placed(mut record: JobRecord, to: Member, at: Stamp) -> JobRecord {
    record.epoch = record.epoch.next();
    record.phase = Phase::Assigned;
    // What the run before last told is in `runs`; this one has told nothing yet.
    record.detail.clear();
    record.runs.push(Run::begin(record.epoch, to.clone(), at));
    let forgotten = record.runs.len().saturating_sub(MAX_RUNS);
    record.runs.drain(..forgotten);
    record.owner = Some(to);
    record
}

/// The record, nobody's any more, with its run closed.
fn ended(there: &JobRecord, phase: Phase, outcome: Outcome, at: Stamp) -> JobRecord {
    let mut record = JobRecord { phase, owner: None, ..there.clone() };
    if let Some(run) = record.runs.last_mut().filter(|run| run.epoch == there.epoch && run.end.is_none()) {
        run.end = Some(RunEnd::new(at, outcome, &there.detail));
    }
    record
}

/// What `said`, at `at`, makes of `there`; nothing if it is stale.
pub fn report(there: &JobRecord, said: &JobReport, at: Stamp) -> Option<Next> {
    if there.owner.as_ref() != Some(&said.member) || there.epoch != said.epoch {
        return None;
    }
    let running = if there.phase == Phase::Draining { Phase::Draining } else { Phase::Running };
    let next = match &said.status {
        JobStatus::Running => JobRecord { phase: running, ..there.clone() },
        JobStatus::Progress(text) => JobRecord { phase: running, detail: cut(text), ..there.clone() },
        JobStatus::Stopped => ended(there, Phase::Queued, Outcome::Stopped, at),
        JobStatus::Completed => ended(there, Phase::Completed, Outcome::Completed, at),
        JobStatus::Failed(text) => {
            let failures = there.failures.saturating_add(1);
            let there = JobRecord { detail: cut(text), failures, ..there.clone() };
            ended(&there, Phase::Failed, Outcome::Failed, at)
        }
    };
    Some(if next.owner.is_none() && next.retiring {
        Next::Gone { epoch: next.epoch }
    } else if next == *there {
        Next::Same
    } else {
        Next::Put(next)
    })
}

/// A report's text as it is kept: at most [`MAX_DETAIL`] bytes, cut between two characters.
pub fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_DETAIL)].to_owned()
}

/// Refuses a ttl the store cannot keep.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if it is zero or below `least`.
pub fn check_ttl(operation: &'static str, ttl: Duration, least: Duration) -> Result<()> {
    if ttl.is_zero() || ttl < least {
        return refuse(operation, "ttl", format!("{ttl:?}"), format!("this store keeps leases of at least {least:?}"));
    }
    Ok(())
}

/// Refuses a floor that leaves too few terms above it.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if it is above [`MAX_FLOOR`].
pub fn check_floor(operation: &'static str, floor: Term) -> Result<()> {
    if floor > MAX_FLOOR {
        return refuse(operation, "floor", floor, format!("it must be at most {MAX_FLOOR}"));
    }
    Ok(())
}

/// Refuses a batch of moves that is too long or names a job twice.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid).
pub fn check_moves(operation: &'static str, moves: &[Move]) -> Result<()> {
    check_batch(operation, "moves", moves.len())?;
    let mut seen = BTreeSet::<&JobId>::new();
    match moves.iter().find(|wanted| !seen.insert(&wanted.job)) {
        None => Ok(()),
        Some(twice) => refuse(operation, "moves", &twice.job, "a batch may hold one move of a job".to_owned()),
    }
}

/// Refuses a batch of reports that is too long.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid).
pub fn check_reports(operation: &'static str, reports: &[JobReport]) -> Result<()> {
    check_batch(operation, "reports", reports.len())
}

fn check_batch(operation: &'static str, field: &str, len: usize) -> Result<()> {
    if len > MAX_BATCH {
        return refuse(
            operation,
            field,
            len,
            format!("send at most {MAX_BATCH} at once, and the rest in another call"),
        );
    }
    Ok(())
}

/// Refuses to read nothing.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if `limit` is zero.
pub fn check_limit(operation: &'static str, limit: usize) -> Result<()> {
    if limit == 0 {
        return refuse(operation, "limit", limit, "it must be at least 1".to_owned());
    }
    Ok(())
}

/// Refuses a document that is too long.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if `value` is longer than [`MAX_VALUE`].
pub fn check_value(operation: &'static str, value: &[u8]) -> Result<()> {
    if value.len() > MAX_VALUE {
        let value = format!("{} bytes", value.len());
        return refuse(operation, "value", value, format!("a document must be at most {MAX_VALUE} bytes"));
    }
    Ok(())
}

/// Refuses to delete what is expected to be absent.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) for [`Expect::Absent`].
pub fn check_delete(operation: &'static str, expect: Expect) -> Result<()> {
    if expect == Expect::Absent {
        return refuse(operation, "expect", "absent", "to delete expects a version, or any".to_owned());
    }
    Ok(())
}

fn refuse<T>(operation: &'static str, field: &str, value: impl std::fmt::Display, rule: String) -> Result<T> {
    Err(Error::invalid(operation, Invalid::new(field, value, rule)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!(cut("short"), "short");
        let long = format!("{}ä", "x".repeat(MAX_DETAIL - 1));
        assert_eq!(cut(&long), "x".repeat(MAX_DETAIL - 1), "half an ä is no text");
        assert_eq!(cut(&"x".repeat(MAX_DETAIL + 1)).len(), MAX_DETAIL);
    }

    #[test]
    fn a_refusal_names_field_value_and_rule() {
        let e = check_ttl("acquire", Duration::ZERO, Duration::from_millis(1)).unwrap_err();
        assert_eq!(e.to_string(), "acquire: invalid input: ttl is `0ns`: this store keeps leases of at least 1ms");
    }
}
