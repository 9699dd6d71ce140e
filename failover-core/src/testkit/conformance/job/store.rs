//! Restarts, losses of the store, and hints: effects 8 and 12, failures 3 and 4.

use super::super::Fixture;
use super::super::kit::{fails, fence, member, ok, wakes};
use super::kit::{accepted, applied, head, id, job, place, placed, said, spec, submit};
use crate::error::ErrorKind;
use crate::ids::Revision;
use crate::job::{JobStatus, Removed};

/// Effect 8: jobs, revisions and epochs survive that every handle is closed and, where the store keeps its data, its restart.
pub async fn jobs_survive_reopening(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "kept", &m).await;
    accepted(&backend, "kept", &m, 1, JobStatus::Failed("why".to_owned())).await;
    applied(&backend, &[place("kept", 1, &m)]).await;
    placed(&backend, "gone", &m).await;
    accepted(&backend, "gone", &m, 1, JobStatus::Stopped).await;
    assert_eq!(ok(backend.jobs.remove(&id("gone")).await), Removed::Gone, "nobody owns it");
    let (kept, position) = (job(&backend, "kept").await, head(&backend).await);
    drop(backend);
    fixture.restart().await;
    let backend = fixture.open().await;
    assert_eq!(job(&backend, "kept").await, kept, "it is as it was");
    submit(&backend, "gone").await;
    let again = job(&backend, "gone").await;
    assert_eq!(again.epoch.0, 1, "the epoch of a removed job is remembered");
    assert!(again.revision > position, "revisions go on rising");
}

/// Failure 4: who knew a store that was lost is told so, and not that there are no jobs.
pub async fn a_wiped_store_is_noticed(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    fixture.wipe().await;
    let changed = ErrorKind::StoreChanged;
    fails(backend.jobs.changes(Revision::ZERO, 10).await, changed, "`changes` after a wipe");
    fails(backend.jobs.submit(&spec("import")).await, changed, "`submit` after a wipe");
    fails(backend.jobs.revise(&spec("import")).await, changed, "`revise` after a wipe");
    fails(backend.jobs.remove(&id("import")).await, changed, "`remove` after a wipe");
    fails(backend.jobs.assign(&fence("active", 1), &[]).await, changed, "`assign` after a wipe");
    let running = [said("import", &m, 1, JobStatus::Running)];
    fails(backend.jobs.report(&running).await, changed, "`report` after a wipe");
}

/// Failure 3: a record of a newer format is refused, and left as it is.
pub async fn a_newer_format_is_refused(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    fixture.make_newer().await;
    let newer = ErrorKind::TooNew;
    fails(backend.jobs.submit(&spec("import")).await, newer, "`submit` over a newer record");
    let other = spec("import").with_weight(2).unwrap_or_else(|e| panic!("{e}"));
    fails(backend.jobs.revise(&other).await, newer, "`revise` of a newer record");
    fails(backend.jobs.remove(&id("import")).await, newer, "`remove` of a newer record");
    let drain = [super::kit::drain("import", 1)];
    fails(backend.jobs.assign(&fence("active", 1), &drain).await, newer, "`assign` of a newer record");
    let running = [said("import", &m, 1, JobStatus::Running)];
    fails(backend.jobs.report(&running).await, newer, "`report` of a newer record");
    fails(backend.jobs.changes(Revision::ZERO, 10).await, newer, "`changes` of a newer record");
}

/// Effect 12: who waits is woken by a change of anyone's.
pub async fn changed_wakes_when_a_job_changes(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    if fixture.hints() {
        let other = &other;
        wakes(backend.jobs.changed(), |n| async move { submit(other, &format!("job-{n}")).await }).await;
    }
}
