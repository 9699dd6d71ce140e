//! What owners report: effect 7.

use super::super::Fixture;
use super::super::kit::{fails, handles, member, ok, together};
use super::kit::{accepted, applied, drain, head, id, job, place, placed, record, report, said, seize, stands};
use crate::error::ErrorKind;
use crate::ids::Epoch;
use crate::job::{JobStatus, MAX_BATCH, MAX_DETAIL, Phase, Removed, Reported};

/// Effect 7: a job whose owner says so runs; saying it again changes no revision.
pub async fn a_running_job_is_reported_once(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    accepted(&backend, "import", &m, 1, JobStatus::Running).await;
    let position = head(&backend).await;
    accepted(&other, "import", &m, 1, JobStatus::Running).await;
    assert_eq!(stands(&other, "import").await, (Phase::Running, Epoch(1), Some(m)), "it runs");
    assert_eq!(head(&backend).await, position, "a repeated report changes no revision");
}

/// Effect 7: progress is kept as it was told; a text that is too long is cut, not refused.
pub async fn progress_is_kept_and_cut(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    for text in ["17 of 23", "", "\u{1F980} 'half\" \\ \r\n"] {
        accepted(&backend, "import", &m, 1, JobStatus::Progress(text.to_owned())).await;
        let record = job(&backend, "import").await;
        assert_eq!((record.phase, record.detail.as_str()), (Phase::Running, text), "it runs, and this far it is");
    }
    let long = "ä".repeat(MAX_DETAIL);
    accepted(&backend, "import", &m, 1, JobStatus::Progress(long.clone())).await;
    let kept = job(&backend, "import").await.detail;
    assert!(kept.len() <= MAX_DETAIL, "{} bytes were kept, and {MAX_DETAIL} are the most", kept.len());
    assert!(kept.len() > MAX_DETAIL / 2 && long.starts_with(&kept), "what was kept is how it began");
}

/// Effect 7: a job that was stopped may be placed again, and its epoch stays until then.
pub async fn a_stopped_job_is_queued_again(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    accepted(&backend, "import", &m, 1, JobStatus::Stopped).await;
    assert_eq!(stands(&backend, "import").await, (Phase::Queued, Epoch(1), None), "it waits to be placed");
    applied(&backend, &[place("import", 1, &member("n2", 2))]).await;
}

/// Effect 7: a job that is done is nobody's, under its last epoch.
pub async fn a_completed_job_has_no_owner(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    accepted(&backend, "import", &m, 1, JobStatus::Completed).await;
    assert_eq!(stands(&backend, "import").await, (Phase::Completed, Epoch(1), None), "it is done");
}

/// Effect 7: a failure is counted and its reason kept.
pub async fn a_failure_is_counted_with_its_reason(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    for round in 1..=3_u32 {
        let why = format!("failure {round}");
        accepted(&backend, "import", &m, round.into(), JobStatus::Failed(why.clone())).await;
        let record = job(&backend, "import").await;
        assert_eq!((record.phase, record.owner, record.epoch), (Phase::Failed, None, Epoch(round.into())), "it failed");
        assert_eq!((record.failures, record.detail), (round, why), "each failure counts once");
        applied(&backend, &[place("import", round.into(), &m)]).await;
    }
}

/// Effect 7: only the owner's word counts, and only under the current epoch.
pub async fn a_report_of_another_member_or_epoch_is_stale(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (m, next) = (member("n1", 1), member("n2", 2));
    placed(&backend, "import", &m).await;
    let before = job(&backend, "import").await;
    let stale = [(member("n1", 2), 1), (next.clone(), 1), (m.clone(), 0), (m.clone(), 2)];
    for (who, epoch) in stale {
        for status in [JobStatus::Running, JobStatus::Stopped, JobStatus::Failed("why".to_owned())] {
            let answer = report(&backend, "import", &who, epoch, status).await;
            assert_eq!(answer, Reported::Stale, "{who} under epoch {epoch} is not the owner");
        }
    }
    assert_eq!(report(&backend, "absent", &m, 1, JobStatus::Running).await, Reported::Stale, "there is no such job");
    assert_eq!(job(&backend, "import").await, before, "nothing was changed");
    applied(&backend, &[seize("import", 1, &m, Some(&next))]).await;
    assert_eq!(report(&backend, "import", &m, 1, JobStatus::Completed).await, Reported::Stale, "it was taken away");
    assert_eq!(stands(&backend, "import").await, (Phase::Assigned, Epoch(2), Some(next)), "it is the next owner's");
}

/// Effect 7: a job that is to stop stays so while its owner still reports that it runs.
pub async fn a_draining_job_stays_draining_until_it_ends(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    applied(&backend, &[drain("import", 1)]).await;
    accepted(&backend, "import", &m, 1, JobStatus::Running).await;
    accepted(&backend, "import", &m, 1, JobStatus::Progress("nearly".to_owned())).await;
    let record = job(&backend, "import").await;
    assert_eq!((record.phase, record.detail.as_str()), (Phase::Draining, "nearly"), "it is still to stop");
    accepted(&backend, "import", &m, 1, JobStatus::Completed).await;
    assert_eq!(stands(&backend, "import").await, (Phase::Completed, Epoch(1), None), "it was quicker than that");
}

/// Effect 7, law 5: the repeated report of an ending is stale and changes nothing.
pub async fn the_end_of_an_ownership_is_reported_once(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    accepted(&backend, "import", &m, 1, JobStatus::Failed("why".to_owned())).await;
    let before = job(&backend, "import").await;
    for status in [JobStatus::Failed("why".to_owned()), JobStatus::Stopped, JobStatus::Running] {
        assert_eq!(report(&backend, "import", &m, 1, status).await, Reported::Stale, "it is not its owner any more");
    }
    assert_eq!(job(&backend, "import").await, before, "nothing was changed, no failure counted twice");
}

/// Effect 7: reports are judged one by one, each after the one before it, and answered in their order.
pub async fn reports_are_judged_one_by_one(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (m, other) = (member("n1", 1), member("n2", 2));
    placed(&backend, "a", &m).await;
    placed(&backend, "b", &other).await;
    let reports = [
        said("a", &m, 1, JobStatus::Running),
        said("b", &m, 1, JobStatus::Running),
        said("absent", &m, 1, JobStatus::Running),
        said("a", &m, 1, JobStatus::Stopped),
        said("a", &m, 1, JobStatus::Running),
        said("b", &other, 1, JobStatus::Progress("half".to_owned())),
    ];
    let answers = ok(backend.jobs.report(&reports).await);
    let (yes, no) = (Reported::Accepted, Reported::Stale);
    assert_eq!(answers, [yes, no, no, yes, no, yes], "each by how things stand when its turn comes");
    assert_eq!(stands(&backend, "a").await, (Phase::Queued, Epoch(1), None), "a was stopped");
    assert_eq!(stands(&backend, "b").await, (Phase::Running, Epoch(1), Some(other)), "b runs");
    assert_eq!(ok(backend.jobs.report(&[]).await), [], "no report, no answer");
    placed(&backend, "c", &m).await;
    assert_eq!(ok(backend.jobs.remove(&id("c")).await), Removed::Retiring, "it is still to stop");
    let statuses = [JobStatus::Progress("half".to_owned()), JobStatus::Completed, JobStatus::Running];
    let answers = ok(backend.jobs.report(&statuses.map(|status| said("c", &m, 1, status))).await);
    assert_eq!(answers, [yes, yes, no], "it is gone with the second");
    assert_eq!(record(&backend, "c").await, None, "and what was said before does not bring it back");
}

/// Failure 2: the largest batch is taken, and one more report is refused as input.
pub async fn a_batch_above_the_most_reports_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    let reports = vec![said("import", &m, 1, JobStatus::Running); MAX_BATCH + 1];
    fails(backend.jobs.report(&reports).await, ErrorKind::Invalid, "one report too many");
    assert_eq!(job(&backend, "import").await.phase, Phase::Assigned, "nothing of it counted");
    let answers = ok(backend.jobs.report(&reports[1..]).await);
    assert_eq!(answers, [Reported::Accepted; MAX_BATCH], "the largest batch is answered whole");
}

/// Effect 7 under contention: of twenty reports that end an ownership at once, one counts.
pub async fn of_twenty_concurrent_endings_one_counts(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    placed(&handles[0], "import", &member("n1", 1)).await;
    let answers = together(&handles, |i, backend| async move {
        report(&backend, "import", &member("n1", 1), 1, JobStatus::Failed(i.to_string())).await
    })
    .await;
    let counted: Vec<usize> = (0..answers.len()).filter(|i| answers[*i] == Reported::Accepted).collect();
    assert_eq!(counted.len(), 1, "one counts: {answers:?}");
    let record = job(&handles[1], "import").await;
    assert_eq!((record.failures, record.detail), (1, counted[0].to_string()), "and that one is kept");
}
