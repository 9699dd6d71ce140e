use std::time::Duration;

use super::{Copied, copied, copied_on, pair};
use crate::support::{pass, until};
use crate::world::{BEAT, LONG, TTL, World};
use failover_core::Role;
use failover_core::control::Settings;
use failover_core::machine::{EventKind, Reason};
use failover_core::replica::{Lag, MaxLag};
use failover_core::testkit::faults::{Fault, Faulty, Op};

async fn bound(world: &World, most: MaxLag) {
    let change = |settings: &mut Settings| {
        settings.max_lag = Some(most);
        Ok(())
    };
    world.admin.reconfigure(change).await.unwrap();
}

#[tokio::test]
async fn how_far_each_node_is_behind_is_in_the_status() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    let plain = world.node("c").start().unwrap();
    world.role(&plain, Role::Inactive).await;
    a.publish_all(&world, &["one", "two"]).await;
    b.reached(&world, 2).await;
    b.ledger.refuse(true);
    a.publish_all(&world, &["three", "four", "five"]).await;
    pass(&world.clock, TTL).await;
    let status = world.admin.status(TTL).await.unwrap();
    let lags: Vec<_> = status.nodes.iter().map(|node| node.lag).collect();
    assert_eq!(lags[0], Some(Lag::NONE), "the active one");
    assert_eq!(lags[1].unwrap().records, 3);
    assert!(lags[1].unwrap().behind.unwrap() >= BEAT * 3, "{:?}", lags[1]);
    assert_eq!(lags[2], None, "it has no replicas");
}

#[tokio::test]
async fn a_node_that_is_further_behind_than_max_lag_leaves_the_takeover_to_another() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    bound(&world, MaxLag::records(2)).await;
    let c = copied(&world, "c");
    b.ledger.refuse(true);
    a.publish_all(&world, &["one", "two", "three"]).await;
    c.reached(&world, 3).await;
    pass(&world.clock, BEAT * 2).await;
    let mut events = b.node.events();
    drop(a);
    let event = world.event(&mut events, EventKind::TakeoverWithheld).await.event;
    assert_eq!(
        (event.reason, event.detail.as_deref().map(|d| d.starts_with("3 records"))),
        (Reason::TooFarBehind, Some(true))
    );
    world.role(&c.node, Role::Active).await;
}

#[tokio::test]
async fn if_all_are_too_far_behind_nobody_takes_over_until_one_has_caught_up() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    bound(&world, MaxLag::behind(Duration::from_secs(3))).await;
    b.ledger.refuse(true);
    a.publish(&world, "one").await.unwrap();
    pass(&world.clock, TTL).await;
    drop(a);
    pass(&world.clock, TTL * 6).await;
    assert_ne!(b.node.role(), Role::Active);
    b.ledger.refuse(false);
    world.role(&b.node, Role::Active).await;
    assert_eq!(b.ledger.lines(), ["one"]);
}

#[tokio::test]
async fn a_switchover_to_a_node_that_is_behind_is_refused_before_anything_stops() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    b.ledger.refuse(true);
    a.publish(&world, "one").await.unwrap();
    pass(&world.clock, TTL * 2).await;
    let mut events = a.node.events();
    let to = Some(crate::support::node("b"));
    let refused = until(&world.clock, LONG, world.admin.switchover(to, TTL * 3)).await.unwrap_err();
    assert!(refused.to_string().contains(Reason::TargetBehind.text()), "{refused}");
    world.event(&mut events, EventKind::SwitchoverRefused).await;
    assert_eq!(a.node.role(), Role::Active);
    a.publish(&world, "two").await.unwrap();
}

/// An active node with a record, and another that cannot apply it: it has never been at the journal's end.
async fn beginner(world: &World) -> [Copied; 2] {
    let a = copied(world, "a");
    world.role(&a.node, Role::Active).await;
    a.publish(world, "one").await.unwrap();
    let b = copied(world, "b");
    b.ledger.refuse(true);
    world.role(&b.node, Role::Standby).await;
    let status = world.admin.status(TTL).await.unwrap();
    let lag = status.nodes.iter().find(|node| node.node.as_str() == "b").and_then(|node| node.lag);
    assert!(lag.is_some_and(|lag| !lag.is_known() && lag.to_string() == "unknown"), "{lag:?}");
    [a, b]
}

#[tokio::test]
async fn a_switchover_waits_for_a_target_that_does_not_know_yet_how_far_it_is_behind() {
    let world = World::new();
    let [a, b] = beginner(&world).await;
    let mut events = a.node.events();
    let to = Some(crate::support::node("b"));
    let mends = async {
        while events.next().await.is_some_and(|event| event.event.kind != EventKind::SwitchoverPreparing) {}
        b.ledger.refuse(false);
    };
    let switch = world.admin.switchover(to, TTL * 3);
    let (done, ()) = until(&world.clock, LONG, async { tokio::join!(switch, mends) }).await;
    done.unwrap();
    world.role(&b.node, Role::Active).await;
    assert_eq!(b.ledger.lines(), ["one"]);
}

#[tokio::test]
async fn a_switchover_to_a_target_that_never_knows_how_far_it_is_behind_is_withdrawn_when_its_time_is_over() {
    let world = World::new();
    let [a, _b] = beginner(&world).await;
    let to = Some(crate::support::node("b"));
    let failed = until(&world.clock, LONG, world.admin.switchover(to, TTL * 3)).await.unwrap_err();
    assert!(failed.to_string().contains("had not prepared itself"), "{failed}");
    assert_eq!(a.node.role(), Role::Active);
}

#[test]
fn what_is_unknown_is_above_every_bound() {
    let unknown = Lag { records: 0, behind: None };
    for most in [MaxLag::records(1_000), MaxLag::behind(LONG)] {
        assert!(unknown.exceeds(&most) && !Lag::NONE.exceeds(&most), "{most:?}");
    }
}

#[tokio::test]
async fn a_node_more_than_a_page_behind_knows_how_far_it_is() {
    let world = World::new();
    let a = copied(&world, "a");
    world.role(&a.node, Role::Active).await;
    for n in 0..200 {
        a.publish(&world, &n.to_string()).await.unwrap();
    }
    let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
    // Each page takes a while.
    faults.every(Op::List, Fault::DelayReply(Duration::from_millis(200)));
    let b = copied_on(&world, backend, "b", |builder| builder);
    b.reached(&world, 1).await;
    let lag = 200 - b.replica.position().0;
    assert!(lag > 100, "it has only begun");
    assert!(!b.replica.lag().unwrap().is_known(), "it has never been at the end");
    let standing = until(&world.clock, LONG, async {
        loop {
            let status = world.admin.status(TTL).await.unwrap();
            if let Some(lag) = status.nodes.iter().find(|node| node.node.as_str() == "b").and_then(|node| node.lag)
                && lag.records > 0
            {
                return lag;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(standing.records > 100, "{standing:?}");
    b.reached(&world, 200).await;
}
