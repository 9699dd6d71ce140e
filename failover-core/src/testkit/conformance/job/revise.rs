//! Revising a job, and what stays: effects 10 and 11.

use std::time::Duration;

use super::super::Fixture;
use super::super::kit::{handles, longest, member, node, ok, together, wakes};
use super::kit::{accepted, applied, drain, head, id, job, place, placed, record, said, seize, spec, submit};
use crate::Backend;
use crate::ids::{ClassName, Epoch, GroupName, Revision};
use crate::job::{
    Failback, FailoverPolicy, JobChange, JobPolicy, JobRecord, JobSpec, JobStatus, MAX_PAYLOAD, MAX_RULES, Phase,
    Removed, Reported, Revised, Submitted,
};

fn with_payload(name: &str, payload: impl Into<String>) -> JobSpec {
    spec(name).with_payload(payload).unwrap_or_else(|e| panic!("{e}"))
}

fn with_policy(name: &str, policy: JobPolicy) -> JobSpec {
    spec(name).with_policy(policy).unwrap_or_else(|e| panic!("{e}"))
}

/// A policy with every field set to something that is not the default.
fn policy() -> JobPolicy {
    JobPolicy {
        class: Some(ClassName::new(longest('c')).unwrap_or_else(|e| panic!("{e}"))),
        priority: i32::MIN,
        pins: vec![node("n2"), node("n10"), node("n1")],
        requires: [("zone".to_owned(), "eu-\u{1F980} \"a\" \\ 'b'".to_owned()), ("gpu".to_owned(), String::new())]
            .into(),
        prefers: (0..MAX_RULES).map(|i| (format!("label-{i}"), "ä".repeat(256))).collect(),
        apart: Some(GroupName::new("db").unwrap_or_else(|e| panic!("{e}"))),
        failover: FailoverPolicy::Manual,
        failback: Some(Failback::Automatic { stable_for: Duration::from_hours(24 * 365 * 9) }),
        retries: Some(u32::MAX),
        backoff: Some(Duration::from_millis(1)),
        progress: Some(Duration::from_secs(45)),
    }
}

/// Revises what has to be changed by it.
async fn revised(backend: &Backend, spec: &JobSpec) {
    assert_eq!(ok(backend.jobs.revise(spec).await), Revised::Changed, "{spec:?} is new to it");
}

/// Effect 1: what a policy says is kept unchanged, and a job with another policy is another job.
pub async fn a_policy_is_kept_unchanged(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let asked = with_policy("import", policy());
    assert_eq!(ok(backend.jobs.submit(&asked).await), Submitted::Created, "it is new");
    assert_eq!(job(&other, "import").await.spec.policy(), &policy(), "every field is as it was submitted");
    assert_eq!(ok(other.jobs.submit(&asked).await), Submitted::Unchanged, "the same is the same");
    for another in [spec("import"), with_policy("import", JobPolicy { retries: None, ..policy() })] {
        assert_eq!(ok(backend.jobs.submit(&another).await), Submitted::Conflict, "another policy is another job");
    }
    let m = member("n1", 1);
    applied(&backend, &[place("import", 0, &m)]).await;
    accepted(&backend, "import", &m, 1, JobStatus::Running).await;
    assert!(job(&other, "import").await.spec == asked, "a placement and a report leave it as it is");
    for policy in [JobPolicy { failover: FailoverPolicy::Never, failback: None, ..policy() }, JobPolicy::default()] {
        revised(&backend, &with_policy("import", policy.clone())).await;
        assert_eq!(job(&other, "import").await.spec.policy(), &policy, "it is as it was revised");
    }
}

/// Effect 10: to revise a job replaces its spec and nothing else of it; what runs goes on, and whoever reads the feed sees it.
pub async fn to_revise_a_job_changes_its_spec_only(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let (m, next) = (member("n1", 1), member("n2", 2));
    placed(&backend, "import", &m).await;
    accepted(&backend, "import", &m, 1, JobStatus::Failed("why".to_owned())).await;
    applied(&backend, &[place("import", 1, &m)]).await;
    accepted(&backend, "import", &m, 2, JobStatus::Progress("half".to_owned())).await;
    submit(&backend, "untouched").await;
    let (before, position) = (job(&backend, "import").await, head(&backend).await);
    let asked = with_payload("import", "something else").with_policy(policy()).unwrap_or_else(|e| panic!("{e}"));
    let asked = asked.with_weight(7).unwrap_or_else(|e| panic!("{e}"));
    revised(&backend, &asked).await;
    let after = job(&other, "import").await;
    assert!(after.revision > position, "the change raises the revision");
    assert_eq!(after, JobRecord { spec: asked.clone(), revision: after.revision, ..before }, "nothing else is changed");
    let page = ok(other.jobs.changes(position, 10).await);
    assert_eq!(page.changes, [JobChange::Put(after.clone())], "the feed tells it, and only that");

    let position = head(&backend).await;
    assert_eq!(ok(other.jobs.revise(&asked).await), Revised::Unchanged, "the same again is a retry");
    assert_eq!((job(&backend, "import").await, head(&backend).await), (after, position), "which changes nothing");
    assert_eq!(ok(backend.jobs.submit(&asked).await), Submitted::Unchanged, "it is as if submitted like this");
    assert_eq!(ok(backend.jobs.submit(&spec("import")).await), Submitted::Conflict, "and no more as it was");

    accepted(&backend, "import", &m, 2, JobStatus::Running).await;
    applied(&backend, &[drain("import", 2)]).await;
    accepted(&backend, "import", &m, 2, JobStatus::Stopped).await;
    applied(&backend, &[place("import", 2, &next)]).await;
    let record = job(&other, "import").await;
    assert!(record.spec == asked, "its next run gets the new payload");
    assert_eq!((record.epoch, record.owner, record.runs.len()), (Epoch(3), Some(next), 3), "it went on as ever");
}

/// Effect 10: a job may be revised wherever it stands, and stays there.
pub async fn a_job_is_revised_in_any_phase(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    submit(&backend, "queued").await;
    for name in ["assigned", "running", "draining", "completed", "failed", "lost"] {
        placed(&backend, name, &m).await;
    }
    accepted(&backend, "running", &m, 1, JobStatus::Running).await;
    applied(&backend, &[drain("draining", 1), seize("lost", 1, &m, None)]).await;
    accepted(&backend, "completed", &m, 1, JobStatus::Completed).await;
    accepted(&backend, "failed", &m, 1, JobStatus::Failed("why".to_owned())).await;
    for phase in Phase::ALL {
        let name = phase.as_str();
        let before = job(&backend, name).await;
        assert_eq!(before.phase, phase, "{name} is {name}");
        let asked = with_payload(name, "something else");
        revised(&backend, &asked).await;
        let after = job(&backend, name).await;
        assert_eq!(after, JobRecord { spec: asked, revision: after.revision, ..before }, "{name} stays {name}");
    }
}

/// Effect 10: a job that is not there, or is going, is not revised, nor made by it.
pub async fn a_job_that_is_not_there_is_not_revised(fixture: &dyn Fixture) {
    let (backend, elsewhere) = (fixture.open().await, fixture.open_other().await);
    let m = member("n1", 1);
    let other = |name: &str| with_payload(name, "something else");
    submit(&backend, "removed").await;
    assert_eq!(ok(backend.jobs.remove(&id("removed")).await), Removed::Gone, "nobody owns it");
    placed(&backend, "retiring", &m).await;
    assert_eq!(ok(backend.jobs.remove(&id("retiring")).await), Removed::Retiring, "its owner has to stop it");
    let (before, position) = (job(&backend, "retiring").await, head(&backend).await);
    for name in ["never", "removed", "retiring"] {
        assert_eq!(ok(backend.jobs.revise(&other(name)).await), Revised::Absent, "{name} is no job to revise");
    }
    assert_eq!(ok(backend.jobs.revise(&spec("retiring")).await), Revised::Absent, "not even to what it is");
    assert_eq!(ok(elsewhere.jobs.revise(&other("retiring")).await), Revised::Absent, "it is not in the other cluster");
    assert_eq!((record(&backend, "never").await, record(&backend, "removed").await), (None, None), "none is made");
    assert_eq!((job(&backend, "retiring").await, head(&backend).await), (before, position), "nothing was changed");
    accepted(&backend, "retiring", &m, 1, JobStatus::Stopped).await;
    assert_eq!(record(&backend, "retiring").await, None, "and it goes as it would have");
}

/// Effect 10: a payload may grow to the largest and shrink again, and a placement in between keeps it whole.
pub async fn a_payload_is_revised_to_any_length(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let m = member("n1", 1);
    let longest = format!("{}{}", "x".repeat(MAX_PAYLOAD % 7), "\u{1F980}\"\\\n".repeat(MAX_PAYLOAD / 7));
    ok(backend.jobs.submit(&with_payload("import", "")).await);
    for (epoch, payload) in (0..).zip([&*longest, "short", &longest, ""]) {
        let asked = with_payload("import", payload);
        revised(&backend, &asked).await;
        applied(&backend, &[place("import", epoch, &m)]).await;
        accepted(&backend, "import", &m, epoch + 1, JobStatus::Stopped).await;
        assert!(job(&other, "import").await.spec == asked, "{} bytes are kept unchanged", payload.len());
    }
}

/// Effect 11: a record's `submitted` is the revision it was submitted under, through all that befalls it.
pub async fn the_revision_of_the_submission_stays(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let m = member("n1", 1);
    submit(&backend, "first").await;
    submit(&backend, "second").await;
    let (first, second) = (job(&other, "first").await, job(&other, "second").await);
    assert_eq!((first.submitted, second.submitted), (first.revision, second.revision), "each under its own");
    assert!(Revision::ZERO < first.submitted && first.submitted < second.submitted, "in the order of submission");
    let stays = async |what: &str| {
        let now = job(&other, "first").await;
        assert_eq!(now.submitted, first.submitted, "it stays through {what}");
        assert!(now.revision > now.submitted, "while {what} has a revision of its own");
    };
    applied(&backend, &[place("first", 0, &m)]).await;
    stays("a placement").await;
    accepted(&backend, "first", &m, 1, JobStatus::Progress("half".to_owned())).await;
    stays("a report").await;
    revised(&backend, &with_payload("first", "something else")).await;
    stays("a revision").await;
    applied(&backend, &[drain("first", 1)]).await;
    stays("a drain").await;
    applied(&backend, &[seize("first", 1, &m, None)]).await;
    stays("a seizure").await;
    ok(backend.jobs.remove(&id("first")).await);
    submit(&backend, "first").await;
    let again = job(&other, "first").await;
    assert_eq!(again.submitted, again.revision, "one that is submitted anew begins anew");
    assert!(again.submitted > second.submitted, "behind those that were there");
}

/// Effect 10 under contention: a job that is revised while its owner reports keeps both.
pub async fn a_revision_and_a_report_at_once_are_both_kept(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let m = member("n1", 1);
    for i in 0..super::super::kit::WRITERS / 2 {
        placed(&handles[0], &format!("job-{i}"), &m).await;
    }
    let failure = JobStatus::Failed("why".to_owned());
    together(&handles, |i, backend| {
        let (name, m, failure) = (format!("job-{}", i / 2), m.clone(), failure.clone());
        async move {
            if i % 2 == 0 {
                revised(&backend, &with_payload(&name, "something else")).await;
            } else {
                let answers = ok(backend.jobs.report(&[said(&name, &m, 1, failure)]).await);
                assert_eq!(answers, [Reported::Accepted], "the report counts");
            }
        }
    })
    .await;
    for i in 0..super::super::kit::WRITERS / 2 {
        let name = format!("job-{i}");
        let record = job(&handles[1], &name).await;
        assert!(record.spec == with_payload(&name, "something else"), "{name} was revised");
        assert_eq!((record.phase, record.failures), (Phase::Failed, 1), "{name} has failed");
    }
}

/// Effect 12: who waits is woken when a job is revised.
pub async fn changed_wakes_when_a_job_is_revised(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    if fixture.hints() {
        submit(&backend, "import").await;
        let other = &other;
        wakes(backend.jobs.changed(), |n| async move { revised(other, &with_payload("import", n.to_string())).await })
            .await;
    }
}
