//! Who is let in where, and that what was let in may finish.

use std::time::Duration;

use crate::support::{Mishap, STEP, pass, settle, until};
use crate::world::{BEAT, LONG, Story, TTL, World, Writer};
use failover_core::gate::Refused;
use failover_core::time::Clock;
use failover_core::{Backend, Gate, Node, Role};

const BOUND: Duration = Duration::from_secs(2);

/// A node behind a gate that tells what its hooks do.
fn gated(world: &World, backend: Backend, name: &'static str, bound: Duration, story: &Story) -> (Gate, Node) {
    let gate = Gate::new(bound);
    let node = world.node_on(backend, name).hooks(gate.before(Writer(name, story.clone()))).start().unwrap();
    (gate, node)
}

/// An active node, its standby, and their gates.
async fn pair(world: &World, bound: Duration, story: &Story) -> [(Gate, Node); 2] {
    let a = gated(world, world.store.backend(), "a", bound, story);
    world.role(&a.1, Role::Active).await;
    let b = gated(world, world.store.backend(), "b", bound, story);
    world.role(&b.1, Role::Standby).await;
    [a, b]
}

#[tokio::test]
async fn new_work_is_admitted_on_the_active_node_only() {
    let world = World::new();
    let [(gate_a, a), (gate_b, _b)] = pair(&world, BOUND, &Story::default()).await;
    assert!(gate_a.is_open() && !gate_b.is_open());
    let work = gate_a.admit().unwrap();
    assert_eq!(work.right().token(), a.active().unwrap().token());
    assert_eq!(gate_b.admit().unwrap_err(), Refused::Passive);
    assert_eq!((gate_a.inside(), gate_b.inside()), (1, 0), "who was refused is not inside");
}

#[tokio::test]
async fn a_planned_hand_over_waits_for_what_was_admitted_and_lets_nobody_in_meanwhile() {
    let (world, story) = (World::new(), Story::default());
    let [(gate_a, a), (gate_b, b)] = pair(&world, LONG, &story).await;
    let work = gate_a.admit().unwrap();
    a.leave();
    pass(&world.clock, TTL * 2).await;
    assert_eq!(gate_a.admit().unwrap_err(), Refused::Stopping);
    assert_eq!(gate_b.admit().unwrap_err(), Refused::Passive);
    assert!(work.right().is_valid(), "the work goes on under the right it began with");
    assert_eq!(b.role(), Role::Standby);

    drop(work);
    world.role(&b, Role::Active).await;
    assert!(gate_b.admit().is_ok());
    assert_eq!(gate_a.admit().unwrap_err(), Refused::Passive);
    assert_eq!(story.told(), ["a prepare", "a promote 1", "b prepare", "a demote", "b promote 2"]);
}

#[tokio::test]
async fn what_goes_on_beyond_the_bound_is_cut_off_and_the_hand_over_takes_place() {
    let world = World::new();
    let [(gate_a, a), (_gate_b, b)] = pair(&world, BOUND, &Story::default()).await;
    let endless = tokio::spawn(gate_a.admit().unwrap().run(std::future::pending::<()>()));
    pass(&world.clock, BOUND * 3).await;
    assert!(!endless.is_finished(), "nobody counts while the node is active");
    a.leave();
    pass(&world.clock, BOUND / 10 * 9).await;
    assert!(!endless.is_finished() && b.role() == Role::Standby, "the bound is not over yet");
    let overdue = until(&world.clock, BOUND / 5, endless).await.unwrap();
    assert_eq!(overdue.unwrap_err().bound, BOUND);
    until(&world.clock, BEAT, b.roles().wait_for(|role| *role == Role::Active)).await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_cut_off_shuts_before_another_opens_and_its_sessions_survive() {
    let (world, story) = (World::new(), Story::default());
    let (leases, backend) = world.unruly();
    let (gate_a, a) = gated(&world, backend, "a", LONG, &story);
    world.role(&a, Role::Active).await;
    let (gate_b, b) = gated(&world, world.store.backend(), "b", LONG, &story);
    world.role(&b, Role::Standby).await;
    let session = tokio::spawn(gate_a.admit().unwrap().run(std::future::pending::<()>()));
    leases.always(Some(Mishap::Hang));
    let end = world.clock.now() + LONG;
    while !gate_b.is_open() {
        assert!(world.clock.now() < end, "the other never opened");
        world.clock.advance(STEP);
        settle().await;
        assert!(!(gate_a.is_open() && gate_b.is_open()), "two gates are open");
    }
    assert!(!session.is_finished() && gate_a.inside() == 1, "what it had admitted goes on");
    let told = story.told();
    let place = |what: &str| told.iter().position(|told| told == what).unwrap_or_else(|| panic!("{what}: {told:?}"));
    assert!(place("a demote") < place("b promote 2"), "the host is not kept waiting for its sessions: {told:?}");
}

#[cfg(feature = "tower")]
mod layer {
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use failover_core::gate::Rejected;
    use tower_layer::Layer as _;
    use tower_service::Service;

    use super::*;

    /// Answers at once, or never.
    #[derive(Clone)]
    struct Logins;

    impl Service<&'static str> for Logins {
        type Response = String;
        type Error = Infallible;
        type Future = futures_util::future::BoxFuture<'static, Result<String, Infallible>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, who: &'static str) -> Self::Future {
            Box::pin(async move {
                if who == "nobody" {
                    std::future::pending::<()>().await;
                }
                Ok(format!("welcome, {who}"))
            })
        }
    }

    #[tokio::test]
    async fn a_service_behind_a_gate_is_reached_on_the_active_node_only() {
        let world = World::new();
        let [(gate_a, a), (gate_b, _b)] = pair(&world, BOUND, &Story::default()).await;
        let (mut here, mut there) = (gate_a.layer().layer(Logins), gate_b.layer().layer(Logins));
        assert_eq!(here.call("ann").await, Ok("welcome, ann".to_owned()));
        assert_eq!(there.call("ann").await, Err(Rejected::Refused(Refused::Passive)));
        let endless = tokio::spawn(here.call("nobody"));
        settle().await;
        assert_eq!(gate_a.inside(), 1);
        a.leave();
        let answer = until(&world.clock, BOUND + STEP * 2, endless).await.unwrap();
        assert!(matches!(answer, Err(Rejected::Overdue(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_is_inside_no_more() {
        let world = World::new();
        let [(gate, _a), _b] = pair(&world, BOUND, &Story::default()).await;
        let mut service = gate.layer().layer(Logins);
        let request = service.call("nobody");
        assert_eq!(gate.inside(), 1, "it counts from the call on");
        drop(request);
        assert_eq!(gate.inside(), 0);
    }
}
