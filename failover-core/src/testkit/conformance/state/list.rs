//! Lists of documents: effect 4.

use super::super::Fixture;
use super::super::kit::{fails, ok};
use super::{get, key, write};
use crate::Backend;
use crate::error::ErrorKind;
use crate::ids::StateKey;
use crate::state::Expect;

async fn list(backend: &Backend, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(key);
    let found = ok(backend.state.list(&key(prefix), after.as_ref(), limit).await);
    found.into_iter().map(|document| document.key.to_string()).collect()
}

/// Effect 4: a list tells what lies strictly below its prefix, part by part, in order of the keys.
pub async fn a_list_tells_what_lies_strictly_below(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    for at in ["a/c", "ab", "a", "a/b/c", "a-b/c", "a.b", "A/b", "a/b", "a/B", "a/b-c", "a0/x", "a_/x", "b/a"] {
        write(&backend, at, at).await;
    }
    let below = list(&backend, "a", None, 100).await;
    assert_eq!(below, ["a/B", "a/b", "a/b-c", "a/b/c", "a/c"], "strictly below `a`, in order");
    assert_eq!(list(&backend, "a/b", None, 100).await, ["a/b/c"], "strictly below `a/b`");
    assert!(list(&backend, "a/c", None, 100).await.is_empty(), "nothing lies below `a/c`");
    assert!(list(&backend, "never", None, 100).await.is_empty(), "nothing lies below what never was");
}

/// Effects 3 and 4: what a list tells is what reading each document tells.
pub async fn a_list_tells_whole_documents(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    for at in ["doc/a", "doc/b"] {
        write(&backend, at, at).await;
    }
    write(&backend, "doc/a", "changed").await;
    for document in ok(other.state.list(&key("doc"), None, 10).await) {
        assert_eq!(get(&other, document.key.as_str()).await, Some(document), "listed as it is read");
    }
}

/// Effect 4: paging by the last key, in pages of any size, repeats and skips nothing.
pub async fn a_list_pages_without_gap_or_repetition(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let mut all: Vec<StateKey> = (0..11).map(|i| key(&format!("doc/n{i}"))).collect();
    all.extend(["doc/n1/x", "doc/n1-x", "doc/N1"].map(key));
    for at in &all {
        write(&backend, at.as_str(), "value").await;
    }
    all.sort();
    for limit in [1, 2, 5, 14, 15] {
        let mut paged: Vec<StateKey> = Vec::new();
        loop {
            let page = ok(backend.state.list(&key("doc"), paged.last(), limit).await);
            assert!(page.len() <= limit, "at most {limit} documents, not {}", page.len());
            let last = page.len() < limit;
            for document in page {
                assert!(paged.last().is_none_or(|after| *after < document.key), "{} is told again", document.key);
                paged.push(document.key);
            }
            if last {
                break;
            }
        }
        assert_eq!(paged, all, "pages of {limit} tell everything once, in order");
    }
}

/// Effect 4: a list goes on after a key that is not there, or that lies outside.
pub async fn a_list_goes_on_after_any_key(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    for at in ["doc/a", "doc/b", "doc/c"] {
        write(&backend, at, at).await;
    }
    ok(backend.state.delete(&key("doc/b"), Expect::Any, None).await);
    assert_eq!(list(&backend, "doc", Some("doc/b"), 10).await, ["doc/c"], "after a key that was deleted meanwhile");
    assert_eq!(list(&backend, "doc", Some("a"), 10).await, ["doc/a", "doc/c"], "after a key before all of them");
    assert!(list(&backend, "doc", Some("e"), 10).await.is_empty(), "after a key behind all of them");
}

/// Failure 2: to list nothing is refused as input.
pub async fn a_limit_of_zero_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    fails(backend.state.list(&key("doc"), None, 0).await, ErrorKind::Invalid, "a limit of zero");
}
