//! The fence of the active node: effect 6, laws 1 and 12.

use super::super::Fixture;
use super::super::kit::{WRITERS, fence, handles, member, ok, together};
use super::kit::{job, place, spec, stands, submit};
use crate::Backend;
use crate::ids::{Epoch, Revision, Term};
use crate::job::{Assigned, Move, Phase};

/// Assigns under this term of the active lease.
async fn under(backend: &Backend, term: u64, moves: &[Move]) -> Assigned {
    ok(backend.jobs.assign(&fence("active", term), moves).await)
}

fn fenced(current: u64) -> Assigned {
    Assigned::Fenced { current: Term(current) }
}

/// Effect 6, law 1: nothing of a former active node's decisions takes effect after its successor's.
pub async fn a_lower_term_is_fenced(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let (m, late) = (member("n1", 1), member("n2", 2));
    submit(&backend, "a").await;
    submit(&backend, "b").await;
    let answer = under(&backend, 5, &[place("a", 0, &m)]).await;
    assert!(matches!(answer, Assigned::Applied(_)), "the higher term is applied: {answer:?}");
    for term in [4, 1, 0] {
        assert_eq!(under(&other, term, &[place("b", 0, &late)]).await, fenced(5), "term {term} is below 5");
    }
    assert_eq!(stands(&backend, "b").await, (Phase::Queued, Epoch(0), None), "nothing of it was applied");
    let answer = under(&other, 5, &[place("b", 0, &m)]).await;
    assert!(matches!(answer, Assigned::Applied(_)), "its own term is not below itself: {answer:?}");
}

/// Effect 6, law 12: an empty assignment installs the fence, so that a new active node can read and then decide.
pub async fn an_empty_assign_installs_the_fence(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    submit(&backend, "a").await;
    let answer = under(&backend, 7, &[]).await;
    assert!(matches!(answer, Assigned::Applied(_)), "it is applied: {answer:?}");
    assert_eq!(under(&backend, 6, &[place("a", 0, &member("n1", 1))]).await, fenced(7), "a late move is fenced");
    assert_eq!(under(&backend, 6, &[]).await, fenced(7), "a late fence is fenced");
    assert_eq!(job(&backend, "a").await.phase, Phase::Queued, "nothing was applied");
}

/// Effect 6, law 12: it tells how far the feed goes by then, so that a reader knows whether it has missed anything.
pub async fn an_empty_assign_tells_how_far_the_feed_goes(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let read = async || ok(backend.jobs.changes(Revision::ZERO, 100).await).upto;
    let head = async |term| match under(&backend, term, &[]).await {
        Assigned::Applied(head) => head,
        answer => panic!("it is applied: {answer:?}"),
    };
    let nothing = read().await;
    assert!(head(1).await <= nothing, "there is nothing to be read");
    submit(&other, "a").await;
    assert!(head(2).await > nothing, "a job was submitted since");
    let first = read().await;
    assert!(head(2).await <= first && head(3).await <= first, "that was read, and a fence is no change");
    ok(other.jobs.remove(spec("a").id()).await);
    assert!(head(4).await > first, "a job was removed since");
    assert!(head(4).await <= read().await, "that was read");
}

/// Effect 6: whoever is fenced learns that first, and not that its jobs have moved on.
pub async fn the_fence_is_judged_before_the_moves(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    under(&backend, 7, &[]).await;
    assert_eq!(under(&backend, 6, &[place("absent", 0, &member("n1", 1))]).await, fenced(7), "fenced, not stale");
}

/// Effect 6: the terms of one lease say nothing about another's.
pub async fn fences_of_different_leases_are_independent(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    under(&backend, 1000, &[]).await;
    for name in ["Active", "active/active", "activ", "node/n1"] {
        let answer = ok(backend.jobs.assign(&fence(name, 1), &[]).await);
        assert!(matches!(answer, Assigned::Applied(_)), "{name} has a fence of its own: {answer:?}");
    }
    assert_eq!(under(&backend, 999, &[]).await, fenced(1000), "and leaves the other's as it is");
}

/// Effect 6: each cluster has fences of its own.
pub async fn fences_of_different_clusters_are_independent(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open_other().await);
    under(&backend, 1000, &[]).await;
    let answer = under(&other, 1, &[]).await;
    assert!(matches!(answer, Assigned::Applied(_)), "the other cluster counts for itself: {answer:?}");
}

/// Effect 6: the fence survives that every handle is closed and, where the store keeps its data, its restart.
pub async fn a_fence_survives_reopening(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    under(&backend, 7, &[]).await;
    drop(backend);
    fixture.restart().await;
    assert_eq!(under(&fixture.open().await, 6, &[]).await, fenced(7), "the fence is remembered");
}

/// Effect 6 under contention: of twenty terms that assign at once, whatever their order, none is applied after a higher one.
pub async fn twenty_assigns_under_rising_terms_never_go_back(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let moves = |i: u64| place(&format!("job-{i}"), 0, &member("n1", 1));
    for i in 0..WRITERS {
        submit(&handles[0], &format!("job-{i}")).await;
    }
    let answers = together(&handles, |i, backend| async move { under(&backend, i + 1, &[moves(i)]).await }).await;
    let mut applied = Vec::new();
    for (i, answer) in (0..).zip(answers) {
        let phase = job(&handles[0], &format!("job-{i}")).await;
        match answer {
            Assigned::Applied(_) => {
                assert_eq!(phase.phase, Phase::Assigned, "what was applied is there");
                applied.push((phase.revision, i));
            }
            Assigned::Fenced { current } => {
                assert!(current > Term(i + 1), "term {} was fenced by {current}", i + 1);
                assert_eq!(phase.phase, Phase::Queued, "nothing of what was fenced is there");
            }
            Assigned::Stale(which) => panic!("nobody else moves {which:?}"),
        }
    }
    assert!(applied.iter().any(|(_, i)| *i == WRITERS - 1), "nothing fences the highest term");
    applied.sort_unstable();
    assert!(applied.is_sorted_by_key(|(_, i)| *i), "they were applied in the order of their terms: {applied:?}");
    assert_eq!(under(&handles[1], WRITERS - 1, &[]).await, fenced(WRITERS), "the highest term is the fence");
}
