//! Nodes and clusters that are left alone for a while, and who runs the jobs.

use failover_core::admin::Parked;
use failover_core::control::{Drain, Overdue, Pause, Settings, Topology};
use failover_core::heartbeat::News;
use failover_core::job::JobStatus;
use failover_core::memory::MemoryStore;
use failover_core::testkit::faults::{Fault, Faulty, Op};
use failover_core::time::ManualClock;
use failover_core::{Admin, Capacity, ErrorKind, Heartbeat, HeartbeatStore, Role, Term};
use tokio::task::JoinHandle;

use crate::support::{node, pass};
use crate::{LONG, active, broken, id, job, member, place, report, seen};

const MOMENT: std::time::Duration = std::time::Duration::from_millis(600);

/// What a node says of its role.
async fn says(store: &MemoryStore, name: &str, seq: u64, role: Role) {
    let news = News { ready: true, ..News::new(role, Capacity::default()) };
    store.beat(&Heartbeat { member: member(name), term: Term(1), seq, news }).await.unwrap();
}

#[tokio::test]
async fn maintenance_empties_the_node_first_and_its_end_takes_back_what_it_began_and_nothing_else() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    seen(&store, "a", Capacity::default()).await;
    seen(&store, "b", Capacity::default()).await;
    let (a, b) = (node("a"), node("b"));
    let (first, other) = (Drain::new(LONG, Overdue::Force), Drain::new(LONG, Overdue::Abort));
    for settings in [admin.begin_maintenance(&a, &first).await, admin.begin_maintenance(&a, &other).await] {
        let settings = settings.unwrap();
        assert!(settings.maintenance.contains(&a));
        assert_eq!(settings.drains[&a], first, "how it is emptied is settled once");
    }
    admin.drain(&b, &other).await.unwrap();
    let settings = admin.end_maintenance(&b).await.unwrap();
    assert_eq!(settings.drains[&b], other, "it was drained and not in maintenance");
    let settings = admin.end_maintenance(&a).await.unwrap();
    assert!(settings.maintenance.is_empty() && !settings.drains.contains_key(&a), "{settings:?}");
}

#[tokio::test]
async fn a_node_nobody_knows_and_the_active_one_of_a_paused_cluster_cannot_go_into_maintenance() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    seen(&store, "a", Capacity::default()).await;
    let drain = Drain::new(LONG, Overdue::Abort);
    for refused in [admin.begin_maintenance(&node("x"), &drain).await, admin.end_maintenance(&node("x")).await] {
        assert!(broken(&refused.unwrap_err()).starts_with("node is `x`: no such node is known"));
    }
    active(&store, "a").await;
    let paused = admin.pause_cluster(None).await.unwrap();
    let refused = broken(&admin.begin_maintenance(&node("a"), &drain).await.unwrap_err());
    assert!(refused.starts_with("node is `a`: it is active and the cluster is paused"), "{refused}");
    assert_eq!(admin.settings().await.unwrap(), paused);
    admin.resume_cluster().await.unwrap();
    assert!(admin.begin_maintenance(&node("a"), &drain).await.unwrap().maintenance.contains(&node("a")));
}

#[tokio::test]
async fn who_pauses_a_cluster_is_on_record_until_it_is_resumed_and_a_second_pause_changes_nothing() {
    let admin = Admin::new(MemoryStore::new().backend());
    let by = |settings: &Settings| settings.paused.as_ref().and_then(|Pause { by, .. }| by.clone());
    let first = admin.pause_cluster(Some("ann".into())).await.unwrap();
    assert_eq!(by(&first).as_deref(), Some("ann"));
    assert_eq!(admin.pause_cluster(Some("bob".into())).await.unwrap(), first);
    assert_eq!(admin.config().await.unwrap().version, 1, "nothing was written");
    assert_eq!(admin.resume_cluster().await.unwrap().paused, None);
    assert_eq!(admin.resume_cluster().await.unwrap().paused, None, "it is safe to repeat");
    assert_eq!(by(&admin.pause_cluster(Some("bob".into())).await.unwrap()).as_deref(), Some("bob"));
    assert_eq!(by(&admin.pause_cluster(None).await.unwrap()).as_deref(), Some("bob"));
}

#[tokio::test]
async fn a_topology_is_set_beside_all_other_settings_and_is_a_version_of_its_own() {
    let admin = Admin::new(MemoryStore::new().backend()).with_operator("ann");
    admin.set_roster(vec![node("a"), node("b")]).await.unwrap();
    assert_eq!(admin.settings().await.unwrap().topology, Topology::default());
    let settings = admin.set_topology(Topology::ActiveStandby).await.unwrap();
    assert_eq!((settings.topology, settings.roster.len()), (Topology::ActiveStandby, 2));
    let now = admin.config().await.unwrap();
    assert_eq!((now.version, now.edit.by.as_str(), now.settings.topology), (2, "ann", Topology::ActiveStandby));
    admin.set_topology(Topology::ActiveStandby).await.unwrap();
    assert_eq!(admin.config().await.unwrap().version, 2, "it is as it was");
    assert_eq!(admin.set_topology(Topology::Ordered).await.unwrap().topology, Topology::Ordered);
}

#[tokio::test]
async fn a_node_is_parked_when_its_jobs_have_left_it_and_it_says_that_it_takes_part_in_nothing() {
    let clock = ManualClock::new();
    let store = MemoryStore::with_clock(clock.clone());
    let (backend, faults) = Faulty::wrap_on(store.backend(), clock.clone());
    let admin = Admin::new(backend).with_clock(std::sync::Arc::new(clock.clone()));
    let fence = active(&store, "b").await;
    let waits = |within| {
        let admin = admin.clone();
        tokio::spawn(async move { admin.parked(&node("a"), within).await })
    };
    let ends = async |waiting: JoinHandle<_>| {
        pass(&clock, MOMENT).await;
        assert!(waiting.is_finished());
        waiting.await.unwrap()
    };
    assert_eq!(ends(waits(LONG)).await.unwrap(), Parked::InMaintenance, "it is not there at all");

    says(&store, "a", 1, Role::Standby).await;
    admin.submit(&job("j")).await.unwrap();
    place(&store, &fence, "j", "a").await;
    let Parked::Busy(jobs) = ends(waits(MOMENT / 2)).await.unwrap() else { panic!("a job is on it") };
    assert_eq!(jobs.iter().map(|record| record.spec.id().clone()).collect::<Vec<_>>(), [id("j")]);

    let waiting = waits(LONG);
    report(&store, "j", "a", 1, JobStatus::Stopped).await;
    pass(&clock, MOMENT).await;
    assert!(!waiting.is_finished(), "it has not said so yet");
    assert_eq!(ends(waits(MOMENT / 2)).await.unwrap(), Parked::NotYet);
    says(&store, "a", 2, Role::Maintenance).await;
    assert_eq!(ends(waiting).await.unwrap(), Parked::InMaintenance);

    // A store that is away makes it take longer; one that refuses is not waited for.
    let waiting = {
        faults.every(Op::Sightings, Fault::Refuse(ErrorKind::Unavailable));
        waits(LONG)
    };
    pass(&clock, MOMENT).await;
    assert!(!waiting.is_finished());
    faults.heal();
    assert_eq!(ends(waiting).await.unwrap(), Parked::InMaintenance);
    faults.every(Op::Sightings, Fault::Refuse(ErrorKind::Denied));
    assert_eq!(ends(waits(LONG)).await.unwrap_err().kind(), ErrorKind::Denied);
}
