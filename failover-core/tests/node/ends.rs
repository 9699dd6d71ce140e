//! How nodes are taken out, dropped and refused.

use std::time::Duration;

use crate::support::{node, until};
use crate::world::{BEAT, World, obedient};
use failover_core::detect::Detector;
use failover_core::machine::{EventKind, Finish, Switch};
use failover_core::memory::MemoryStore;
use failover_core::{LeaseManager, Node, Role, Timing};

#[tokio::test]
async fn a_node_in_maintenance_gives_its_role_away_and_comes_back() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    a.maintenance(Switch::On);
    world.role(&a, Role::Maintenance).await;
    world.role(&b, Role::Active).await;
    a.maintenance(Switch::Off);
    world.role(&a, Role::Standby).await;
}

#[tokio::test]
async fn a_handle_that_a_host_keeps_keeps_the_node_and_the_last_one_ends_it() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    let mut events = a.events();
    let clone = a.clone();
    drop(a);
    world.role(&clone, Role::Active).await;
    drop(clone);
    let last = until(&world.clock, BEAT, async {
        let mut last = None;
        while let Some(event) = events.next().await {
            last = Some(event.event.kind);
        }
        last
    })
    .await;
    assert_eq!(last, Some(EventKind::RoleChanged), "it did not leave: it stopped");
    let current = world.store.current(&failover_core::LeaseName::active()).await.unwrap();
    assert!(matches!(current.tenant, failover_core::lease::Tenant::Held { .. }), "nothing is released (law 8)");
}

#[test]
fn what_cannot_be_started_says_why() {
    let builder = || Node::builder(MemoryStore::new().backend(), node("a"));
    assert_eq!(builder().start().unwrap_err().field, "runtime");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let twice = builder().roster([node("a"), node("b"), node("a")]).start().unwrap_err();
    assert_eq!((twice.field.as_str(), twice.value.as_str()), ("roster", "a"));
    for threshold in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        let odd = builder().detector(Detector::PhiAccrual { threshold }).start().unwrap_err();
        assert_eq!(odd.field, "detector threshold");
    }
}

/// The same on the machine's own clock and several threads: what a host gets without any setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_real_clock_a_takeover_has_no_overlap_either() {
    let store = MemoryStore::new();
    let timing = Timing::new(Duration::from_millis(100), Duration::from_millis(600)).unwrap();
    let start = |name| Node::builder(store.backend(), node(name)).timing(timing).jobs(obedient).start().unwrap();
    let a = start("a");
    a.roles().wait_for(|role| *role == Role::Active).await.unwrap();
    let b = start("b");
    b.roles().wait_for(|role| *role == Role::Standby).await.unwrap();
    let right = a.active().unwrap();
    drop(a);
    b.roles().wait_for(|role| *role == Role::Active).await.unwrap();
    assert!(!right.is_valid());
    assert!(b.active().unwrap().token().number > right.token().number);
    assert_eq!(b.shutdown().await, Finish::Left);
}
