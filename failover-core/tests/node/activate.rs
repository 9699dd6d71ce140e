//! A node made active by an operator's hand, and switchovers that somebody takes back: what comes of each, and that nothing comes of it later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::admin::{Former, SwitchoverError};
use failover_core::control::{self, SwitchPhase, SwitchWay, Switchover};
use failover_core::machine::{EventKind, Reason};
use failover_core::state::Expect;
use failover_core::testkit::faults::{Fault, Faulty, Op};
use failover_core::time::{Clock, ManualClock};
use failover_core::{ErrorKind, Node, Role, RoleHooks, StateStore, record};

use crate::support::{STEP, node, pass, until};
use crate::world::{BEAT, LONG, TTL, World};

/// A host that prepares itself once it is let.
#[derive(Clone)]
struct Hesitant {
    clock: ManualClock,
    may: Arc<AtomicBool>,
}

impl Hesitant {
    fn new(world: &World) -> Self {
        Self { clock: world.clock.clone(), may: Arc::default() }
    }

    fn go(&self) {
        self.may.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl RoleHooks for Hesitant {
    async fn prepare(&self) {
        while !self.may.load(Ordering::Relaxed) {
            self.clock.sleep_until(self.clock.now() + STEP).await;
        }
    }
}

/// An active node and its standby.
async fn pair(world: &World) -> [Node; 2] {
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    [a, b]
}

async fn activate(world: &World, name: &str, former: Former, within: Duration) -> Result<Switchover, SwitchoverError> {
    until(&world.clock, LONG, world.admin.activate(&node(name), former, within, |_| {})).await
}

/// The last wish, as it is on record.
async fn wish(world: &World) -> Option<Switchover> {
    let document = world.store.get(&control::switchover_key()).await.unwrap()?;
    Some(record::decode("test", "wish", &document.value).unwrap())
}

#[tokio::test]
async fn while_another_holds_the_lease_it_is_refused_and_nothing_is_written() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    let right = a.active().unwrap();
    let held = activate(&world, "b", Former::Unknown, LONG).await.unwrap_err();
    let SwitchoverError::Held { holder, remaining } = held else { panic!("{held}") };
    assert!(holder == node("a") && remaining > Duration::ZERO && remaining <= TTL, "{remaining:?}");
    assert_eq!(wish(&world).await, None);
    let already = activate(&world, "a", Former::Off, LONG).await.unwrap_err().to_string();
    assert!(already.contains("that node is active already"), "{already}");
    let unknown = activate(&world, "nobody", Former::Off, LONG).await.unwrap_err().to_string();
    assert!(unknown.contains("node is `nobody`"), "{unknown}");
    assert_eq!(wish(&world).await, None);
    pass(&world.clock, TTL).await;
    assert!(right.is_valid() && b.active().is_none());
}

#[tokio::test]
async fn an_active_node_that_answers_refuses_it_whatever_is_said_of_its_machine() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    let right = a.active().unwrap();
    let refused = activate(&world, "b", Former::Off, LONG).await.unwrap_err();
    // Whoever of the two reads of it first: the active node, or the one that is to become it.
    let (SwitchoverError::Refused { reason } | SwitchoverError::Failed { reason }) = refused else {
        panic!("{refused}")
    };
    assert_eq!(reason, Reason::ActiveAnswers.text());
    pass(&world.clock, TTL * 2).await;
    assert!(right.is_valid() && b.active().is_none());
}

#[tokio::test]
async fn a_machine_that_renews_its_lease_is_not_off_and_the_wish_is_withdrawn() {
    let world = World::new();
    let (backend, faults) = Faulty::wrap_on(world.store.backend(), world.clock.clone());
    let a = world.node_on(backend, "a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let right = a.active().unwrap();
    // It renews, and reads nothing of what operators write.
    faults.every(Op::List, Fault::Refuse(ErrorKind::Unavailable));
    let renewed = activate(&world, "b", Former::Off, LONG).await.unwrap_err();
    assert!(matches!(&renewed, SwitchoverError::Renewed { holder } if *holder == node("a")), "{renewed}");
    let over = wish(&world).await.unwrap();
    assert_eq!((over.way, over.phase), (SwitchWay::Activation, SwitchPhase::Failed));
    assert!(over.reason.as_ref().is_some_and(|reason| reason.contains("was renewed")), "{over:?}");
    pass(&world.clock, TTL * 2).await;
    assert!(right.is_valid() && b.active().is_none());
    drop(a);
    world.role(&b, Role::Active).await;
}

#[tokio::test]
async fn one_that_is_withdrawn_before_the_lease_has_lapsed_makes_nobody_active() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    world.admin.pause_cluster(None).await.unwrap();
    pass(&world.clock, BEAT * 2).await;
    drop(a);
    let late = activate(&world, "b", Former::Off, BEAT).await.unwrap_err();
    assert!(matches!(late, SwitchoverError::TimedOut { phase: SwitchPhase::Checked }), "{late:?}");
    assert_eq!(wish(&world).await.unwrap().phase, SwitchPhase::Failed);
    pass(&world.clock, TTL * 3).await;
    assert!(b.active().is_none(), "nobody expects it any more");

    // The lease has lapsed, so nobody has to vouch for anything.
    let done = activate(&world, "b", Former::Unknown, LONG).await.unwrap();
    assert_eq!((done.phase, done.to), (SwitchPhase::Done, Some(node("b"))));
    assert!(b.active().is_some());
}

#[tokio::test]
async fn one_whose_target_has_taken_the_lease_goes_on_though_it_prepares_itself_for_longer_than_is_waited() {
    let world = World::new();
    let host = Hesitant::new(&world);
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Active).await;
    let c = world.node("c").hooks(host.clone()).start().unwrap();
    pass(&world.clock, BEAT * 2).await;
    world.admin.pause_cluster(None).await.unwrap();
    pass(&world.clock, BEAT * 2).await;
    drop(b);
    pass(&world.clock, TTL * 2).await;

    let late = activate(&world, "c", Former::Unknown, TTL).await.unwrap_err();
    let SwitchoverError::TimedOut { phase } = late else { panic!("{late}") };
    assert!(phase.is_under_way(), "{phase:?}");
    assert!(late.to_string().contains("it has begun and goes on"), "{late}");
    assert!(!wish(&world).await.unwrap().phase.is_over(), "it is not withdrawn under the hands of who carries it out");
    host.go();
    world.role(&c, Role::Active).await;
    pass(&world.clock, BEAT).await;
    assert_eq!(wish(&world).await.unwrap().phase, SwitchPhase::Done);
}

#[tokio::test]
async fn a_target_that_does_not_prepare_in_time_changes_nothing() {
    let world = World::new();
    let [a, _b] = pair(&world).await;
    let c = world.node("c").hooks(Hesitant::new(&world)).start().unwrap();
    pass(&world.clock, BEAT * 2).await;
    let (right, mut events) = (a.active().unwrap(), a.events());
    // By hand: who asks by `Admin` stops waiting at the same time.
    let mut asked = Switchover::new("by-hand", Some(node("c")), SwitchWay::Planned);
    asked.within = Some(BEAT * 2);
    let value = record::encode("test", &asked).unwrap();
    world.store.put(&control::switchover_key(), value.as_bytes(), Expect::Any, None).await.unwrap();
    world.event(&mut events, EventKind::SwitchoverPreparing).await;
    let begun = world.clock.now();
    let failed = world.event(&mut events, EventKind::SwitchoverFailed).await.event;
    assert_eq!(failed.reason, Reason::TargetNotPrepared);
    let waited = world.clock.now().since(begun);
    assert!(waited >= BEAT && waited < BEAT * 4, "{waited:?}");
    let over = wish(&world).await.unwrap();
    assert_eq!((over.phase, over.reason.as_deref()), (SwitchPhase::Failed, Some(Reason::TargetNotPrepared.text())));
    pass(&world.clock, TTL).await;
    assert!(right.is_valid() && c.active().is_none());
}

#[tokio::test]
async fn a_switchover_withdrawn_while_its_target_prepares_is_told_and_leads_nowhere_afterwards() {
    let world = World::new();
    let [a, b] = pair(&world).await;
    let host = Hesitant::new(&world);
    let c = world.node("c").hooks(host.clone()).start().unwrap();
    pass(&world.clock, BEAT * 2).await;
    let (right, mut events) = (a.active().unwrap(), a.events());
    let late = until(&world.clock, LONG, world.admin.switchover(Some(node("c")), BEAT * 2)).await.unwrap_err();
    match late {
        SwitchoverError::TimedOut { phase } => assert_eq!(phase, SwitchPhase::Preparing),
        // The active node may be the first to lose patience.
        SwitchoverError::Failed { reason } => assert_eq!(reason, Reason::TargetNotPrepared.text()),
        other => panic!("{other}"),
    }
    let failed = world.event(&mut events, EventKind::SwitchoverFailed).await.event;
    assert!(matches!(failed.reason, Reason::WishWithdrawn | Reason::TargetNotPrepared), "{failed:?}");
    assert_eq!(wish(&world).await.unwrap().phase, SwitchPhase::Failed);
    host.go();
    pass(&world.clock, TTL * 2).await;
    assert!(right.is_valid() && c.active().is_none(), "it is prepared now, and nobody asks for it");

    until(&world.clock, LONG, world.admin.switchover(Some(node("c")), LONG)).await.unwrap();
    assert!(c.active().is_some() && !right.is_valid() && b.active().is_none());
}
