//! One document: effects 1, 2, 3 and 6.

use std::collections::BTreeSet;

use super::super::Fixture;
use super::super::kit::{fails, handles, longest, ok, together};
use super::{document, get, key, put, write};
use crate::error::ErrorKind;
use crate::ids::Version;
use crate::state::{Deleted, Expect, MAX_VALUE, Written};

/// Effect 3: where nothing was written there is nothing.
pub async fn an_absent_document_is_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    assert_eq!(get(&backend, "control/cluster").await, None, "nothing was written");
}

/// Effect 3: a value comes back as it was written, every byte of it, through any handle.
pub async fn a_value_is_kept_unchanged(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let bytes: Vec<u8> = (0..=255).collect();
    let largest = vec![0xA5; MAX_VALUE];
    for value in [&b""[..], b"text", b"\0", b"\xff\xfe", &bytes, &largest] {
        let written = ok(backend.state.put(&key("doc"), value, Expect::Any, None).await);
        let Written::Written(version) = written else { panic!("it has to be written: {written:?}") };
        let read = ok(other.state.get(&key("doc")).await);
        let read = read.unwrap_or_else(|| panic!("a value of {} bytes was written", value.len()));
        assert_eq!((read.key, read.version), (key("doc"), version), "it is the version that was written");
        assert!(read.value == value, "a value of {} bytes is kept unchanged", value.len());
    }
}

/// Effect 1: what is expected to be absent is written once; after that the answer tells what is there.
pub async fn a_put_expecting_absence_writes_once(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let first = put(&backend, "doc", "one", Expect::Absent).await;
    let Written::Written(version) = first else { panic!("nothing was there: {first:?}") };
    assert!(version > Version::ZERO, "a version is above zero");
    let second = put(&backend, "doc", "two", Expect::Absent).await;
    assert_eq!(second, Written::Conflict(Some(version)), "the answer tells the version that is there");
    assert_eq!(get(&backend, "doc").await, Some(document("doc", version, "one")), "nothing has changed");
}

/// Effect 1: a write that expects a version is written over that one only.
pub async fn a_put_expecting_a_version_writes_over_that_one_only(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let first = write(&backend, "doc", "one").await;
    let second = put(&other, "doc", "two", Expect::Version(first)).await;
    let Written::Written(second) = second else { panic!("it was there: {second:?}") };
    for expected in [first, second.next(), Version::ZERO] {
        let late = put(&backend, "doc", "three", Expect::Version(expected)).await;
        assert_eq!(late, Written::Conflict(Some(second)), "version {expected} is not there");
    }
    assert_eq!(get(&backend, "doc").await, Some(document("doc", second, "two")), "nothing has changed");
}

/// Effect 1: a write that expects a version does not make what is absent.
pub async fn a_put_expecting_a_version_of_nothing_is_a_conflict(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    for expected in [Version(1), Version::ZERO] {
        let answer = put(&backend, "doc", "one", Expect::Version(expected)).await;
        assert_eq!(answer, Written::Conflict(None), "nothing is there");
    }
    assert_eq!(get(&backend, "doc").await, None, "and nothing was made");
}

/// Effect 1: a key's versions only rise, across changes and across deletions.
pub async fn versions_rise_also_across_a_deletion(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let mut highest = Version::ZERO;
    for round in 0..6 {
        // The same value again is a write like any other.
        let version = write(&backend, "doc", "same").await;
        assert!(version > highest, "version {version} was written after {highest}");
        highest = version;
        if round % 2 == 1 {
            ok(backend.state.delete(&key("doc"), Expect::Any, None).await);
        }
    }
    let stale = put(&backend, "doc", "late", Expect::Version(highest)).await;
    assert_eq!(stale, Written::Conflict(None), "a version from before the deletion is not there");
}

/// Failure 1: who repeats a write that was applied is told the version it wrote.
pub async fn a_repeated_write_conflicts_with_itself(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let Written::Written(first) = put(&backend, "doc", "one", Expect::Absent).await else {
        panic!("nothing was there")
    };
    let again = put(&backend, "doc", "one", Expect::Absent).await;
    assert_eq!(again, Written::Conflict(Some(first)), "the retry finds what it wrote");
    let next = put(&backend, "doc", "two", Expect::Version(first)).await;
    let Written::Written(second) = next else { panic!("it was there: {next:?}") };
    let again = put(&backend, "doc", "two", Expect::Version(first)).await;
    assert_eq!(again, Written::Conflict(Some(second)), "the retry finds what it wrote");
}

/// Effect 2: what is deleted is gone; deleting it again, whatever was expected, is a repeated call.
pub async fn a_deletion_is_safe_to_repeat(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let version = write(&backend, "doc", "one").await;
    for expect in [Expect::Version(version), Expect::Version(version), Expect::Any] {
        assert_eq!(ok(backend.state.delete(&key("doc"), expect, None).await), Deleted::Deleted, "it is gone");
        assert_eq!(get(&other, "doc").await, None, "it is gone");
    }
    assert_eq!(ok(backend.state.delete(&key("never"), Expect::Any, None).await), Deleted::Deleted, "it never was");
}

/// Effect 2: another version than was expected is not deleted.
pub async fn a_deletion_of_another_version_is_a_conflict(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let first = write(&backend, "doc", "one").await;
    let second = write(&backend, "doc", "two").await;
    let late = ok(backend.state.delete(&key("doc"), Expect::Version(first), None).await);
    assert_eq!(late, Deleted::Conflict(second), "the answer tells what is there");
    assert_eq!(get(&backend, "doc").await, Some(document("doc", second, "two")), "nothing has changed");
    assert_eq!(ok(backend.state.delete(&key("doc"), Expect::Any, None).await), Deleted::Deleted, "any is any");
}

/// Failure 2: to delete what is expected to be absent is refused as input.
pub async fn a_deletion_expecting_absence_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let version = write(&backend, "doc", "one").await;
    for at in ["doc", "never"] {
        let answer = backend.state.delete(&key(at), Expect::Absent, None).await;
        fails(answer, ErrorKind::Invalid, "a deletion expecting absence");
    }
    assert_eq!(get(&backend, "doc").await, Some(document("doc", version, "one")), "nothing has changed");
}

/// Failure 2: a value above the largest is refused as input, and nothing is half-written.
pub async fn an_oversized_value_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let version = write(&backend, "doc", "one").await;
    let oversized = vec![b'x'; MAX_VALUE + 1];
    for at in ["doc", "never"] {
        let answer = backend.state.put(&key(at), &oversized, Expect::Any, None).await;
        fails(answer, ErrorKind::Invalid, "a value of one byte too many");
    }
    assert_eq!(get(&backend, "doc").await, Some(document("doc", version, "one")), "nothing has changed");
    assert_eq!(get(&backend, "never").await, None, "nothing was made");
}

/// Law 18: keys that differ only in case, begin alike, or are as long and deep as they may be are different keys.
pub async fn similar_keys_are_different_documents(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let long = longest('k');
    let deep = [long.as_str(); 6].join("/");
    let keys = ["a", "A", "aa", "a/a", "a/A", "a-a", "a.a", "a_a", "a/a/a", &deep, &deep[..deep.len() - 1]];
    let mut versions = Vec::new();
    for at in keys {
        versions.push(write(&backend, at, at).await);
    }
    ok(backend.state.delete(&key("a/a"), Expect::Any, None).await);
    for (at, version) in keys.into_iter().zip(versions) {
        let expected = (at != "a/a").then(|| document(at, version, at));
        assert_eq!(get(&backend, at).await, expected, "{at} stands for itself");
    }
}

/// Several clusters may share a store: each has its own documents.
pub async fn clusters_do_not_share_documents(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open_other().await);
    let version = write(&backend, "doc", "ours").await;
    assert_eq!(get(&other, "doc").await, None, "the other cluster has none");
    let theirs = put(&other, "doc", "theirs", Expect::Absent).await;
    assert!(matches!(theirs, Written::Written(_)), "and may write its own: {theirs:?}");
    ok(other.state.delete(&key("doc"), Expect::Any, None).await);
    assert_eq!(get(&backend, "doc").await, Some(document("doc", version, "ours")), "ours is another one");
}

/// Effect 6: of twenty writes that expect the same version, one is written.
pub async fn of_twenty_concurrent_puts_of_a_version_one_is_written(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let before = write(&handles[0], "doc", "before").await;
    let answers = together(&handles, |i, backend| async move {
        put(&backend, "doc", &format!("writer {i}"), Expect::Version(before)).await
    })
    .await;
    let winners: Vec<_> = (0..).zip(&answers).filter(|(_, a)| matches!(a, Written::Written(_))).collect();
    let [(won, Written::Written(version))] = winners[..] else { panic!("one has to be written, not {winners:?}") };
    let losers = answers.iter().filter(|a| **a == Written::Conflict(Some(*version))).count();
    assert_eq!(losers, answers.len() - 1, "the others are told of the one that was: {answers:?}");
    let value = format!("writer {won}");
    assert_eq!(get(&handles[1], "doc").await, Some(document("doc", *version, &value)), "it is the winner's");
}

/// Effect 6: of twenty writes that expect nothing to be there, one is written.
pub async fn of_twenty_concurrent_creations_one_is_written(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let answers =
        together(
            &handles,
            |i, backend| async move { put(&backend, "doc", &format!("writer {i}"), Expect::Absent).await },
        )
        .await;
    let written = answers.iter().filter(|a| matches!(a, Written::Written(_))).count();
    assert_eq!(written, 1, "one has to be written: {answers:?}");
}

/// Effect 1 under contention: twenty writes that expect anything get twenty versions, and the highest one stays.
pub async fn twenty_concurrent_puts_get_twenty_versions(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let versions = together(&handles, |i, backend| async move {
        (write(&backend, "doc", &format!("writer {i}")).await, format!("writer {i}"))
    })
    .await;
    let distinct: BTreeSet<_> = versions.iter().map(|(version, _)| *version).collect();
    assert_eq!(distinct.len(), versions.len(), "no version is given twice");
    let (version, value) = versions.into_iter().max().unwrap_or_default();
    assert_eq!(get(&handles[1], "doc").await, Some(document("doc", version, &value)), "the last one stays");
}
