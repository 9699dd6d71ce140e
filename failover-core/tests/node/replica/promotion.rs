use std::sync::Arc;

use super::{Copied, Ledger, copied, copied_on, pair};
use crate::support::{pass, settle, until};
use crate::world::{BEAT, LONG, Story, TTL, World};
use async_trait::async_trait;
use failover_core::machine::{EventKind, Finish, Reason, Stage};
use failover_core::replica::{Follow, PublishError, Publisher, Replica};
use failover_core::testkit::faults::{Fault, Faulty, Op};
use failover_core::time::Clock;
use failover_core::{Right, Role, RoleHooks};

/// Tells what its ledger holds when it is promoted, and publishes something last when it is demoted.
struct Front(&'static str, Arc<Ledger>, Publisher, Story);

#[async_trait]
impl RoleHooks for Front {
    async fn promote(&self, _right: Right) {
        self.3.tell(format!("{} knows {}", self.0, self.1.lines().join(",")));
    }

    async fn demote(&self) {
        let (name, publisher, story) = (self.0, self.2.clone(), self.3.clone());
        // Nobody waits for them but the hand-over. The second one is asked for while the first is on its way.
        for record in ["last", "very last"] {
            let (publisher, story) = (publisher.clone(), story.clone());
            tokio::spawn(async move {
                let taken = publisher.publish(format!("{record} of {name}")).await.is_ok();
                story.tell(format!("{name} published its {record}: {taken}"));
            });
            settle().await;
        }
    }
}

/// A node that reads along every minute only, so that it has everything to catch up.
fn fronted(world: &World, name: &'static str, story: &Story) -> Copied {
    let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
    faults.every(Op::Put, Fault::Delay(BEAT / 10));
    let ledger = Arc::new(Ledger::default());
    let replica = Replica::builder("ledger", ledger.clone()).follow(Follow::Polled).period(LONG).build().unwrap();
    let front = Front(name, ledger.clone(), replica.publisher(), story.clone());
    let node = world.node_on(backend, name).replica(&replica).hooks(front).start().unwrap();
    Copied { ledger, replica, node }
}

#[tokio::test]
async fn a_promotion_first_applies_all_that_was_acknowledged() {
    let (world, story) = (World::new(), Story::default());
    let a = fronted(&world, "a", &story);
    world.role(&a.node, Role::Active).await;
    let b = fronted(&world, "b", &story);
    world.role(&b.node, Role::Standby).await;
    a.publish_all(&world, &["one", "two", "three"]).await;
    assert_eq!(b.replica.position().0, 0);
    drop(a); // as a crash
    world.role(&b.node, Role::Active).await;
    assert_eq!(story.told(), ["a knows ", "b knows one,two,three"]);
}

#[tokio::test]
async fn a_hand_over_waits_for_the_last_record_of_the_one_that_leaves() {
    let (world, story) = (World::new(), Story::default());
    let a = fronted(&world, "a", &story);
    world.role(&a.node, Role::Active).await;
    let b = fronted(&world, "b", &story);
    world.role(&b.node, Role::Standby).await;
    a.publish(&world, "one").await.unwrap();
    assert_eq!(until(&world.clock, LONG, a.node.shutdown()).await, Finish::Left);
    world.role(&b.node, Role::Active).await;
    assert_eq!(
        story.told(),
        [
            "a knows ",
            "a published its last: true",
            "a published its very last: true",
            "b knows one,last of a,very last of a"
        ]
    );
    assert!(matches!(a.replica.publisher().publish("late").await, Err(PublishError::Passive)));
}

#[tokio::test]
async fn nobody_publishes_but_the_active_node() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    assert!(a.replica.publisher().is_open() && !b.replica.publisher().is_open());
    assert!(matches!(b.publish(&world, "no").await, Err(PublishError::Passive)));
    a.publish(&world, "yes").await.unwrap();
    b.reached(&world, 1).await;
    assert_eq!(b.ledger.lines(), ["yes"]);
}

#[tokio::test]
async fn a_record_that_waits_for_its_answer_while_another_takes_over_is_refused_or_known_to_the_other() {
    for applied in [false, true] {
        let world = World::new();
        let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
        let a = copied_on(&world, backend, "a", |builder| builder);
        world.role(&a.node, Role::Active).await;
        let b = copied(&world, "b");
        world.role(&b.node, Role::Standby).await;
        a.publish(&world, "one").await.unwrap();
        // From here on `a` hears of nothing, and perhaps its last call is still done.
        faults.all(Fault::Hang);
        faults.next(Op::Put, if applied { Fault::HangReply } else { Fault::Hang });
        let (publisher, clock) = (a.replica.publisher(), world.clock.clone());
        let late = tokio::spawn(async move { publisher.publish("late").await });
        world.role(&b.node, Role::Active).await;
        let outcome = until(&clock, LONG, late).await.unwrap();
        assert!(matches!(outcome, Err(PublishError::Unknown)), "{outcome:?}");
        let expected: &[&str] = if applied { &["one", "late"] } else { &["one"] };
        assert_eq!(b.ledger.lines(), expected);
        b.publish(&world, "two").await.unwrap();
        faults.heal();
        a.reached(&world, b.replica.position().0).await;
        assert_eq!(a.ledger.lines(), b.ledger.lines(), "the old one has the same again");
    }
}

#[tokio::test]
async fn a_replica_that_cannot_be_completed_gives_the_role_up_so_that_another_can_try() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    b.ledger.refuse(true);
    let c = copied(&world, "c");
    let mut events = b.node.events();
    a.publish(&world, "one").await.unwrap();
    c.reached(&world, 1).await;
    drop(a);
    let event = world.event(&mut events, EventKind::PromotionRefused).await.event;
    assert_eq!(event.reason, Reason::PromotionRefused);
    assert!(event.detail.unwrap().contains("replica `ledger`: the ledger is closed"));
    world.role(&c.node, Role::Active).await;
    assert_ne!(b.node.role(), Role::Active);
    // What kept it from applying is over: it goes on where it was, and is fit again.
    b.ledger.refuse(false);
    b.reached(&world, 1).await;
    drop(c);
    world.role(&b.node, Role::Active).await;
    assert_eq!(b.ledger.lines(), ["one"]);
}

#[tokio::test]
async fn a_node_that_is_alone_tries_again_after_a_refusal() {
    let world = World::new();
    let a = copied(&world, "a");
    world.role(&a.node, Role::Active).await;
    a.publish(&world, "one").await.unwrap();
    drop(a);
    let b = copied(&world, "b");
    b.ledger.refuse(true);
    let mut events = b.node.events();
    world.event(&mut events, EventKind::PromotionRefused).await;
    let refused = world.clock.now();
    world.event(&mut events, EventKind::PromotionRefused).await;
    assert!(world.clock.now().since(refused) >= TTL / 2, "it leaves the others their time");
    b.ledger.refuse(false);
    world.role(&b.node, Role::Active).await;
}

struct Panics;

#[async_trait]
impl RoleHooks for Panics {
    async fn promote(&self, _right: Right) {
        panic!("no way");
    }
}

#[tokio::test]
async fn a_promote_hook_that_panics_has_refused() {
    let world = World::new();
    let a = world.node("a").hooks(Panics).start().unwrap();
    let mut events = a.events();
    let event = world.event(&mut events, EventKind::PromotionRefused).await.event;
    assert!(event.detail.unwrap().contains("no way"));
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Active).await;
    assert_ne!(a.role(), Role::Active);
}

#[tokio::test]
async fn a_host_that_hangs_in_a_promotion_does_not_keep_its_node_there_for_ever() {
    struct Hangs;
    #[async_trait]
    impl failover_core::Replicated for Hangs {
        async fn apply(&self, _record: &[u8]) -> Result<(), String> {
            std::future::pending().await
        }
        async fn snapshot(&self) -> Vec<u8> {
            Vec::new()
        }
        async fn restore(&self, _snapshot: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }
    let world = World::new();
    let a = copied(&world, "a");
    world.role(&a.node, Role::Active).await;
    let replica = Replica::new("ledger", Arc::new(Hangs)).unwrap();
    let b = world.node("b").replica(&replica).start().unwrap();
    world.role(&b, Role::Standby).await;
    a.publish(&world, "one").await.unwrap();
    drop(a);
    let mut events = b.events();
    let event = world.event(&mut events, EventKind::PromotionRefused).await.event;
    assert!(event.detail.unwrap().contains("did not get any further for 30s"));
    pass(&world.clock, BEAT).await;
    settle().await;
    assert_ne!(b.stage(), Stage::Promoting);
}
