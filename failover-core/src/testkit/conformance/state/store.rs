//! Restarts, losses of the store, and hints: effect 7, failures 3 and 4.

use super::super::Fixture;
use super::super::kit::{fails, ok, wakes};
use super::{document, get, key, write};
use crate::error::ErrorKind;
use crate::state::Expect;

/// Effects 1 and 3: documents and versions survive that every handle is closed and, where the store keeps its data, its restart.
pub async fn documents_survive_reopening(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let kept = write(&backend, "kept", "value").await;
    let gone = write(&backend, "gone", "value").await;
    ok(backend.state.delete(&key("gone"), Expect::Any, None).await);
    drop(backend);
    fixture.restart().await;
    let backend = fixture.open().await;
    assert_eq!(get(&backend, "kept").await, Some(document("kept", kept, "value")), "it is as it was");
    let again = write(&backend, "gone", "again").await;
    assert!(again > gone, "the version of a deleted document is remembered");
}

/// Failure 4: who knew a store that was lost is told so, and not that there is nothing.
pub async fn a_wiped_store_is_noticed(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    write(&backend, "doc/a", "value").await;
    fixture.wipe().await;
    let changed = ErrorKind::StoreChanged;
    fails(backend.state.get(&key("doc/a")).await, changed, "`get` after a wipe");
    fails(backend.state.list(&key("doc"), None, 10).await, changed, "`list` after a wipe");
    fails(backend.state.put(&key("doc/a"), b"", Expect::Any, None).await, changed, "`put` after a wipe");
    fails(backend.state.delete(&key("doc/a"), Expect::Any, None).await, changed, "`delete` after a wipe");
}

/// Failure 3: a record of a newer format is refused, and left as it is.
pub async fn a_newer_format_is_refused(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    write(&backend, "doc/a", "value").await;
    fixture.make_newer().await;
    let newer = ErrorKind::TooNew;
    fails(backend.state.put(&key("doc/a"), b"", Expect::Any, None).await, newer, "`put` over a newer record");
    fails(backend.state.delete(&key("doc/a"), Expect::Any, None).await, newer, "`delete` of a newer record");
    fails(backend.state.get(&key("doc/a")).await, newer, "`get` of a newer record");
    fails(backend.state.list(&key("doc"), None, 10).await, newer, "`list` of a newer record");
}

/// Effect 7: who waits is woken by a write at the prefix or below it.
pub async fn changed_wakes_when_a_document_is_written(fixture: &dyn Fixture) {
    for at in ["control", "control/cluster"] {
        let (backend, other) = (fixture.open().await, fixture.open().await);
        if fixture.hints() {
            let other = &other;
            wakes(backend.state.changed(&key("control")), |n| async move {
                write(other, at, &n.to_string()).await;
            })
            .await;
        }
    }
}

/// Effect 7: who waits is woken by a deletion.
pub async fn changed_wakes_when_a_document_is_deleted(fixture: &dyn Fixture) {
    let other = fixture.open().await;
    if fixture.hints() {
        for n in 0..600 {
            write(&other, &format!("control/n{n:03}"), "value").await;
        }
        // Opened after the writes: only a deletion can wake it.
        let backend = fixture.open().await;
        let other = &other;
        wakes(backend.state.changed(&key("control")), |n| async move {
            let at = key(&format!("control/n{:03}", n - 1));
            ok(other.state.delete(&at, Expect::Any, None).await);
        })
        .await;
    }
}
