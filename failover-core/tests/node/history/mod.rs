//! What the cluster's history tells of each thing, and that it tells of each once.

mod once;

use std::time::Duration;

use async_trait::async_trait;
use failover_core::incident::{Deed, Entry};
use failover_core::time::{Clock, ManualClock};
use failover_core::{Right, Role, RoleHooks};

use crate::support::{node, pass, until};
use crate::world::{BEAT, LONG, TTL, World};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A host that takes its time.
struct Slow {
    clock: ManualClock,
    prepare: Duration,
    promote: Duration,
    demote: Duration,
}

impl Slow {
    fn new(world: &World, prepare: u64, promote: u64, demote: u64) -> Self {
        Self { clock: world.clock.clone(), prepare: ms(prepare), promote: ms(promote), demote: ms(demote) }
    }

    async fn take(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }
}

#[async_trait]
impl RoleHooks for Slow {
    async fn prepare(&self) {
        self.take(self.prepare).await;
    }

    async fn promote(&self, _right: Right) {
        self.take(self.promote).await;
    }

    async fn demote(&self) {
        self.take(self.demote).await;
    }
}

/// The entries about a kind of thing, oldest first.
async fn told(world: &World, deed: Deed) -> Vec<Entry> {
    let mut entries = world.admin.history(1_000).await.unwrap();
    entries.retain(|entry| entry.deed == deed);
    entries.reverse();
    entries
}

/// That something took so long, as far as the moved clock and hints tell.
fn about(took: Option<Duration>, expected: u64) -> bool {
    took.is_some_and(|took| took >= ms(expected) && took < ms(expected) + BEAT)
}

#[tokio::test]
async fn a_switchovers_entry_tells_how_long_it_took_to_prepare_to_stop_and_to_start() {
    let world = World::new();
    let a = world.node("a").hooks(Slow::new(&world, 0, 0, 3_000)).start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let c = world.node("c").hooks(Slow::new(&world, 5_000, 7_000, 0)).start().unwrap();
    pass(&world.clock, BEAT * 2).await;

    // Neither node's clock is compared with the other's: each tells how long its own part took.
    let done = until(&world.clock, LONG, world.admin.switchover(Some(node("c")), LONG)).await.unwrap();
    assert!(c.active().is_some());
    let steps: Vec<_> = done.steps.iter().map(|step| (step.phase.as_str(), step.took.is_some())).collect();
    let measured = ["checked", "preparing", "started", "released", "done"].map(|step| (step, true));
    assert_eq!((steps[0], &steps[1..]), (("requested", false), &measured[..]));

    pass(&world.clock, BEAT).await;
    let entries = told(&world, Deed::Switchover).await;
    let phases = entries[0].phases;
    assert_eq!((entries.len(), entries[0].what.as_str(), phases.detect), (1, "switchover from a to c: done", None));
    assert!(about(phases.decide, 5_000), "{phases:?}");
    assert!(about(phases.stop, 3_000), "{phases:?}");
    assert!(about(phases.start, 7_000), "{phases:?}");
    assert_eq!(phases, done.phases());
}

#[tokio::test]
async fn one_that_falls_back_tells_how_long_it_took_to_start_again() {
    let world = World::new();
    let a = world.node("a").hooks(Slow::new(&world, 0, 2_000, 3_000)).start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let mut events = a.events();
    let asked = tokio::spawn({
        let admin = world.admin.clone();
        async move { admin.switchover(None, LONG).await }
    });
    world.event(&mut events, failover_core::machine::EventKind::SwitchoverStarted).await;
    drop(b);
    until(&world.clock, LONG, asked).await.unwrap().unwrap_err();
    pass(&world.clock, TTL).await;
    let entry = told(&world, Deed::Switchover).await.remove(0);
    assert_eq!(entry.what, "switchover from a to b: failed");
    assert!(about(entry.phases.start, 2_000), "{entry:?}");
    assert!(a.active().is_some() && entry.phases.decide.is_some_and(|took| took < BEAT), "{entry:?}");
}

#[tokio::test]
async fn a_switchover_that_its_operator_took_back_is_told_as_well() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let _c = world.node("c").hooks(Slow::new(&world, 60_000, 0, 0)).start().unwrap();
    pass(&world.clock, BEAT * 2).await;
    let admin = world.admin.clone().with_operator("ann");
    until(&world.clock, LONG, admin.switchover(Some(node("c")), BEAT * 2)).await.unwrap_err();
    pass(&world.clock, BEAT * 2).await;
    let entries = told(&world, Deed::Switchover).await;
    assert_eq!((entries.len(), &*entries[0].what, &*entries[0].who), (1, "switchover from a to c: failed", "ann"));
}

#[tokio::test]
async fn versions_that_nobody_was_active_for_are_told_of_in_order_by_whoever_is_next() {
    let world = World::new();
    let admin = world.admin.clone().with_operator("ann");
    let versions = async || {
        let entries = told(&world, Deed::Settings).await;
        entries
            .iter()
            .map(|entry| (entry.about.clone().unwrap().parse().unwrap(), entry.who.clone()))
            .collect::<Vec<(u64, _)>>()
    };
    let upto = |last: u64| (1..=last).map(|version| (version, "ann".to_owned())).collect::<Vec<_>>();
    // More than one page of them.
    for version in 0..40 {
        admin.set_roster(vec![node(&format!("n{version}"))]).await.unwrap();
    }
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    pass(&world.clock, TTL * 2).await;
    assert_eq!(versions().await, upto(40));

    // Quicker than it reads them, and again while nobody is there.
    for version in 40..45 {
        admin.set_roster(vec![node(&format!("n{version}"))]).await.unwrap();
    }
    pass(&world.clock, TTL).await;
    assert_eq!(versions().await, upto(45));
    until(&world.clock, LONG, a.shutdown()).await;
    admin.set_roster(Vec::new()).await.unwrap();
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Active).await;
    pass(&world.clock, TTL * 2).await;
    assert_eq!(versions().await, upto(46));
}
