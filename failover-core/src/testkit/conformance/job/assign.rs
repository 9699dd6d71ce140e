//! Moves: effect 5.

use super::super::Fixture;
use super::super::kit::{fails, fence, handles, member, ok, together};
use super::kit::{accepted, applied, assign, drain, head, id, job, place, placed, seize, stale, stands, submit};
use crate::error::ErrorKind;
use crate::ids::Epoch;
use crate::job::{Assigned, JobStatus, MAX_BATCH, Phase};

/// Effect 5: a job that is placed is its owner's, under the next epoch.
pub async fn a_placed_job_is_its_owners_under_the_next_epoch(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let m = member("n1", u128::MAX);
    submit(&backend, "import").await;
    applied(&backend, &[place("import", 0, &m)]).await;
    assert_eq!(stands(&other, "import").await, (Phase::Assigned, Epoch(1), Some(m)), "it is its owner's");
}

/// Effect 5: what was decided on another epoch is stale, on an older one as on one to come.
pub async fn a_move_on_another_epoch_is_stale(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (m, other) = (member("n1", 1), member("n2", 2));
    submit(&backend, "import").await;
    stale(&backend, &[place("import", 1, &m)], &["import"]).await;
    applied(&backend, &[place("import", 0, &m)]).await;
    // The retry of a move whose answer was lost, too.
    stale(&backend, &[place("import", 0, &m)], &["import"]).await;
    for epoch in [0, 2] {
        stale(&backend, &[seize("import", epoch, &m, Some(&other))], &["import"]).await;
        stale(&backend, &[drain("import", epoch)], &["import"]).await;
    }
    assert_eq!(stands(&backend, "import").await, (Phase::Assigned, Epoch(1), Some(m)), "nothing was changed");
}

/// Effect 5: a job that has an owner, or has completed, is not placed; one that failed or was lost is.
pub async fn only_a_job_that_waits_is_placed(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (m, other) = (member("n1", 1), member("n2", 2));
    for name in ["owned", "completed", "failed", "lost"] {
        placed(&backend, name, &m).await;
    }
    accepted(&backend, "completed", &m, 1, JobStatus::Completed).await;
    accepted(&backend, "failed", &m, 1, JobStatus::Failed("why".to_owned())).await;
    for name in ["owned", "completed", "absent"] {
        stale(&backend, &[place(name, 1, &other)], &[name]).await;
    }
    applied(&backend, &[seize("lost", 1, &m, None)]).await;
    for (name, epoch) in [("failed", 1), ("lost", 2)] {
        applied(&backend, &[place(name, epoch, &other)]).await;
        let expected = (Phase::Assigned, Epoch(epoch + 1), Some(other.clone()));
        assert_eq!(stands(&backend, name).await, expected, "{name} runs again elsewhere");
    }
}

/// Effect 5: a job taken from its owner is given on under the next epoch, or lost under it.
pub async fn a_seized_job_is_given_on_under_the_next_epoch(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (from, to) = (member("n1", 1), member("n2", 2));
    for name in ["given", "lost"] {
        placed(&backend, name, &from).await;
        accepted(&backend, name, &from, 1, JobStatus::Running).await;
    }
    applied(&backend, &[seize("given", 1, &from, Some(&to)), seize("lost", 1, &from, None)]).await;
    assert_eq!(stands(&backend, "given").await, (Phase::Assigned, Epoch(2), Some(to)), "it is the other's");
    assert_eq!(stands(&backend, "lost").await, (Phase::Lost, Epoch(2), None), "it is nobody's");
}

/// Effect 5: a job is seized from the owner it has, not from one it had or from another incarnation.
pub async fn a_seizure_from_another_owner_is_stale(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (m, to) = (member("n1", 1), member("n3", 3));
    placed(&backend, "owned", &m).await;
    submit(&backend, "queued").await;
    for from in [member("n1", 2), member("n2", 1)] {
        stale(&backend, &[seize("owned", 1, &from, Some(&to))], &["owned"]).await;
    }
    stale(&backend, &[seize("queued", 0, &m, Some(&to))], &["queued"]).await;
    assert_eq!(stands(&backend, "owned").await, (Phase::Assigned, Epoch(1), Some(m)), "it is still its owner's");
}

/// Effect 5: to drain keeps owner and epoch, and may be repeated; a job without an owner has none to drain it.
pub async fn a_drained_job_keeps_its_owner_and_epoch(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    placed(&backend, "import", &m).await;
    submit(&backend, "queued").await;
    for _ in 0..2 {
        applied(&backend, &[drain("import", 1)]).await;
        assert_eq!(
            stands(&backend, "import").await,
            (Phase::Draining, Epoch(1), Some(m.clone())),
            "its owner stops it"
        );
    }
    stale(&backend, &[drain("queued", 0)], &["queued"]).await;
    accepted(&backend, "import", &m, 1, JobStatus::Stopped).await;
    assert_eq!(stands(&backend, "import").await, (Phase::Queued, Epoch(1), None), "it may be placed elsewhere");
}

/// Effect 5: all of a batch is applied or nothing, and the answer names every job that has moved on.
pub async fn a_batch_is_applied_wholly_or_not_at_all(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let (m, to) = (member("n1", 1), member("n2", 2));
    for name in ["a", "b", "c", "d"] {
        placed(&backend, name, &m).await;
    }
    let position = head(&backend).await;
    let moves =
        [drain("a", 1), drain("b", 9), seize("c", 1, &m, Some(&to)), seize("d", 1, &to, None), place("absent", 0, &to)];
    stale(&backend, &moves, &["b", "d", "absent"]).await;
    for name in ["a", "b", "c", "d"] {
        assert_eq!(stands(&backend, name).await, (Phase::Assigned, Epoch(1), Some(m.clone())), "{name} is untouched");
    }
    assert_eq!(head(&backend).await, position, "no revision is spent");
    let moves = [drain("a", 1), seize("c", 1, &m, Some(&to)), seize("d", 1, &m, None)];
    applied(&backend, &moves).await;
    assert_eq!(job(&backend, "a").await.phase, Phase::Draining, "the first is applied");
    assert_eq!(stands(&backend, "c").await, (Phase::Assigned, Epoch(2), Some(to)), "the second is applied");
    assert_eq!(stands(&backend, "d").await, (Phase::Lost, Epoch(2), None), "the third is applied");
}

/// Failure 2: the largest batch is taken, and one more move is refused as input.
pub async fn a_batch_above_the_most_moves_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    let names: Vec<String> = (0..=MAX_BATCH).map(|i| format!("job-{i}")).collect();
    for name in &names {
        submit(&backend, name).await;
    }
    let moves: Vec<_> = names.iter().map(|name| place(name, 0, &m)).collect();
    let answer = backend.jobs.assign(&fence("active", 1), &moves).await;
    fails(answer, ErrorKind::Invalid, "one move too many");
    assert_eq!(job(&backend, "job-0").await.phase, Phase::Queued, "nothing of it was applied");
    applied(&backend, &moves[1..]).await;
    assert_eq!(job(&backend, &names[MAX_BATCH]).await.phase, Phase::Assigned, "the largest batch is applied");
}

/// Failure 2: two moves of one job in a batch are refused as input.
pub async fn two_moves_of_a_job_in_a_batch_are_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    submit(&backend, "a").await;
    submit(&backend, "b").await;
    let m = member("n1", 1);
    let moves = [place("a", 0, &m), place("b", 0, &m), drain("a", 1)];
    fails(backend.jobs.assign(&fence("active", 1), &moves).await, ErrorKind::Invalid, "two moves of one job");
    assert_eq!(job(&backend, "b").await.phase, Phase::Queued, "nothing of it was applied");
}

/// Effect 5 under contention: of twenty that place one job at once, one does.
pub async fn of_twenty_concurrent_placements_one_is_applied(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    submit(&handles[0], "import").await;
    let answers = together(&handles, |i, backend| async move {
        assign(&backend, &[place("import", 0, &member(&format!("n{i}"), 1))]).await
    })
    .await;
    let winners: Vec<_> = (0..).zip(&answers).filter(|(_, a)| matches!(a, Assigned::Applied(_))).collect();
    let [(won, _)] = winners[..] else { panic!("one has to be applied, not {winners:?}") };
    let losers = answers.iter().filter(|a| **a == Assigned::Stale(vec![id("import")])).count();
    assert_eq!(losers, answers.len() - 1, "the others are stale: {answers:?}");
    let owner = member(&format!("n{won}"), 1);
    assert_eq!(stands(&handles[1], "import").await, (Phase::Assigned, Epoch(1), Some(owner)), "it is the winner's");
    ok(handles[2].jobs.remove(&id("import")).await);
}
