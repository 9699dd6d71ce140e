//! What a record remembers of its job's way: course and runs, effects 5 and 9.

use super::super::Fixture;
use super::super::kit::{member, node, ok};
use super::kit::{accepted, applied, drain, id, job, place, placed, said, seize, submit};
use crate::ids::{Epoch, Member};
use crate::job::{
    Course, JobRecord, JobStatus, MAX_RUN_DETAIL, MAX_RUNS, Move, Outcome, Phase, Removed, Reported, Run,
};

fn course(home: &str, target: &str, retries: u32) -> Course {
    Course { home: Some(node(home)), target: Some(node(target)), retries }
}

fn noting(wanted: Move, course: &Course) -> Move {
    Move { course: course.clone(), ..wanted }
}

/// What a run is, but for the times, which are for people: its epoch, its owner, its outcome and last words.
type Told<'a> = (Epoch, &'a Member, Option<(Outcome, &'a str)>);

fn told(run: &Run) -> Told<'_> {
    (run.epoch, &run.member, run.end.as_ref().map(|end| (end.outcome, end.detail.as_str())))
}

fn all(record: &JobRecord) -> Vec<Told<'_>> {
    record.runs.iter().map(told).collect()
}

/// Effect 5: every step, a drain as well, sets the record's course to its move's; reports leave it as it is.
pub async fn a_moves_course_is_kept_until_the_next_move(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let (m, next) = (member("n1", 1), member("n2", 2));
    submit(&backend, "import").await;
    assert_eq!(job(&other, "import").await.course, Course::default(), "nothing is noted of a new job");
    let (first, second, third) = (course("n1", "n2", u32::MAX), course("n3", "n4", 1), course("n5", "n6", 2));
    applied(&backend, &[noting(place("import", 0, &m), &first)]).await;
    for status in [JobStatus::Running, JobStatus::Progress("half".to_owned())] {
        accepted(&backend, "import", &m, 1, status).await;
        assert_eq!(job(&other, "import").await.course, first, "the placement's course stays");
    }
    for noted in [&second, &third] {
        applied(&backend, &[noting(drain("import", 1), noted)]).await;
        assert_eq!(job(&other, "import").await.course, *noted, "a drain notes its course, also of one that drains");
    }
    applied(&backend, &[noting(seize("import", 1, &m, Some(&next)), &second)]).await;
    assert_eq!(job(&other, "import").await.course, second, "a seizure notes its course");
    accepted(&backend, "import", &next, 2, JobStatus::Failed("why".to_owned())).await;
    assert_eq!(job(&other, "import").await.course, second, "an ending leaves it as it is");
    applied(&backend, &[place("import", 2, &m)]).await;
    assert_eq!(job(&other, "import").await.course, Course::default(), "a move that notes nothing leaves nothing");
    applied(&backend, &[noting(seize("import", 3, &m, None), &first)]).await;
    assert_eq!(job(&other, "import").await.course, first, "a seizure to nobody notes its course");
}

/// Effect 9: each placement opens a run of its epoch and owner, which stays open while the job is the owner's.
pub async fn a_placement_opens_a_run(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let (m, next) = (member("n1", u128::MAX), member("n2", 2));
    submit(&backend, "import").await;
    assert_eq!(all(&job(&backend, "import").await), [], "a new job has not run");
    applied(&backend, &[place("import", 0, &m)]).await;
    assert_eq!(all(&job(&other, "import").await), [(Epoch(1), &m, None)], "the placement opens one");
    accepted(&backend, "import", &m, 1, JobStatus::Running).await;
    accepted(&backend, "import", &m, 1, JobStatus::Progress("half".to_owned())).await;
    applied(&backend, &[drain("import", 1)]).await;
    assert_eq!(all(&job(&other, "import").await), [(Epoch(1), &m, None)], "it is still the owner's");
    applied(&backend, &[seize("import", 1, &m, Some(&next))]).await;
    let seized = job(&other, "import").await;
    assert_eq!(all(&seized)[1..], [(Epoch(2), &next, None)], "the seizure opens one for the next owner");
}

/// Effect 9: a report that ends the ownership closes the run, with its outcome and the last its owner told.
pub async fn the_end_of_an_ownership_closes_its_run(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let m = member("n1", 1);
    let half = "half, \u{1F980} 'quoted\" \\ \r\n";
    let endings = [
        ("stopped", JobStatus::Stopped, Outcome::Stopped, half),
        ("completed", JobStatus::Completed, Outcome::Completed, half),
        ("failed", JobStatus::Failed("why".to_owned()), Outcome::Failed, "why"),
    ];
    for (name, ending, outcome, detail) in endings {
        placed(&backend, name, &m).await;
        // In one batch, so that the ending is judged by what stands before it there.
        let reports = [said(name, &m, 1, JobStatus::Progress(half.to_owned())), said(name, &m, 1, ending)];
        assert_eq!(ok(backend.jobs.report(&reports).await), [Reported::Accepted; 2], "both count");
        let ended = job(&other, name).await;
        assert_eq!(all(&ended), [(Epoch(1), &m, Some((outcome, detail)))], "the run is closed as {outcome}");
    }
    let before = job(&other, "failed").await;
    applied(&backend, &[place("failed", 1, &m)]).await;
    let again = job(&other, "failed").await;
    assert_eq!(again.detail, "", "what an earlier run told is not this one's word");
    assert_eq!(again.runs[..1], before.runs, "a run that is closed stays as it is");
    assert_eq!(all(&again)[1..], [(Epoch(2), &m, None)], "the next placement opens the next");
}

/// Effects 5 and 9: the run of a job that is seized is closed as lost, with the last its owner told; seized to nobody, the job is
/// lost, and may be placed again or removed.
pub async fn a_seizure_closes_the_run_as_lost(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let (m, next) = (member("n1", 1), member("n2", 2));
    for name in ["given", "lost"] {
        placed(&backend, name, &m).await;
        accepted(&backend, name, &m, 1, JobStatus::Progress("half".to_owned())).await;
    }
    applied(&backend, &[seize("given", 1, &m, Some(&next)), seize("lost", 1, &m, None)]).await;
    let closed = (Epoch(1), &m, Some((Outcome::Lost, "half")));
    let given = job(&other, "given").await;
    assert_eq!(all(&given), [closed, (Epoch(2), &next, None)], "the next run follows the one that was lost");
    let lost = job(&other, "lost").await;
    assert_eq!((lost.phase, lost.epoch, &lost.owner), (Phase::Lost, Epoch(2), &None), "its node was lost");
    assert_eq!((lost.failures, all(&lost)), (0, vec![closed]), "that is no failure, and no run");
    applied(&backend, &[place("lost", 2, &next)]).await;
    let again = job(&other, "lost").await;
    assert_eq!((again.phase, &again.owner), (Phase::Assigned, &Some(next.clone())), "it runs again elsewhere");
    assert_eq!(all(&again), [closed, (Epoch(3), &next, None)], "under the epoch after the seizure's");
    applied(&backend, &[seize("lost", 3, &next, None)]).await;
    assert_eq!(ok(backend.jobs.remove(&id("lost")).await), Removed::Gone, "a lost job is nobody's, so it goes at once");
}

/// Effect 9: the latest runs are kept, in their order, and no more of them than the most.
pub async fn the_latest_runs_are_kept(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let members = [member("n1", 1), member("n2", 2), member("n3", 3)];
    submit(&backend, "import").await;
    let mut history: Vec<(Epoch, Member)> = Vec::new();
    let rounds = MAX_RUNS as u64 + 3;
    for (epoch, m) in (1..=rounds).zip(members.iter().cycle()) {
        applied(&backend, &[place("import", epoch - 1, m)]).await;
        history.push((Epoch(epoch), m.clone()));
        let record = job(&backend, "import").await;
        let kept: Vec<_> = record.runs.iter().map(|run| (run.epoch, run.member.clone())).collect();
        assert_eq!(kept, history[history.len().saturating_sub(MAX_RUNS)..], "the latest {MAX_RUNS}, in order");
        let open: Vec<Epoch> = record.runs.iter().filter(|run| run.end.is_none()).map(|run| run.epoch).collect();
        assert_eq!(open, [Epoch(epoch)], "the present one is open, and only that");
        accepted(&backend, "import", m, epoch, JobStatus::Stopped).await;
    }
    let [m, next, _] = &members;
    applied(&backend, &[place("import", rounds, m)]).await;
    applied(&backend, &[seize("import", rounds + 1, m, Some(next))]).await;
    let record = job(&backend, "import").await;
    assert_eq!(record.runs.len(), MAX_RUNS, "a seizure drops the oldest as well");
    let latest = record.runs.last().map(|run| (run.epoch, &run.member));
    assert_eq!(latest, Some((Epoch(rounds + 2), next)), "and the latest is there");
}

/// Effect 9: of a run's last words as much is kept as has room, and the record's own text is not cut by it.
pub async fn a_runs_last_words_are_cut(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    // An odd offset before letters of two bytes: the cut falls into one.
    let long = format!("x{}", "ä".repeat(MAX_RUN_DETAIL));
    for (name, ending) in [("stopped", JobStatus::Stopped), ("failed", JobStatus::Failed(long.clone()))] {
        placed(&backend, name, &m).await;
        accepted(&backend, name, &m, 1, JobStatus::Progress(long.clone())).await;
        accepted(&backend, name, &m, 1, ending).await;
        let record = job(&backend, name).await;
        assert_eq!(record.detail, long, "the record keeps what the owner told");
        let kept = record.runs[0].end.as_ref().map_or("", |end| end.detail.as_str());
        assert!(kept.len() <= MAX_RUN_DETAIL, "{} bytes were kept, and {MAX_RUN_DETAIL} are the most", kept.len());
        assert!(kept.len() > MAX_RUN_DETAIL / 2 && long.starts_with(kept), "what was kept is how it began: {kept}");
    }
}

/// Effects 5 and 9: a job that is submitted anew after its removal begins without course and runs.
pub async fn a_resubmitted_job_begins_without_a_past(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    submit(&backend, "import").await;
    applied(&backend, &[noting(place("import", 0, &m), &course("n1", "n2", 3))]).await;
    accepted(&backend, "import", &m, 1, JobStatus::Failed("why".to_owned())).await;
    assert_eq!(ok(backend.jobs.remove(&id("import")).await), Removed::Gone, "nobody owns it");
    submit(&backend, "import").await;
    let record = job(&backend, "import").await;
    assert_eq!((record.runs, record.course), (vec![], Course::default()), "it is another job of this name");
    applied(&backend, &[place("import", 1, &m)]).await;
    let record = job(&backend, "import").await;
    assert_eq!(all(&record), [(Epoch(2), &m, None)], "its first run is the only one");
}
