//! Jobs by the hundred in one transaction, and the feed over compaction and dropped removals.

use std::collections::BTreeMap;
use std::time::Duration;

use failover_core::job::{
    Assigned, Course, JobChange, JobPolicy, JobReport, JobStatus, MAX_BATCH, MAX_DETAIL, MAX_PAYLOAD, MAX_RUN_DETAIL,
    MAX_RUNS, Move, Removed, Reported, Revised, Step,
};
use failover_core::{Epoch, JobAssigner, JobRecord, JobSpec, Lease, Member, Revision, Term};
use failover_etcd::EtcdStore;
use failover_etcd::etcd_client::{DeleteOptions, GetOptions};

use crate::common::{ONE, client, job_id, lease_name, member, node, open, own_prefix};

fn fence(holder: &Member) -> Lease {
    Lease { name: lease_name("active"), holder: holder.clone(), term: Term(1), ttl: Duration::from_secs(5) }
}

fn seize(job: &str, epoch: u64, from: &Member) -> Move {
    Move::new(job_id(job), Epoch(epoch), Step::Seize { from: from.clone(), to: None })
}

fn place(job: &str, epoch: u64, to: &Member) -> Move {
    Move::new(job_id(job), Epoch(epoch), Step::Place { to: to.clone() })
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
        status: JobStatus::Progress("\u{1}".repeat(MAX_DETAIL)),
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

/// What takes the most room: every text as long as it may be, of letters that JSON writes as six, names of the longest, and
/// all the runs that are remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_jobs_with_full_histories_move_at_once() {
    let store = open(&format!("{}?prefix={}", ONE.url(), own_prefix())).await;
    let m = member(&"n".repeat(64), u128::MAX);
    let names: Vec<String> = (0..MAX_BATCH).map(|i| format!("{i:064}")).collect();
    let mut way = Course::default();
    (way.home, way.target, way.retries) = (Some(m.node.clone()), Some(m.node.clone()), u32::MAX);
    for name in &names {
        let spec = JobSpec::new(job_id(name), "\u{1}".repeat(900)).unwrap();
        store.submit(&spec).await.unwrap();
    }
    let failure = JobStatus::Failed("\u{1}".repeat(MAX_DETAIL));
    let rounds = MAX_RUNS as u64 + 1;
    for epoch in 0..rounds {
        let noted = |name: &String| Move { course: way.clone(), ..place(name, epoch, &m) };
        let moves: Vec<Move> = names.iter().map(noted).collect();
        let assigned = store.assign(&fence(&m), &moves).await;
        assert!(matches!(assigned, Ok(Assigned::Applied(_))), "{assigned:?}");
        let said = |name: &String| {
            let (job, member, status) = (job_id(name), m.clone(), failure.clone());
            JobReport { job, member, epoch: Epoch(epoch + 1), status }
        };
        let reports: Vec<JobReport> = names.iter().map(said).collect();
        assert_eq!(store.report(&reports).await.unwrap(), [Reported::Accepted; MAX_BATCH]);
    }
    let mut known = BTreeMap::new();
    follow(&store, &mut known, Revision::ZERO, 30).await;
    assert_eq!(known.len(), MAX_BATCH);
    for record in known.values() {
        let kept: Vec<usize> =
            record.runs.iter().map(|run| run.end.as_ref().map_or(0, |end| end.detail.len())).collect();
        assert_eq!((kept, &record.course), (vec![MAX_RUN_DETAIL; MAX_RUNS], &way));
        assert_eq!((record.spec.payload().len(), record.detail.len()), (900, MAX_DETAIL));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revised_spec_moves_between_its_record_and_a_key_of_its_own() {
    let prefix = own_prefix();
    let store = open(&format!("{}?prefix={prefix}", ONE.url())).await;
    let mut host = client(&ONE.url()).await;
    let small = JobSpec::new(job_id("import"), "small").unwrap();
    let large = small.clone().with_payload("x".repeat(2000)).unwrap();
    let mut ruled = JobPolicy::default();
    ruled.pins = (0..64).map(|n| node(&format!("a-node-of-many-{n}"))).collect();
    let ruled = small.clone().with_policy(ruled).unwrap();
    store.submit(&small).await.unwrap();
    for (spec, apart) in [(&large, 1), (&small, 0), (&ruled, 1), (&large, 1), (&small, 0)] {
        assert_eq!(store.revise(spec).await.unwrap(), Revised::Changed);
        let mut known = BTreeMap::new();
        follow(&store, &mut known, Revision::ZERO, 9).await;
        assert_eq!(&known["import"].spec, spec);
        let keys = host.get(format!("{prefix}/c/spec/import"), None).await.unwrap().count();
        assert_eq!(keys, apart, "{spec:?}");
    }
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
