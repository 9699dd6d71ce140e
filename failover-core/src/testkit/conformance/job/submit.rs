//! Submitting and removing: effects 1 and 2.

use super::super::Fixture;
use super::super::kit::{longest, member, ok};
use super::kit::{accepted, applied, head, id, job, place, placed, record, seize, spec, stands, submit};
use crate::ids::Epoch;
use crate::job::{JobSpec, JobStatus, MAX_PAYLOAD, Phase, Removed, Submitted};

/// Effect 1: a new job is queued as it was submitted, and every handle sees it.
pub async fn a_new_job_is_queued(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let asked = spec("import").with_weight(1_000_000).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(ok(backend.jobs.submit(&asked).await), Submitted::Created, "it is new");
    let record = job(&other, "import").await;
    assert_eq!(record.spec, asked, "the spec is kept unchanged");
    assert_eq!(
        (record.phase, record.epoch, &record.owner),
        (Phase::Queued, Epoch::ZERO, &None),
        "it waits to be placed"
    );
    assert_eq!((record.retiring, record.failures, record.detail.as_str()), (false, 0, ""), "nothing has befallen it");
}

/// Effect 1: submitting the same job again, because the answer was missed, changes nothing.
pub async fn the_same_job_again_is_unchanged(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    submit(&backend, "import").await;
    applied(&backend, &[place("import", 0, &member("n1", 1))]).await;
    let (before, position) = (job(&backend, "import").await, head(&backend).await);
    assert_eq!(ok(other.jobs.submit(&spec("import")).await), Submitted::Unchanged, "the same spec is a retry");
    assert_eq!(job(&backend, "import").await, before, "its placement is not touched");
    assert_eq!(head(&backend).await, position, "no revision is spent");
}

/// Effect 1: another spec under a name that is taken is a conflict, not an update.
pub async fn another_spec_is_a_conflict(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    submit(&backend, "import").await;
    let other_payload = JobSpec::new(id("import"), "something else").unwrap_or_else(|e| panic!("{e}"));
    let other_weight = spec("import").with_weight(2).unwrap_or_else(|e| panic!("{e}"));
    for other in [other_payload, other_weight] {
        assert_eq!(ok(backend.jobs.submit(&other).await), Submitted::Conflict, "{other:?} is another job");
    }
    assert_eq!(job(&backend, "import").await.spec, spec("import"), "the first one stands");
}

/// Effect 1: a payload is the host's own; the longest and the strangest come back unchanged.
pub async fn payloads_are_kept_unchanged(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let longest = "x".repeat(MAX_PAYLOAD);
    let payloads = ["", "{\"a\": [1, null]}", "'; DROP TABLE jobs;--", "\u{1F980} \\ \" \r\n\t ü", &longest];
    for (i, payload) in payloads.iter().enumerate() {
        let asked = JobSpec::new(id(&format!("job-{i}")), *payload).unwrap_or_else(|e| panic!("{e}"));
        ok(backend.jobs.submit(&asked).await);
        assert!(job(&backend, &format!("job-{i}")).await.spec == asked, "payload {i} is kept unchanged");
    }
}

/// Effect 1: a job that has ended keeps its record, so submitting it again does not run it again.
pub async fn a_job_that_has_ended_is_unchanged(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    accepted(&backend, "import", &m, 1, JobStatus::Completed).await;
    assert_eq!(ok(backend.jobs.submit(&spec("import")).await), Submitted::Unchanged, "it is there already");
    assert_eq!(stands(&backend, "import").await, (Phase::Completed, Epoch(1), None), "and stays completed");
}

/// Effect 2: a job nobody owns goes at once; removing it again finds nothing.
pub async fn removing_a_job_without_owner_deletes_it(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    submit(&backend, "import").await;
    submit(&backend, "import-2").await;
    assert_eq!(ok(backend.jobs.remove(&id("import")).await), Removed::Gone, "nobody owns it");
    assert_eq!(record(&other, "import").await, None, "it is gone");
    assert_eq!(ok(other.jobs.remove(&id("import")).await), Removed::Absent, "there is none any more");
    assert_eq!(ok(other.jobs.remove(&id("never")).await), Removed::Absent, "there never was one");
    job(&backend, "import-2").await;
}

/// Effect 2: a job somebody owns is retiring until its owner has stopped it, however that ends.
pub async fn removing_an_owned_job_waits_for_its_owner(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    let endings = [JobStatus::Stopped, JobStatus::Completed, JobStatus::Failed("why".to_owned())];
    for (i, ending) in endings.into_iter().enumerate() {
        let name = format!("job-{i}");
        placed(&backend, &name, &m).await;
        assert_eq!(ok(backend.jobs.remove(&id(&name)).await), Removed::Retiring, "its owner has to stop it");
        let retiring = job(&backend, &name).await;
        assert!(retiring.retiring, "it is retiring");
        assert_eq!((retiring.epoch, retiring.owner), (Epoch(1), Some(m.clone())), "it is still its owner's");
        let position = head(&backend).await;
        assert_eq!(ok(backend.jobs.remove(&id(&name)).await), Removed::Retiring, "removing twice is removing once");
        assert_eq!(head(&backend).await, position, "no revision is spent");
        accepted(&backend, &name, &m, 1, JobStatus::Running).await;
        assert!(job(&backend, &name).await.retiring, "a report does not undo it");
        accepted(&backend, &name, &m, 1, ending).await;
        assert_eq!(record(&backend, &name).await, None, "it goes the moment its ownership ends");
    }
}

/// Effects 2 and 5: a retiring job that is seized goes, and is not given on.
pub async fn seizing_a_retiring_job_deletes_it(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (from, to) = (member("n1", 1), member("n2", 2));
    for (name, to) in [("to-nobody", None), ("to-somebody", Some(&to))] {
        placed(&backend, name, &from).await;
        assert_eq!(ok(backend.jobs.remove(&id(name)).await), Removed::Retiring, "its owner has to stop it");
        applied(&backend, &[seize(name, 1, &from, to)]).await;
        assert_eq!(record(&backend, name).await, None, "its ownership has ended");
        submit(&backend, name).await;
        assert_eq!(job(&backend, name).await.epoch, Epoch(2), "the seizure counted as an epoch");
    }
}

/// Effect 1: a name whose job is still being removed is taken.
pub async fn submitting_a_retiring_job_is_a_conflict(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    ok(backend.jobs.remove(&id("import")).await);
    assert_eq!(ok(backend.jobs.submit(&spec("import")).await), Submitted::Conflict, "it is still being removed");
    assert!(job(&backend, "import").await.retiring, "and goes on being removed");
    accepted(&backend, "import", &m, 1, JobStatus::Stopped).await;
    submit(&backend, "import").await;
}

/// Effects 1 and 8: a job that is submitted again after its removal goes on counting its epochs.
pub async fn a_resubmitted_job_keeps_its_epoch(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    submit(&backend, "import").await;
    let mut epoch = 0;
    for _ in 0..3 {
        applied(&backend, &[place("import", epoch, &m)]).await;
        epoch += 1;
        accepted(&backend, "import", &m, epoch, JobStatus::Stopped).await;
        assert_eq!(ok(backend.jobs.remove(&id("import")).await), Removed::Gone, "nobody owns it");
        submit(&backend, "import").await;
        let record = job(&backend, "import").await;
        assert_eq!((record.epoch, record.phase), (Epoch(epoch), Phase::Queued), "no epoch comes again");
        assert_eq!((record.failures, record.retiring), (0, false), "all else begins anew");
    }
}

/// Law 18: jobs whose names differ only in case, or by a suffix, are different jobs; the longest name is kept whole.
pub async fn jobs_with_similar_names_are_different_jobs(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let long = longest('j');
    let names = ["job", "Job", "JOB", "job.", "job-1", "job_1", &long, &long[..63]];
    for name in names {
        submit(&backend, name).await;
    }
    assert_eq!(ok(backend.jobs.remove(&id("Job")).await), Removed::Gone, "one of them goes");
    for name in names.into_iter().filter(|name| *name != "Job") {
        assert_eq!(job(&backend, name).await.spec, spec(name), "{name} stands for itself");
    }
    assert_eq!(record(&backend, "Job").await, None, "only the one has gone");
}
