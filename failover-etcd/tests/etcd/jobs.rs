//! Jobs by the hundred in one transaction, and the feed over compaction and dropped removals.

use std::collections::BTreeMap;
use std::time::Duration;

use failover_core::job::{
    Assigned, JobChange, JobReport, JobStatus, MAX_BATCH, MAX_PAYLOAD, Move, Removed, Reported, Step,
};
use failover_core::{Epoch, JobAssigner, JobRecord, JobSpec, Lease, Member, Revision, Term};
use failover_etcd::EtcdStore;
use failover_etcd::etcd_client::{DeleteOptions, GetOptions};

use crate::common::{ONE, client, job_id, lease_name, member, open, own_prefix};

fn fence(holder: &Member) -> Lease {
    Lease { name: lease_name("active"), holder: holder.clone(), term: Term(1), ttl: Duration::from_secs(5) }
}

fn seize(job: &str, epoch: u64, from: &Member) -> Move {
    Move { job: job_id(job), expect: Epoch(epoch), step: Step::Seize { from: from.clone(), to: None } }
}

fn place(job: &str, epoch: u64, to: &Member) -> Move {
    Move { job: job_id(job), expect: Epoch(epoch), step: Step::Place { to: to.clone() } }
}

/// A reader that pages through the feed as a node does.
async fn follow(
    store: &EtcdStore,
    known: &mut BTreeMap<String, JobRecord>,
    mut since: Revision,
    limit: usize,
) -> Revision {
    for _ in 0..10_000 {
        let page = store.changes(since, limit).await.unwrap();
        if page.reset {
            known.clear();
        }
        for change in page.changes {
            match change {
                JobChange::Put(record) => drop(known.insert(record.spec.id().to_string(), record)),
                JobChange::Removed { id, .. } => drop(known.remove(id.as_str())),
            }
        }
        since = page.upto;
        if !page.more {
            return since;
        }
    }
    panic!("the reader never reaches the end of the feed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_jobs_with_the_longest_payloads_move_at_once_and_go_at_once() {
    let store = open(&format!("{}?prefix={}", ONE.url(), own_prefix())).await;
    let m = member("n1", 1);
    let names: Vec<String> = (0..MAX_BATCH).map(|i| format!("job-{i:03}")).collect();
    let payload = |name: &str| format!("{name}{}", "\u{1}".repeat(MAX_PAYLOAD - name.len()));
    for name in &names {
        store.submit(&JobSpec::new(job_id(name), payload(name)).unwrap()).await.unwrap();
    }
    let moves: Vec<Move> = names.iter().map(|name| place(name, 0, &m)).collect();
    assert!(matches!(store.assign(&fence(&m), &moves).await.unwrap(), Assigned::Applied(_)));
    // The longest texts too, and all of one revision.
    let said = |name: &String| JobReport {
        job: job_id(name),
        member: m.clone(),
        epoch: Epoch(1),
        status: JobStatus::Progress("\u{1}".repeat(1024)),
    };
    let reports: Vec<JobReport> = names.iter().map(said).collect();
    assert_eq!(store.report(&reports).await.unwrap(), [Reported::Accepted; MAX_BATCH]);
    let mut known = BTreeMap::new();
    let upto = follow(&store, &mut known, Revision::ZERO, 7).await;
    assert_eq!(known.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    for (name, record) in &known {
        assert_eq!((record.spec.payload(), record.owner.as_ref()), (payload(name).as_str(), Some(&m)));
    }
    for name in &names {
        assert_eq!(store.remove(&job_id(name)).await.unwrap(), Removed::Retiring);
    }
    let moves: Vec<Move> = names.iter().map(|name| seize(name, 1, &m)).collect();
    assert!(matches!(store.assign(&fence(&m), &moves).await.unwrap(), Assigned::Applied(_)));
    follow(&store, &mut known, upto, 9).await;
    assert_eq!(known.len(), 0, "every one of them is told to be gone");
    let again = JobSpec::new(job_id(&names[99]), "small").unwrap();
    store.submit(&again).await.unwrap();
    follow(&store, &mut known, Revision::ZERO, 9).await;
    assert_eq!((known[&names[99]].epoch, known[&names[99]].spec.payload()), (Epoch(2), "small"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_survives_compaction() {
    let etcd = failover_testing::etcd::Etcd::start();
    let store = open(&etcd.url()).await;
    let spec = |name: &str| JobSpec::new(job_id(name), "x".repeat(2000)).unwrap();
    for name in ["a", "b", "c"] {
        store.submit(&spec(name)).await.unwrap();
    }
    let mut known = BTreeMap::new();
    let upto = follow(&store, &mut known, Revision::ZERO, 10).await;
    store.remove(&job_id("b")).await.unwrap();
    store.submit(&spec("d")).await.unwrap();
    let mut host = client(&etcd.url()).await;
    let now = host.get("x", None).await.unwrap().header().unwrap().revision();
    host.compact(now, None).await.unwrap();
    follow(&store, &mut known, upto, 1).await;
    assert_eq!(known.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
    // A watch that begins behind what is left wakes everybody instead.
    JobAssigner::changed(&store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_removals_are_dropped_and_no_epoch_comes_again() {
    let prefix = own_prefix();
    let store = open(&format!("{}?prefix={prefix}", ONE.url())).await;
    let m = member("n1", 1);
    for i in 0..120 {
        store.submit(&JobSpec::new(job_id(&format!("idle-{i}")), "").unwrap()).await.unwrap();
    }
    store.submit(&JobSpec::new(job_id("old"), "").unwrap()).await.unwrap();
    for epoch in 0..5 {
        store.assign(&fence(&m), &[place("old", epoch, &m)]).await.unwrap();
        store.assign(&fence(&m), &[seize("old", epoch + 1, &m)]).await.ok();
        let said =
            JobReport { job: job_id("old"), member: m.clone(), epoch: Epoch(epoch + 1), status: JobStatus::Stopped };
        store.report(&[said]).await.unwrap();
        let mut known = BTreeMap::new();
        follow(&store, &mut known, Revision::ZERO, 50).await;
        if known["old"].epoch.0 > epoch + 1 {
            break;
        }
    }
    let mut known = BTreeMap::new();
    let before = follow(&store, &mut known, Revision::ZERO, 50).await;
    let epoch = known["old"].epoch;
    assert_eq!(known.len(), 121);
    store.remove(&job_id("old")).await.unwrap();
    let mut churned = 0;
    while !store.changes(before, 3).await.unwrap().reset {
        assert!(churned < 10_000, "removals pile up for ever");
        let some: Vec<_> = (churned..churned + 50)
            .map(|i| {
                let store = store.clone();
                tokio::spawn(async move {
                    let spec = JobSpec::new(job_id(&format!("churn-{i}")), "").unwrap();
                    store.submit(&spec).await.unwrap();
                    store.remove(spec.id()).await.unwrap();
                })
            })
            .collect();
        for one in some {
            one.await.unwrap();
        }
        churned += 50;
    }
    assert!(churned > 900, "{churned} are not many");
    follow(&store, &mut known, before, 7).await;
    assert_eq!(known.len(), 120, "the reader that was reset knows exactly what is there");
    store.submit(&JobSpec::new(job_id("old"), "").unwrap()).await.unwrap();
    follow(&store, &mut known, Revision::ZERO, 50).await;
    assert!(known["old"].epoch >= epoch, "its epochs are not given again");
    let mut host = client(&ONE.url()).await;
    let count = GetOptions::new().with_prefix().with_count_only();
    let kept = host.get(format!("{prefix}/c/job/"), Some(count)).await.unwrap().count();
    assert!(kept < i64::from(churned) + 121, "{kept} keys are left of {churned} removals");
    host.delete(format!("{prefix}/"), Some(DeleteOptions::new().with_prefix())).await.unwrap();
}
