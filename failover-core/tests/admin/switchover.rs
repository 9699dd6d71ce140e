//! The active role handed over as planned.

use std::sync::Arc;

use async_trait::async_trait;
use failover_core::admin::SwitchoverError;
use failover_core::control::{self, SwitchPhase, Switchover};
use failover_core::memory::MemoryStore;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{Admin, Lease, Result, StateKey, StateStore, record};

use crate::support::node;
use crate::{LONG, SHORT, active};

/// Waits for a wish, and answers it as the active node would.
async fn answer(store: &MemoryStore, phase: SwitchPhase, reason: Option<&str>) {
    let key = control::switchover_key();
    loop {
        if let Some(document) = store.get(&key).await.unwrap() {
            let mut wish: Switchover = record::decode("test", "wish", &document.value).unwrap();
            if wish.phase == SwitchPhase::Requested {
                (wish.phase, wish.reason) = (phase, reason.map(Into::into));
                let value = record::encode("test", &wish).unwrap();
                store.put(&key, value.as_bytes(), Expect::Version(document.version), None).await.unwrap();
                return;
            }
        }
        store.changed_key(&key).await;
    }
}

/// [`StateStore::changed`] by a name that the other traits' methods do not share.
trait ChangedKey {
    async fn changed_key(&self, key: &StateKey);
}

impl ChangedKey for MemoryStore {
    async fn changed_key(&self, key: &StateKey) {
        StateStore::changed(self, key).await.unwrap();
    }
}

async fn wish(store: &MemoryStore) -> Switchover {
    let document = store.get(&control::switchover_key()).await.unwrap().unwrap();
    record::decode("test", "wish", &document.value).unwrap()
}

#[tokio::test]
async fn without_an_active_node_there_is_nothing_to_hand_over_and_no_wish_is_left_behind() {
    let store = MemoryStore::new();
    let error = Admin::new(store.backend()).switchover(None, LONG).await.unwrap_err();
    assert!(matches!(error, SwitchoverError::NoActive), "{error}");
    assert_eq!(store.get(&control::switchover_key()).await.unwrap(), None);
}

#[tokio::test]
async fn a_switchover_ends_as_the_active_node_says() {
    let store = MemoryStore::new();
    active(&store, "a").await;
    let admin = Admin::new(store.backend());

    let (done, ()) = tokio::join!(admin.switchover(Some(node("b")), LONG), answer(&store, SwitchPhase::Done, None));
    assert_eq!(done.unwrap().to, Some(node("b")));

    let refuse = answer(&store, SwitchPhase::Refused, Some("that node is active already"));
    let (refused, ()) = tokio::join!(admin.switchover(Some(node("a")), LONG), refuse);
    let error = refused.unwrap_err();
    assert!(
        matches!(&error, SwitchoverError::Refused { reason } if reason == "that node is active already"),
        "{error}"
    );
}

#[tokio::test]
async fn a_wish_nobody_takes_up_is_withdrawn() {
    let store = MemoryStore::new();
    active(&store, "a").await;
    let error = Admin::new(store.backend()).switchover(None, SHORT).await.unwrap_err();
    assert!(matches!(error, SwitchoverError::TimedOut { phase: SwitchPhase::Requested }), "{error}");
    assert_eq!(wish(&store).await.phase, SwitchPhase::Refused);
}

#[tokio::test]
async fn one_that_has_begun_goes_on_and_keeps_others_out() {
    let store = MemoryStore::new();
    active(&store, "a").await;
    let admin = Admin::new(store.backend());
    let (late, ()) = tokio::join!(admin.switchover(None, SHORT), answer(&store, SwitchPhase::Started, None));
    let error = late.unwrap_err();
    assert!(matches!(error, SwitchoverError::TimedOut { phase: SwitchPhase::Started }), "{error}");
    let begun = wish(&store).await;
    assert_eq!(begun.phase, SwitchPhase::Started);

    let error = admin.switchover(None, LONG).await.unwrap_err();
    assert!(matches!(error, SwitchoverError::Refused { .. }), "{error}");
    assert_eq!(wish(&store).await, begun);
}

/// Loses the reply of every write, after it was applied or before.
struct Lossy {
    store: MemoryStore,
    applies: bool,
}

#[async_trait]
impl StateStore for Lossy {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.store.list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        if self.applies {
            self.store.put(key, value, expect, fence).await?;
        }
        std::future::pending().await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.store.delete(key, expect, fence).await
    }
}

#[tokio::test]
async fn a_lost_reply_is_looked_after_and_a_hung_store_is_an_error() {
    let store = MemoryStore::new();
    active(&store, "a").await;
    for applies in [true, false] {
        let mut backend = store.backend();
        backend.state = Arc::new(Lossy { store: store.clone(), applies });
        let admin = Admin::new(backend).with_call_deadline(SHORT);
        if applies {
            let (done, ()) = tokio::join!(admin.switchover(None, LONG), answer(&store, SwitchPhase::Done, None));
            assert_eq!(done.unwrap().phase, SwitchPhase::Done);
        } else {
            let error = admin.switchover(None, LONG).await.unwrap_err();
            assert!(matches!(&error, SwitchoverError::Store(e) if e.is_outcome_unknown()), "{error}");
        }
    }
}
