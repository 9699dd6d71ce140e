//! A history that is full, on SQLite and on the reference backend: the newest entries stay, in order, and an entry more costs no more than any before.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::Place;
use failover_core::incident::{Deed, Entry, MAX_ENTRIES};
use failover_core::memory::MemoryStore;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{Admin, Backend, Lease, Node, NodeId, Result, Role, StateKey, StateStore, Term, Timing, record};

/// So many are too many at first, and so many come later.
const SURPLUS: usize = 25;
const MORE: usize = 20;

fn history() -> StateKey {
    StateKey::new("history").unwrap()
}

/// Counts the calls that concern the history.
struct Counted {
    inner: Arc<dyn StateStore>,
    lists: AtomicUsize,
    puts: AtomicUsize,
    deletes: AtomicUsize,
}

impl Counted {
    fn calls(&self) -> [usize; 3] {
        [&self.lists, &self.puts, &self.deletes].map(|counter| counter.load(Ordering::SeqCst))
    }
}

fn count(key: &StateKey, counter: &AtomicUsize) {
    if *key == history() || key.is_below(&history()) {
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl StateStore for Counted {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        count(prefix, &self.lists);
        self.inner.list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        count(key, &self.puts);
        self.inner.put(key, value, expect, fence).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        count(key, &self.deletes);
        self.inner.delete(key, expect, fence).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.inner.changed(prefix).await
    }
}

/// What was written by active nodes of before, one entry after another.
async fn fill(backend: &Backend, entries: usize) {
    backend.leases.raise_floor(Term(10)).await.unwrap();
    for number in 0..entries {
        let text = format!(
            r#"{{"format":1,"term":7,"number":{number},"deed":"move","node":"a","what":"move j to a: done","who":"ann","why":"it was asked for"}}"#
        );
        let entry: Entry = record::decode("test", "an entry", text.as_bytes()).unwrap();
        assert_eq!(entry.number, number as u64);
        let key = StateKey::new(format!("history/{:020}-{number:010}", 7)).unwrap();
        let written = backend.state.put(&key, text.as_bytes(), Expect::Absent, None).await.unwrap();
        assert!(matches!(written, Written::Written(_)), "{written:?}");
    }
}

/// Looks whenever something changes, until it is so.
async fn until(backend: &Backend, what: &str, mut is: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is().await {
            let key = history();
            let hint = backend.state.changed(&key);
            let _hints_are_hints = tokio::time::timeout(Duration::from_millis(100), hint).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(2), waiting).await.is_ok(), "not within two minutes: {what}");
}

async fn keeps_the_newest(mut backend: Backend) {
    fill(&backend, MAX_ENTRIES + SURPLUS).await;
    let sound = backend.clone();
    let zero = AtomicUsize::default;
    let counted = Arc::new(Counted { inner: backend.state.clone(), lists: zero(), puts: zero(), deletes: zero() });
    backend.state = counted.clone();
    // The lease outlasts whatever holds this machine up.
    let timing = Timing::new(Duration::from_millis(200), Duration::from_mins(1)).unwrap();
    let node = Node::builder(backend, NodeId::new("a").unwrap()).timing(timing).start().unwrap();
    let mut roles = node.roles();
    let active = tokio::time::timeout(Duration::from_mins(2), roles.wait_for(|role| *role == Role::Active)).await;
    active.expect("the only node is active").unwrap();
    let admin = Admin::new(sound.clone());
    until(&sound, "what is too much goes", async || counted.calls()[2] > SURPLUS).await;
    assert_eq!(admin.history(2 * MAX_ENTRIES).await.unwrap().len(), MAX_ENTRIES);

    let before = counted.calls();
    for version in 1..=MORE {
        let roster = vec![NodeId::new(format!("n{version}")).unwrap()];
        admin.set_roster(roster).await.unwrap();
        until(&sound, "the next entry", async || counted.calls()[2] == before[2] + version).await;
    }
    let calls: Vec<_> = counted.calls().iter().zip(before).map(|(now, then)| now - then).collect();
    assert_eq!(calls, [0, MORE, MORE], "each entry is one write, and the oldest makes room by one more");

    let entries = admin.history(2 * MAX_ENTRIES).await.unwrap();
    assert_eq!(entries.len(), MAX_ENTRIES);
    assert!(entries.is_sorted_by(|later, earlier| (later.term, later.number) > (earlier.term, earlier.number)));
    let versions = entries.iter().take(MORE).map(|entry| entry.about.clone().unwrap());
    assert!(versions.eq((1..=MORE).rev().map(|version| version.to_string())));
    assert_eq!((entries[MORE].deed, entries[MORE].term), (Deed::Takeover, Term(11)));
    let old = entries.iter().skip(MORE + 1).map(|entry| (entry.term, entry.number));
    let newest = (0..(MAX_ENTRIES + SURPLUS) as u64).rev().map(|number| (Term(7), number));
    assert!(old.eq(newest.take(MAX_ENTRIES - MORE - 1)), "the newest of what was there before");
    node.shutdown().await;
}

#[tokio::test]
async fn a_full_history_on_sqlite_keeps_the_newest_thousand_and_an_entry_costs_two_calls() {
    let place = Place::new();
    keeps_the_newest(Backend::new(place.open().await)).await;
}

#[tokio::test]
async fn a_full_history_in_memory_keeps_the_newest_thousand_and_an_entry_costs_two_calls() {
    keeps_the_newest(MemoryStore::new().backend()).await;
}
