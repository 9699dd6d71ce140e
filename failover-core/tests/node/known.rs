//! Failures that other systems of this kind really had, one test each.

use crate::support::{Mishap, STEP, node, pass, settle, until};
use crate::world::{BEAT, LONG, Story, TTL, World, Writer, obedient};
use failover_core::job::Phase;
use failover_core::machine::{EventKind, Finish, JobEnd, Switch};
use failover_core::time::Clock;
use failover_core::{JobRecord, JobRun, Role, Timing};

/// client-go#1187: "stopped leading" was told to one that never led.
#[tokio::test]
async fn a_host_that_was_never_promoted_is_never_demoted() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let story = Story::default();
    let (leases, backend) = world.unruly();
    let b = world.node_on(backend, "b").hooks(Writer("b", story.clone())).start().unwrap();
    world.role(&b, Role::Standby).await;
    // It loses its own lease, joins anew, and leaves: three ends, and nothing to give up at any of them.
    let mut events = b.events();
    leases.always(Some(Mishap::Hang));
    world.event(&mut events, EventKind::LeaseLost).await;
    leases.always(None);
    world.role(&b, Role::Standby).await;
    assert_eq!(until(&world.clock, LONG, b.shutdown()).await, Finish::Left);
    assert!(story.told().iter().all(|told| told == "b prepare"), "{:?}", story.told());
}

/// kuberhealthy#1533: the elector ran once and never again. Each round of a host's hooks is whole, and in order.
#[tokio::test]
async fn a_node_that_lost_its_role_is_promoted_again_and_its_hooks_come_in_pairs() {
    let world = World::new();
    let story = Story::default();
    let (leases, backend) = world.unruly();
    let a = world.node_on(backend, "a").hooks(Writer("a", story.clone())).start().unwrap();
    for _ in 0..3 {
        world.role(&a, Role::Active).await;
        leases.always(Some(Mishap::Hang));
        pass(&world.clock, TTL * 2).await;
        leases.always(None);
    }
    world.role(&a, Role::Active).await;
    let told = story.told();
    let hooks: Vec<&str> =
        told.iter().filter_map(|told| told.split(' ').nth(1)).filter(|it| *it != "prepare").collect();
    assert_eq!(hooks, ["promote", "demote", "promote", "demote", "promote", "demote", "promote"], "{told:?}");
    let mut terms: Vec<u64> = told.iter().filter_map(|told| told.split(' ').nth(2)?.parse().ok()).collect();
    let as_told = terms.clone();
    terms.sort_unstable();
    terms.dedup();
    assert_eq!(terms, as_told, "each time under a higher term");
}

/// client-go#1417: a release lost to a renewal that was under way, and the next holder waited for the whole lease.
#[tokio::test]
async fn a_node_that_leaves_while_a_renewal_hangs_hands_over_at_once() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let a = world.node_on(backend, "a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let renewals = leases.calls("renew");
    leases.once("renew", Mishap::LoseReply);
    leases.once("renew", Mishap::LoseReply);
    until(&world.clock, BEAT * 3, async {
        while leases.calls("renew") < renewals + 2 {
            settle().await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let asked = world.clock.now();
    a.leave();
    world.role(&b, Role::Active).await;
    let took = world.clock.now().since(asked);
    assert!(took < Timing::new(BEAT, TTL).unwrap().call(), "it took {took:?}");
}

/// openraft#2088: a failed transfer left nobody in charge.
#[tokio::test]
async fn a_switchover_whose_target_dies_leaves_the_old_active_in_charge() {
    let world = World::new();
    let a = world.node("a").jobs(obedient).start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").jobs(obedient).start().unwrap();
    world.role(&b, Role::Standby).await;
    world.submit("j", "x").await;
    world.job_until("j", |record| record.phase == Phase::Running).await;
    let first = a.active().unwrap();
    let mut events = a.events();
    let switch = tokio::spawn({
        let admin = world.admin.clone();
        async move { admin.switchover(Some(node("b")), LONG).await }
    });
    world.event(&mut events, EventKind::SwitchoverStarted).await;
    drop(b);
    // Its reservation lapses, and the others, the old active among them, are candidates again.
    let began = world.clock.now();
    until(&world.clock, TTL * 2, async {
        while a.active().is_none_or(|right| right.token().number == first.token().number) {
            settle().await;
        }
    })
    .await;
    let took = world.clock.now().since(began);
    assert!(took <= TTL + BEAT * 2, "it took {took:?}");
    world.job_until("j", |record| record.phase == Phase::Running && record.owner.as_ref() == Some(a.member())).await;
    let told = until(&world.clock, LONG * 2, switch).await.unwrap();
    assert!(told.is_err() || told.is_ok_and(|switch| switch.reason.is_some()), "nobody is told that it was done");
}

/// helix#2468: capacity was broken during a move, because jobs on their way were counted on one side only.
#[tokio::test]
async fn no_node_has_more_than_its_capacity_while_jobs_move() {
    let world = World::new();
    let start = |name| {
        let clock = world.clock.clone();
        let slow_to_stop = move |run: JobRun| {
            let clock = clock.clone();
            async move {
                run.stop().cancelled().await;
                clock.sleep_until(clock.now() + BEAT / 2).await;
                JobEnd::Stopped
            }
        };
        world.node(name).jobs(slow_to_stop).capacity(3).start().unwrap()
    };
    let a = start("a");
    world.role(&a, Role::Active).await;
    let (b, c) = (start("b"), start("c"));
    world.role(&b, Role::Standby).await;
    let jobs = ["j1", "j2", "j3", "j4", "j5", "j6"];
    for id in jobs {
        world.submit(id, "x").await;
    }
    let everyone_runs = |records: &[JobRecord]| records.iter().all(|record| record.phase == Phase::Running);
    // One node after the other is emptied; the two that are left have just the room for all.
    for vacated in [&b, &c, &b] {
        vacated.maintenance(Switch::On);
        let end = world.clock.now() + LONG;
        loop {
            pass(&world.clock, STEP).await;
            let records = world.admin.jobs().await.unwrap();
            for node in [&a, &b, &c] {
                let its = records.iter().filter(|record| record.owner.as_ref() == Some(node.member())).count();
                assert!(its <= 3, "{} has {its} jobs: {records:#?}", node.member());
            }
            let vacant = !records.iter().any(|record| record.owner.as_ref() == Some(vacated.member()));
            if vacant && everyone_runs(&records) {
                break;
            }
            assert!(world.clock.now() < end, "it is not vacant, or not all run: {records:#?}");
        }
        vacated.maintenance(Switch::Off);
        world.event(&mut vacated.events(), EventKind::RoleChanged).await;
    }
}
