//! Fenced writes: effect 5, law 1.

use super::super::Fixture;
use super::super::kit::{WRITERS, fence, handles, ok, together};
use super::{document, get, key, put, write};
use crate::Backend;
use crate::ids::Term;
use crate::lease::Lease;
use crate::state::{Deleted, Expect, Written};

async fn put_under(backend: &Backend, lease: &Lease, value: &str, expect: Expect) -> Written {
    ok(backend.state.put(&key("doc"), value.as_bytes(), expect, Some(lease)).await)
}

fn fenced(current: u64) -> Written {
    Written::Fenced { current: Term(current) }
}

/// Effect 5, law 1: no write under a lower term takes effect after one under a higher.
pub async fn a_put_under_a_lower_term_is_fenced(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    for (term, value) in [(5, "five"), (5, "five again"), (7, "seven")] {
        let answer = put_under(&backend, &fence("active", term), value, Expect::Any).await;
        assert!(matches!(answer, Written::Written(_)), "term {term} is not below any other: {answer:?}");
    }
    for term in [6, 5, 0] {
        assert_eq!(
            put_under(&other, &fence("active", term), "late", Expect::Any).await,
            fenced(7),
            "{term} is below 7"
        );
    }
    let there = get(&backend, "doc").await.map(|document| document.value);
    assert_eq!(there.as_deref(), Some(&b"seven"[..]), "nothing late was written");
}

/// Effect 5: the fence is the whole store's, not one key's: a late write to another document is fenced too.
pub async fn a_fence_holds_for_every_key(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    put_under(&backend, &fence("active", 7), "seven", Expect::Any).await;
    let late = backend.state.put(&key("another/doc"), b"late", Expect::Absent, Some(&fence("active", 6))).await;
    assert_eq!(ok(late), fenced(7), "term 6 is below 7, whatever it writes");
    assert_eq!(get(&backend, "another/doc").await, None, "nothing was made");
}

/// Effect 5: a deletion under a lower term is fenced, and a deletion raises the fence as a write does.
pub async fn a_deletion_under_a_lower_term_is_fenced(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let version = write(&backend, "doc", "value").await;
    let delete =
        async |at: &str, term| ok(backend.state.delete(&key(at), Expect::Any, Some(&fence("active", term))).await);
    assert_eq!(delete("another", 7).await, Deleted::Deleted, "the higher term deletes");
    assert_eq!(delete("doc", 6).await, Deleted::Fenced { current: Term(7) }, "term 6 is below 7");
    assert_eq!(get(&backend, "doc").await, Some(document("doc", version, "value")), "nothing has changed");
    assert_eq!(put_under(&backend, &fence("active", 6), "late", Expect::Any).await, fenced(7), "for writes as well");
}

/// Effect 5: whoever is fenced learns that, and not that its version has moved on.
pub async fn the_fence_is_judged_before_the_expectation(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    put_under(&backend, &fence("active", 7), "seven", Expect::Any).await;
    let late = fence("active", 6);
    assert_eq!(put_under(&backend, &late, "late", Expect::Absent).await, fenced(7), "fenced, not a conflict");
    let deleted = ok(backend.state.delete(&key("never"), Expect::Any, Some(&late)).await);
    assert_eq!(deleted, Deleted::Fenced { current: Term(7) }, "fenced, although nothing is there");
}

/// Effect 5: the terms of one lease say nothing about another's.
pub async fn fences_of_different_leases_are_independent(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    put_under(&backend, &fence("active", 1000), "high", Expect::Any).await;
    for name in ["Active", "active/active", "activ", "node/n1"] {
        let answer = put_under(&backend, &fence(name, 1), name, Expect::Any).await;
        assert!(matches!(answer, Written::Written(_)), "{name} has a fence of its own: {answer:?}");
    }
    assert_eq!(put_under(&backend, &fence("active", 999), "late", Expect::Any).await, fenced(1000), "as before");
}

/// Effect 5: each cluster has fences of its own.
pub async fn fences_of_different_clusters_are_independent(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open_other().await);
    put_under(&backend, &fence("active", 1000), "ours", Expect::Any).await;
    let answer = put_under(&other, &fence("active", 1), "theirs", Expect::Any).await;
    assert!(matches!(answer, Written::Written(_)), "the other cluster counts for itself: {answer:?}");
}

/// Effect 5: a write that states no fence is bound by none.
pub async fn a_write_without_a_fence_is_bound_by_none(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    put_under(&backend, &fence("active", 1000), "high", Expect::Any).await;
    let answer = put(&backend, "doc", "free", Expect::Any).await;
    assert!(matches!(answer, Written::Written(_)), "it states no fence: {answer:?}");
    assert_eq!(ok(backend.state.delete(&key("doc"), Expect::Any, None).await), Deleted::Deleted, "nor does this");
}

/// Effect 5: the fence survives that every handle is closed and, where the store keeps its data, its restart.
pub async fn a_fence_survives_reopening(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    put_under(&backend, &fence("active", 7), "seven", Expect::Any).await;
    drop(backend);
    fixture.restart().await;
    let backend = fixture.open().await;
    assert_eq!(put_under(&backend, &fence("active", 6), "late", Expect::Any).await, fenced(7), "it is remembered");
}

/// Effect 5 under contention: of twenty terms that write at once, the highest one's write is the last.
pub async fn twenty_writes_under_rising_terms_leave_the_highest(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let answers = together(&handles, |i, backend| async move {
        put_under(&backend, &fence("active", i + 1), &format!("term {}", i + 1), Expect::Any).await
    })
    .await;
    let mut written = Vec::new();
    for (term, answer) in (1..).zip(answers) {
        match answer {
            Written::Written(version) => written.push((version, term)),
            Written::Fenced { current } => assert!(current > Term(term), "term {term} was fenced by {current}"),
            Written::Conflict(there) => panic!("anything was expected, and it conflicts with {there:?}"),
        }
    }
    written.sort_unstable();
    assert!(written.is_sorted_by_key(|(_, term)| *term), "written in the order of their terms: {written:?}");
    let there = get(&handles[1], "doc").await.map(|document| document.value);
    assert_eq!(there, Some(format!("term {WRITERS}").into_bytes()), "the highest term's write stays");
}
