//! The feed of jobs after more removals than it remembers, and in pages that are cut by their size.

mod common;

use std::collections::BTreeMap;

use common::{LONG, granted, member, open};
use failover_core::job::{JobChange, JobReport, JobStatus, Move, Removed, Step, Submitted};
use failover_core::{Epoch, JobAssigner, JobId, JobSpec, Revision};
use failover_redis::RedisStore;
use failover_testing::redis::Redis;

fn spec(name: &str) -> JobSpec {
    JobSpec::new(JobId::new(name).unwrap(), "").unwrap()
}

/// Reads on from `since` in small pages, as a node does.
async fn follow(store: &RedisStore, known: &mut BTreeMap<JobId, Revision>, mut since: Revision) -> Revision {
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
    let redis = Redis::start();
    let store = open(&redis.url()).await;
    for i in 0..10 {
        store.submit(&spec(&format!("idle-{i}"))).await.unwrap();
    }
    let a = member("a", 1);
    let (fence, old) = (granted(&store, "active", &a, LONG).await, JobId::new("old").unwrap());
    store.submit(&spec("old")).await.unwrap();
    for epoch in 0..5 {
        let place = Move::new(old.clone(), Epoch(epoch), Step::Place { to: a.clone() });
        store.assign(&fence, &[place]).await.unwrap();
        let status = JobStatus::Stopped;
        let said = JobReport { job: old.clone(), member: a.clone(), epoch: Epoch(epoch + 1), status };
        store.report(&[said]).await.unwrap();
    }
    let mut known = BTreeMap::new();
    let before = follow(&store, &mut known, Revision::ZERO).await;
    assert_eq!(known.len(), 11);
    let removed = async |name: &str| store.remove(&JobId::new(name).unwrap()).await.unwrap();
    assert_eq!(removed("old").await, Removed::Gone);
    for i in 0..999 {
        let name = format!("churn-{i}");
        assert_eq!(store.submit(&spec(&name)).await.unwrap(), Submitted::Created);
        removed(&name).await;
    }
    assert!(!store.changes(before, 3).await.unwrap().reset, "a thousand are remembered");
    store.submit(&spec("one-more")).await.unwrap();
    removed("one-more").await;
    assert!(store.changes(before, 3).await.unwrap().reset, "one was dropped that this reader has not seen");
    assert_eq!(redis.command(&["ZCARD", "failover:{c}:graves"]), "501");
    assert_eq!(redis.command(&["HLEN", "failover:{c}:epochs"]), "501");
    follow(&store, &mut known, before).await;
    assert_eq!(known.len(), 10, "it knows exactly what is there");
    assert!(known.values().all(|revision| *revision > before), "what lay behind the floor was told again");
    store.submit(&spec("old")).await.unwrap();
    let JobChange::Put(record) = store.changes(Revision::ZERO, 100).await.unwrap().changes.pop().unwrap() else {
        panic!("the latest change is that submission")
    };
    assert_eq!((record.spec.id().as_str(), record.epoch), ("old", Epoch(5)), "its epochs are not given again");
}

#[tokio::test]
async fn a_page_of_large_jobs_is_cut_and_says_that_there_is_more() {
    let redis = Redis::start();
    let store = open(&redis.url()).await;
    let payload = "x".repeat(failover_core::job::MAX_PAYLOAD);
    for i in 0..150 {
        store.submit(&JobSpec::new(JobId::new(format!("j{i}")).unwrap(), payload.clone()).unwrap()).await.unwrap();
    }
    let (mut since, mut seen, mut pages) = (Revision::ZERO, Vec::new(), 0);
    loop {
        let page = store.changes(since, 1000).await.unwrap();
        seen.extend(page.changes.iter().map(|change| change.id().to_string()));
        (since, pages) = (page.upto, pages + 1);
        if !page.more {
            break;
        }
    }
    let all: Vec<String> = (0..150).map(|i| format!("j{i}")).collect();
    assert_eq!(seen, all);
    assert!(pages > 1, "no single answer holds all of it");
}
