//! Jobs given to a cluster, and which ones it does not take.

use failover_core::job::{FailoverPolicy, Revised, Submitted};
use failover_core::memory::MemoryStore;
use failover_core::{Admin, Capacity, ErrorKind};

use crate::{broken, class, id, job, node, pinned, policy, seen, with};

#[tokio::test]
async fn every_job_is_listed_however_many_pages_that_takes() {
    let admin = Admin::new(MemoryStore::new().backend());
    for i in 0..1001 {
        admin.submit(&job(&format!("j{i:04}"))).await.unwrap();
    }
    admin.remove(&id("j0500")).await.unwrap();
    let jobs = admin.jobs().await.unwrap();
    assert_eq!(jobs.len(), 1000);
    assert!(jobs.is_sorted_by_key(|job| job.spec.id().clone()));
}

#[tokio::test]
async fn whatever_changes_is_a_hint() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    let waiting = tokio::spawn({
        let admin = admin.clone();
        async move { admin.changed().await }
    });
    admin.submit(&job("j")).await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_pin_to_a_node_that_nobody_knows_is_refused_whole() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    seen(&store, "a", Capacity::default()).await;
    admin.set_roster(vec![node("b")]).await.unwrap();
    admin.submit(&with("known", pinned(&["b", "a"]))).await.unwrap();

    let error = admin.submit(&with("typo", pinned(&["a", "c"]))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        broken(&error),
        "pins is `c`: no such node is known: start it or put it on the roster first (known: a, b)"
    );
    assert_eq!(admin.revise(&with("known", pinned(&["c"]))).await.unwrap_err().kind(), ErrorKind::Invalid);
    let jobs = admin.jobs().await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.spec.clone()).collect::<Vec<_>>(), [with("known", pinned(&["b", "a"]))]);
}

#[tokio::test]
async fn a_weight_that_no_node_takes_is_refused_and_the_settings_count() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    let heavy = |weight: u32, on: &[&str]| with("heavy", pinned(on)).with_weight(weight).unwrap();
    admin.submit(&job("first").with_weight(9_999).unwrap()).await.expect("nobody knows yet what the nodes will take");

    seen(&store, "a", Capacity::of(10).unwrap()).await;
    seen(&store, "b", Capacity::of(20).unwrap()).await;
    seen(&store, "watches", Capacity::NONE).await;
    let rule = "give one more, or split the job";
    let refused = |error| broken(&error);
    let error = refused(admin.submit(&heavy(21, &[])).await.unwrap_err());
    assert_eq!(error, format!("weight is `21`: no node takes more than 20 (`b`): {rule}"));
    let error = refused(admin.submit(&heavy(11, &["a"])).await.unwrap_err());
    assert_eq!(error, format!("weight is `11`: of those it is pinned to, no node takes more than 10 (`a`): {rule}"));

    admin.set_capacity(&node("a"), Some(Capacity::of(5).unwrap().with_weight(11).unwrap())).await.unwrap();
    assert_eq!(admin.submit(&heavy(11, &["a"])).await.unwrap(), Submitted::Created);
    assert_eq!(admin.submit(&heavy(11, &["a"])).await.unwrap(), Submitted::Unchanged);
}

#[tokio::test]
async fn a_class_fills_in_what_a_job_leaves_open_and_a_later_change_of_it_reaches_what_comes_later() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    let agent = policy(|policy| policy.class = Some(class("agent")));
    let error = admin.submit(&with("early", agent.clone())).await.unwrap_err();
    assert!(broken(&error).starts_with("class is `agent`: there is no such class"), "{error}");

    let manual = policy(|policy| (policy.failover, policy.retries) = (FailoverPolicy::Manual, Some(2)));
    admin.set_class(&class("agent"), &manual).await.unwrap();
    admin.submit(&with("one", policy(|p| (p.class, p.retries) = (Some(class("agent")), Some(7))))).await.unwrap();
    admin.set_class(&class("agent"), &policy(|policy| policy.priority = 1)).await.unwrap();
    admin.submit(&with("two", agent)).await.unwrap();
    let jobs = admin.jobs().await.unwrap();
    let of = |n: usize| {
        let policy = jobs[n].spec.policy();
        (policy.failover, policy.retries, policy.priority)
    };
    assert_eq!(of(0), (FailoverPolicy::Manual, Some(7), 0));
    assert_eq!(of(1), (FailoverPolicy::Automatic, None, 1));
}

#[tokio::test]
async fn a_job_is_revised_in_place() {
    let admin = Admin::new(MemoryStore::new().backend());
    assert_eq!(admin.revise(&job("j")).await.unwrap(), Revised::Absent);
    admin.submit(&job("j")).await.unwrap();
    assert_eq!(admin.revise(&job("j")).await.unwrap(), Revised::Unchanged);
    let other = with("j", policy(|policy| policy.priority = 5));
    assert_eq!(admin.revise(&other).await.unwrap(), Revised::Changed);
    assert_eq!(admin.jobs().await.unwrap()[0].spec, other);
}
