//! Fencers of a host: what is taken over when they confirm, and what is not when they do not.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::incident::Deed;
use failover_core::machine::{EventKind, Reason};
use failover_core::time::Clock;
use failover_core::{Member, Node, NodeBuilder, Role, Timing};

use crate::support::{node, pass, until};
use crate::world::{BEAT, LONG, TTL, World, obedient};

/// Others are missed three beats before their leases lapse.
fn watchful(builder: NodeBuilder) -> NodeBuilder {
    let timing = Timing::builder(BEAT, TTL).missing(BEAT * 2).build().unwrap();
    builder.timing(timing).roster(["a", "b"].map(node)).jobs(obedient)
}

/// `a` is active and runs the job; `b` is standby and has this fencer.
async fn pair(world: &World, b: NodeBuilder) -> (Node, Node) {
    let a = watchful(world.node("a")).start().unwrap();
    world.role(&a, Role::Active).await;
    world.submit("j", "work").await;
    let b = watchful(b).start().unwrap();
    world.role(&b, Role::Standby).await;
    world.job_until("j", |job| job.owner.as_ref().is_some_and(|owner| owner.node == node("a"))).await;
    pass(&world.clock, BEAT * 2).await;
    (a, b)
}

#[tokio::test]
async fn a_node_whose_machine_is_off_is_replaced_long_before_its_leases_lapse() {
    let world = World::new();
    let asked: Arc<Mutex<Vec<Member>>> = Arc::default();
    let fencer = {
        let (asked, clock) = (asked.clone(), world.clock.clone());
        move |target: Member| {
            asked.lock().unwrap().push(target);
            let (clock, at) = (clock.clone(), clock.now() + Duration::from_millis(100));
            async move {
                clock.sleep_until(at).await;
                Ok("outlet 7 is off".to_owned())
            }
        }
    };
    let (a, b) = pair(&world, world.node("b").node_fencer(fencer)).await;
    let (mut events, lost, from) = (b.events(), a.member().clone(), world.clock.now());
    drop(a);
    let confirmed = world.event(&mut events, EventKind::FencingConfirmed).await.event;
    assert_eq!((confirmed.node, confirmed.detail.as_deref()), (node("a"), Some("outlet 7 is off")));
    world.role(&b, Role::Active).await;
    let job = world.job_until("j", |job| job.owner.as_ref().is_some_and(|owner| owner.node == node("b"))).await;
    let took = world.clock.now().since(from);
    assert!(took < BEAT * 7 / 2, "it took {took:?}");
    assert_eq!(*asked.lock().unwrap(), [lost], "once, and about that incarnation; {job:?}");

    // What is told of it afterwards: by the incident, and by both entries of the history.
    let told = world.event(&mut events, EventKind::NodeFenced).await.event;
    assert_eq!(told.reason, Reason::MachineOff);
    pass(&world.clock, LONG * 2).await;
    let history = world.admin.history(100).await.unwrap();
    let why = |deed| history.iter().find(|entry| entry.deed == deed).map(|entry| entry.why.clone());
    assert_eq!(why(Deed::Incident), Some(Reason::MachineOff.to_string()), "{history:#?}");
    assert_eq!(why(Deed::Takeover), Some(Reason::HolderOff.to_string()), "{history:#?}");
}

#[tokio::test]
async fn a_fencer_that_refuses_or_panics_breaks_nothing_early() {
    let world = World::new();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let fencer = move |_target: Member| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Err("no such outlet".to_owned()) } else { panic!("oh no") } }
    };
    let (a, b) = pair(&world, world.node("b").node_fencer(fencer)).await;
    let mut events = b.events();
    let until_lapse = a.active().unwrap().ends_at();
    drop(a);
    let refused = world.event(&mut events, EventKind::FencingRefused).await.event;
    assert_eq!((refused.reason, refused.detail.as_deref()), (Reason::NotSwitchedOff, Some("no such outlet")));
    let refused = world.event(&mut events, EventKind::FencingRefused).await.event;
    assert_eq!(refused.detail.as_deref(), Some("panicked: oh no"));
    world.role(&b, Role::Active).await;
    assert!(world.clock.now() > until_lapse, "before the right of the lost node was over");
    let told = world.event(&mut events, EventKind::NodeFenced).await.event;
    assert_eq!(told.reason, Reason::LapsedUnfenced);
}

#[tokio::test]
async fn a_fencer_that_never_answers_is_dropped_when_the_leases_lapse() {
    struct Dropped(Arc<AtomicU32>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let world = World::new();
    let dropped = Arc::new(AtomicU32::new(0));
    let count = dropped.clone();
    let fencer = move |_target: Member| {
        let guard = Dropped(count.clone());
        async move {
            let _guard = guard;
            std::future::pending::<Result<String, String>>().await
        }
    };
    let (a, b) = pair(&world, world.node("b").node_fencer(fencer)).await;
    let mut events = b.events();
    let until_lapse = a.active().unwrap().ends_at();
    drop(a);
    world.event(&mut events, EventKind::FencingAsked).await;
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    world.role(&b, Role::Active).await;
    assert!(world.clock.now() > until_lapse, "before the right of the lost node was over");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_node_whose_heartbeats_stop_while_it_renews_its_leases_is_left_on() {
    let world = World::new();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let fencer = move |_target: Member| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(String::new()) }
    };
    // The heartbeats of `a` go to a store of their own, so nobody sees any.
    let mut backend = world.store.backend();
    let hearts = crate::world::Mute::new(backend.heartbeats.clone());
    backend.heartbeats = hearts.clone();
    let a = watchful(world.node_on(backend, "a")).start().unwrap();
    world.role(&a, Role::Active).await;
    let b = watchful(world.node("b").node_fencer(fencer)).start().unwrap();
    world.role(&b, Role::Standby).await;
    let mut events = b.events();
    hearts.mute();
    world.event(&mut events, EventKind::NodeMissing).await;
    pass(&world.clock, LONG).await;
    assert_eq!((asked.load(Ordering::SeqCst), a.role()), (0, Role::Active));
    assert!(until(&world.clock, LONG, async { a.active().is_some() }).await);
}

#[tokio::test]
async fn a_fencer_without_the_time_for_it_is_refused() {
    let world = World::new();
    let fencer = |_target: Member| async { Ok(String::new()) };
    let refused = world.node("a").node_fencer(fencer).start().unwrap_err().to_string();
    assert!(refused.starts_with("missing is `5s`: with a fencer it must be shorter than the ttl"), "{refused}");
}
