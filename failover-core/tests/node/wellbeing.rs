//! What a host says of itself, a host that says nothing any more, and a node that nobody answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::health::{MAX_FAILURE_WEIGHT, MAX_FAILURES};
use failover_core::machine::{EventKind, Reason};
use failover_core::testkit::faults::{Fault, Faulty};
use failover_core::time::Clock;
use failover_core::{Node, Role, RoleHooks, Witness};

use crate::support::{pass, settle, until};
use crate::world::{BEAT, LONG, TTL, World, end_of};

const LIMIT: Duration = Duration::from_secs(2);

/// Two nodes that were started with no more than their names.
async fn two(world: &World) -> (Node, Node) {
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    (a, b)
}

#[tokio::test]
async fn a_failure_is_seen_by_all_and_moves_the_role_to_the_standby_in_better_health() {
    let world = World::new();
    let (a, b) = two(&world).await;
    let (mut of_a, mut of_b) = (a.events(), b.events());
    let right = a.active().unwrap();
    a.report_failure("disk", "no space is left", 10).unwrap();
    world.role(&b, Role::Active).await;
    assert!(!right.is_valid() && b.active().is_some());

    let reported = world.event(&mut of_a, EventKind::FailureReported).await.event;
    assert_eq!(reported.detail.as_deref(), Some("disk: no space is left (weight 10)"));
    let asked = world.event(&mut of_a, EventKind::ReliefRequested).await.event;
    assert_eq!((asked.reason, asked.detail.as_deref()), (Reason::InBetterHealth, Some("to b")));
    world.event(&mut of_b, EventKind::SwitchoverDone).await;
    pass(&world.clock, BEAT * 2).await;
    let status = world.admin.status(TTL).await.unwrap();
    let seen: Vec<_> = status.nodes.iter().map(|node| (node.node.as_str(), node.health.weight())).collect();
    assert_eq!(seen, [("a", 10), ("b", 0)]);

    // An operator cannot hand it back either, before the failure is over.
    let refused = until(&world.clock, LONG, world.admin.switchover(Some(a.member().node.clone()), LONG)).await;
    assert!(refused.unwrap_err().to_string().contains(Reason::TargetIll.text()));
    a.clear_failure("disk").unwrap();
    world.event(&mut of_a, EventKind::FailureCleared).await;
    pass(&world.clock, BEAT * 2).await;
    until(&world.clock, LONG, world.admin.switchover(Some(a.member().node.clone()), LONG)).await.unwrap();
}

#[tokio::test]
async fn a_failure_that_follows_the_role_does_not_carry_it_to_and_fro() {
    let world = World::new();
    let (a, b) = two(&world).await;
    a.report_failure("line", "it is cut", 1).unwrap();
    world.role(&b, Role::Active).await;
    let moved = world.clock.now();
    b.report_failure("line", "it is cut", 1).unwrap();
    a.clear_failure("line").unwrap();
    world.role(&a, Role::Active).await;
    let stayed = world.clock.now().since(moved);
    assert!(stayed >= Duration::from_secs(30) && stayed < Duration::from_secs(33), "it stayed for {stayed:?}");
}

#[tokio::test]
async fn a_warning_moves_nothing_and_neither_does_a_failure_that_all_have() {
    let world = World::new();
    let (a, b) = two(&world).await;
    let mut events = a.events();
    a.report_failure("disk", "nearly full", 0).unwrap();
    assert_eq!(world.event(&mut events, EventKind::FailureReported).await.event.reason, Reason::HostWarned);
    b.report_failure("disk", "full", 10).unwrap();
    pass(&world.clock, BEAT * 2).await;
    a.report_failure("disk", "full", 10).unwrap();
    pass(&world.clock, LONG).await;
    assert!(a.active().is_some() && b.role() == Role::Standby);
}

#[tokio::test]
async fn what_no_failure_can_be_is_refused_and_changes_nothing() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    let mut events = a.events();
    for i in 0..MAX_FAILURES {
        a.report_failure(&format!("f{i}"), "x", MAX_FAILURE_WEIGHT).unwrap();
    }
    let refused = |result: Result<(), failover_core::Invalid>| result.unwrap_err().to_string();
    assert!(refused(a.report_failure("one-more", "x", 1)).starts_with("failure is `one-more`: "));
    assert!(refused(a.report_failure("f1", "x", MAX_FAILURE_WEIGHT + 1)).starts_with("failure weight is `10001`: "));
    assert!(refused(a.report_failure("no name", "x", 1)).starts_with("failure name is `no name`: "));
    assert!(refused(a.clear_failure("")).starts_with("failure name is ``: "));
    a.clear_failure("never-reported").unwrap();
    world.role(&a, Role::Active).await;
    pass(&world.clock, BEAT * 2).await;
    let status = world.admin.status(TTL).await.unwrap();
    let failures = &status.nodes[0].health.failures;
    assert_eq!(failures.len(), MAX_FAILURES);
    assert!(failures.values().all(|failure| failure.weight == MAX_FAILURE_WEIGHT));
    settle().await;
    let mut told = 0;
    while let Some(event) = futures_util::FutureExt::now_or_never(events.next()).flatten() {
        told += usize::from(matches!(event.event.kind, EventKind::FailureReported | EventKind::FailureCleared));
    }
    assert_eq!(told, MAX_FAILURES);
}

/// A host whose `demote` does not return while it hangs.
struct Hanging(Arc<AtomicBool>);

#[async_trait]
impl RoleHooks for Hanging {
    async fn demote(&self) {
        if self.0.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

/// Moves the clock by so much while the host feeds its watchdog, from a thread without a runtime.
async fn pass_fed(world: &World, node: &Node, time: Duration) {
    let end = world.clock.now() + time;
    while world.clock.now() < end {
        std::thread::scope(|scope| drop(scope.spawn(|| node.feed())));
        pass(&world.clock, LIMIT / 4).await;
    }
}

#[tokio::test]
async fn a_host_that_does_not_feed_its_watchdog_loses_its_role_and_takes_none_until_it_does() {
    let world = World::new();
    let hangs = Arc::new(AtomicBool::new(false));
    let a = world.node("a").watchdog(LIMIT).hooks(Hanging(hangs.clone())).start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    pass_fed(&world, &a, LIMIT * 5).await;
    assert!(a.active().is_some(), "it is fed");
    assert_eq!(b.role(), Role::Standby);

    // Its demote returns: the standby has the lease at once.
    let hung = world.event(&mut events, EventKind::HostHung).await.event;
    assert_eq!((hung.reason, a.active().is_none()), (Reason::HostHung, true));
    let found_out = world.clock.now();
    world.role(&b, Role::Active).await;
    assert!(world.clock.now().since(found_out) < BEAT, "it took {:?}", world.clock.now().since(found_out));
    let shut = world.admin.status(TTL).await.unwrap();
    assert!(shut.nodes[0].health.hung && shut.standby.is_none());

    // It feeds it again, has the role again, and hangs wholly: the lease lapses.
    a.feed();
    world.event(&mut events, EventKind::HostBack).await;
    b.leave();
    while a.role() != Role::Active {
        pass_fed(&world, &a, LIMIT / 4).await;
    }
    let c = world.node("c").start().unwrap();
    while c.role() != Role::Standby {
        pass_fed(&world, &a, LIMIT / 4).await;
    }
    let right = a.active().unwrap();
    hangs.store(true, Ordering::Relaxed);
    let fed = world.clock.now();
    let (ended, ()) = tokio::join!(end_of(&world.clock, &right), world.role(&c, Role::Active));
    assert!(ended.since(fed) > LIMIT && ended.since(fed) <= LIMIT + TTL, "it ended {:?} later", ended.since(fed));
    assert_eq!(a.role(), Role::Inactive);
}

#[tokio::test]
async fn a_watchdog_shorter_than_a_beat_is_refused() {
    let world = World::new();
    let refused = world.node("a").watchdog(BEAT / 2).start().unwrap_err().to_string();
    assert_eq!(refused, "watchdog is `500ms`: it must be at least a beat of 1s");
}

/// A witness that says what it is told to, and how often it was asked.
fn witness(answers: &Arc<AtomicBool>, asked: &Arc<AtomicU32>) -> Witness {
    let (answers, asked) = (answers.clone(), asked.clone());
    Witness::function(move || {
        asked.fetch_add(1, Ordering::Relaxed);
        let answer = answers.load(Ordering::Relaxed);
        async move { if answer { true } else { std::future::pending().await } }
    })
}

#[tokio::test]
async fn a_node_that_neither_the_store_nor_a_witness_answers_stops_before_its_lease_forces_it_to() {
    let world = World::new();
    let (answers, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
    let node = world.node_on(backend, "a").witness(witness(&answers, &asked));
    let a = node.start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    pass(&world.clock, BEAT * 5).await;
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nobody is asked while the store answers");

    answers.store(false, Ordering::Relaxed);
    pass(&world.clock, BEAT * 5).await;
    assert!(a.active().is_some(), "while the store answers it is not cut off, whatever a witness would say");

    let right = a.active().unwrap();
    faults.all(Fault::Hang);
    let silent = world.event(&mut events, EventKind::StoreSilent).await.event;
    assert_eq!(silent.reason, Reason::CutOff);
    assert!(right.stopping().is_cancelled() && a.active().is_none());
    let early = right.stop_at().since(world.clock.now());
    assert!(early >= BEAT / 2, "it began to stop only {early:?} before it would have had to");

    faults.heal();
    world.event(&mut events, EventKind::StoreBack).await;
    world.role(&a, Role::Active).await;
}

#[tokio::test]
async fn a_store_that_is_away_while_a_witness_answers_is_told_apart_and_costs_nothing_before_the_right_is_over() {
    let world = World::new();
    let (answers, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
    let a = world.node_on(backend, "a").witness(witness(&answers, &asked)).start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    pass(&world.clock, BEAT).await;

    let right = a.active().unwrap();
    faults.all(Fault::Hang);
    assert_eq!(world.event(&mut events, EventKind::StoreSilent).await.event.reason, Reason::StoreAway);
    assert!(!right.stopping().is_cancelled() && a.active().is_some());
    faults.heal();
    world.event(&mut events, EventKind::StoreBack).await;
    pass(&world.clock, BEAT * 2).await;
    assert!(right.is_valid(), "it is the same right");

    // It is asked once a beat while the store is silent, and the right ends when it ends.
    let before = asked.load(Ordering::Relaxed);
    faults.all(Fault::Hang);
    let ended = end_of(&world.clock, &right);
    until(&world.clock, LONG, ended).await;
    let times = asked.load(Ordering::Relaxed) - before;
    assert!((2..=5).contains(&times), "it was asked {times} times in five beats");
}
