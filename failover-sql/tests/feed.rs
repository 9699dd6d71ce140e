//! The feed of jobs after more removals than it remembers.

mod common;

use std::collections::BTreeMap;

use common::Place;
use failover_core::job::{JobChange, Removed, Submitted};
use failover_core::{JobAssigner, JobId, JobSpec, Revision};
use failover_sql::SqlStore;

fn spec(name: &str) -> JobSpec {
    JobSpec::new(JobId::new(name).unwrap(), "").unwrap()
}

/// Reads on from `since` in small pages, as a node does.
async fn follow(store: &SqlStore, known: &mut BTreeMap<JobId, Revision>, mut since: Revision) -> Revision {
    for _ in 0..2000 {
        let page = store.changes(since, 3).await.unwrap();
        if page.reset {
            known.clear();
        }
        for change in &page.changes {
            match change {
                JobChange::Put(record) => drop(known.insert(record.spec.id().clone(), record.revision)),
                JobChange::Removed { id, .. } => drop(known.remove(id)),
            }
        }
        since = page.upto;
        if !page.more {
            return since;
        }
    }
    panic!("the reader never comes to the end of the feed");
}

#[tokio::test]
async fn after_dropped_removals_an_old_reader_starts_over_and_a_paging_one_comes_to_the_end() {
    let place = Place::new();
    let store = place.open().await;
    for i in 0..10 {
        store.submit(&spec(&format!("idle-{i}"))).await.unwrap();
    }
    store.submit(&spec("old")).await.unwrap();
    let mut known = BTreeMap::new();
    let before = follow(&store, &mut known, Revision::ZERO).await;
    assert_eq!(known.len(), 11);
    // As it is after five placements of `old`, and a thousand removals.
    place
        .tamper(
            "UPDATE failover_jobs SET epoch = 5 WHERE job = 'old'; \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
             INSERT INTO failover_removed SELECT 'c', 'churn-' || i, 100 + i, 0 FROM n; \
             UPDATE failover_clusters SET revision = 1099",
        )
        .await;
    let removed = async |name: &str| store.remove(&JobId::new(name).unwrap()).await.unwrap();
    assert_eq!(removed("old").await, Removed::Gone);
    assert!(!store.changes(before, 3).await.unwrap().reset, "a thousand are remembered");
    assert_eq!(store.submit(&spec("one-more")).await.unwrap(), Submitted::Created);
    assert_eq!(removed("one-more").await, Removed::Gone);
    assert!(store.changes(before, 3).await.unwrap().reset, "one was dropped that this reader has not seen");
    follow(&store, &mut known, before).await;
    assert_eq!(known.len(), 10, "it knows exactly what is there");
    assert!(known.values().all(|revision| *revision > before), "what lay behind the floor was told again");
    store.submit(&spec("old")).await.unwrap();
    let JobChange::Put(record) = store.changes(Revision::ZERO, 100).await.unwrap().changes.pop().unwrap() else {
        panic!("the latest change is that submission")
    };
    assert_eq!((record.spec.id().as_str(), record.epoch.0), ("old", 5), "its epochs are not given again");
}
