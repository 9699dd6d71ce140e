use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Ledger, copied, copied_on, documents, pair};
use crate::support::{pass, settle, until};
use crate::world::{BEAT, LONG, World};
use failover_core::replica::{Follow, Lag, MAX_RECORD, Position, Replica};
use failover_core::testkit::faults::{Fault, Faulty, Op};
use failover_core::time::Clock;
use failover_core::{Role, StateKey};
use futures_util::future::join_all;

#[tokio::test]
async fn records_are_applied_on_every_node_in_order_and_on_the_active_one_when_they_are_stored() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    assert_eq!(a.publish(&world, "one").await.unwrap(), Position(1));
    assert_eq!(a.ledger.lines(), ["one"]);
    a.publish_all(&world, &["two", "three"]).await;
    b.reached(&world, 3).await;
    assert_eq!(b.ledger.lines(), ["one", "two", "three"]);
    pass(&world.clock, BEAT * 3).await;
    assert_eq!(b.replica.lag().map(|lag| lag.records), Some(0));
    assert_eq!(a.replica.lag(), Some(Lag::NONE));
}

#[tokio::test]
async fn a_pushed_replica_follows_within_a_moment_and_a_polled_one_every_period() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    let period = Duration::from_secs(10);
    let slow = copied_on(&world, world.store.backend(), "c", |builder| builder.follow(Follow::Polled).period(period));
    pass(&world.clock, BEAT).await;
    let start = world.clock.now();
    a.publish(&world, "one").await.unwrap();
    b.reached(&world, 1).await;
    assert!(
        world.clock.now().since(start) <= Duration::from_millis(60),
        "pushed: {:?}",
        world.clock.now().since(start)
    );
    assert_eq!(slow.replica.position(), Position(0));
    slow.reached(&world, 1).await;
    let took = world.clock.now().since(start);
    assert!(took > period / 2 && took <= period, "polled: {took:?}");
}

#[tokio::test]
async fn records_that_are_published_together_share_the_calls_to_the_store() {
    let world = World::new();
    let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
    let a = copied_on(&world, backend, "a", |builder| builder);
    world.role(&a.node, Role::Active).await;
    pass(&world.clock, BEAT).await;
    let before = faults.calls(Op::Put);
    let publisher = a.replica.publisher();
    let all = join_all((0..500).map(|n| publisher.publish(format!("{n:0500}"))));
    let positions = until(&world.clock, LONG, all).await;
    let mut positions: Vec<_> = positions.into_iter().map(|position| position.unwrap().0).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=500).collect::<Vec<_>>());
    let puts = faults.calls(Op::Put) - before;
    assert!(puts <= 10, "{puts} puts for 500 records");
}

#[tokio::test]
async fn records_of_a_mebibyte_and_states_of_more_arrive_whole() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    let (long, longer) = ("x".repeat(MAX_RECORD), "y".repeat(MAX_RECORD * 2));
    a.publish(&world, &long).await.unwrap();
    let publisher = a.replica.publisher();
    until(&world.clock, LONG, publisher.publish_state(longer.as_str())).await.unwrap();
    a.publish(&world, "z").await.unwrap();
    b.reached(&world, 3).await;
    assert!(b.ledger.lines() == [longer, "z".to_owned()] && a.ledger.lines() == b.ledger.lines());
    assert_eq!(b.ledger.restored.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn journals_are_cut_after_snapshots_and_a_new_node_catches_up_from_both() {
    let world = World::new();
    let few = |builder: failover_core::replica::ReplicaBuilder| builder.snapshot_after(4, u64::MAX);
    let a = copied_on(&world, world.store.backend(), "a", few);
    world.role(&a.node, Role::Active).await;
    let all: Vec<_> = (0..11).map(|n| n.to_string()).collect();
    for record in &all {
        a.publish(&world, record).await.unwrap();
        settle().await;
    }
    let left = documents(&world, "replica/ledger/journal").await;
    assert!((1..=5).contains(&left.len()), "entries of 11 are left: {left:?}");
    assert_eq!(documents(&world, "replica/ledger/snapshot").await.len(), 1, "one snapshot is kept");
    let b = copied(&world, "b");
    b.reached(&world, 11).await;
    assert_eq!(b.ledger.lines(), all);
    assert_eq!(b.ledger.restored.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_reader_that_is_overtaken_by_a_cut_starts_over_from_the_snapshot() {
    let world = World::new();
    let a = copied(&world, "a");
    world.role(&a.node, Role::Active).await;
    let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
    let b = copied_on(&world, backend, "b", |builder| builder);
    a.publish_all(&world, &["one", "two"]).await;
    b.reached(&world, 2).await;
    faults.every(Op::List, Fault::Refuse(failover_core::ErrorKind::Unavailable));
    a.publish_all(&world, &["three", "four", "five"]).await;
    until(&world.clock, LONG, a.replica.publisher().snapshot()).await.unwrap();
    pass(&world.clock, BEAT * 3).await;
    assert_eq!(b.replica.position(), Position(2));
    assert!(b.replica.trouble().unwrap().contains("refused by an injected fault"));
    assert!(b.replica.lag().unwrap().behind.unwrap() >= BEAT * 2, "{:?}", b.replica.lag());
    faults.heal();
    b.reached(&world, 5).await;
    a.publish(&world, "six").await.unwrap();
    b.reached(&world, 6).await;
    assert_eq!(b.ledger.lines(), ["one", "two", "three", "four", "five", "six"]);
    assert_eq!((b.ledger.restored.load(Ordering::Relaxed), b.replica.trouble()), (1, None));
}

#[tokio::test]
async fn several_replicas_of_a_node_do_not_touch_each_other() {
    let world = World::new();
    let (one, two) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let (first, second) = (Replica::new("one", one.clone()).unwrap(), Replica::new("two", two.clone()).unwrap());
    let node = world.node("a").replica(&first).replica(&second).start().unwrap();
    world.role(&node, Role::Active).await;
    until(&world.clock, LONG, first.publisher().publish("first")).await.unwrap();
    until(&world.clock, LONG, second.publisher().publish("second")).await.unwrap();
    assert_eq!((one.lines(), two.lines()), (vec!["first".to_owned()], vec!["second".to_owned()]));
    let key = StateKey::new("replica/one/journal").unwrap();
    assert_eq!(world.store.backend().state.list(&key, None, 9).await.unwrap().len(), 1);
}
