//! Who is active, and how that moves.

use std::sync::Arc;

use crate::support::{node, pass, settle, until};
use crate::world::{BEAT, LONG, Story, TTL, World, Writer, end_of, obedient};
use failover_core::job::Phase;
use failover_core::machine::{EventKind, Finish, Reason, Stage};
use failover_core::time::Clock;
use failover_core::{JobRecord, JobRun, Role};

#[tokio::test]
async fn a_node_alone_becomes_active_and_tells_so_in_order() {
    let world = World::new();
    let story = Story::default();
    let a = world.node("a").hooks(Writer("a", story.clone())).start().unwrap();
    assert_eq!((a.role(), a.stage()), (Role::Inactive, Stage::Joining));
    assert!(a.active().is_none());
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    let right = a.active().expect("it is active");
    assert!(right.is_valid() && right.token().number == 1 && right.lease().holder == *a.member());
    assert_eq!(story.told(), ["a prepare", "a promote 1"]);

    let joined = events.next().await.unwrap();
    assert_eq!((joined.event.kind, joined.by.clone()), (EventKind::NodeJoined, node("a")));
    let active = world.event(&mut events, EventKind::RoleChanged).await;
    assert_eq!((active.event.role, active.event.reason), (Some(Role::Active), Reason::Promoted));
    pass(&world.clock, TTL * 4).await;
    assert!(right.is_valid() && a.active().is_some(), "it renews its lease");
}

#[tokio::test]
async fn of_two_nodes_one_is_active_and_one_standby_and_prepared() {
    let world = World::new();
    let story = Story::default();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").hooks(Writer("b", story.clone())).label("zone", "north").start().unwrap();
    world.role(&b, Role::Standby).await;
    assert_eq!(story.told(), ["b prepare"]);
    pass(&world.clock, BEAT * 2).await;
    let status = world.admin.status(TTL).await.unwrap();
    assert_eq!(status.active.map(|(node, _)| node), Some(node("a")));
    assert_eq!(status.standby, Some(node("b")));
    let seen: Vec<_> = status.nodes.iter().map(|n| (n.node.as_str(), n.meant, n.alive, n.capacity.jobs)).collect();
    assert_eq!(
        seen,
        [("a", Role::Active, true, 0), ("b", Role::Standby, true, 0)],
        "without a handler it takes no jobs"
    );
    assert_eq!(status.nodes[1].labels["zone"], "north");
}

#[tokio::test]
async fn when_the_active_vanishes_the_standby_takes_over_after_its_right_has_ended_and_its_jobs_move() {
    let world = World::new();
    let a = world.node("a").jobs(obedient).start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").jobs(obedient).start().unwrap();
    world.role(&b, Role::Standby).await;
    for id in ["j1", "j2", "j3"] {
        world.submit(id, "x").await;
    }
    let mut before = Vec::new();
    for id in ["j1", "j2", "j3"] {
        before.push(world.job_until(id, |record| record.phase == Phase::Running).await);
    }
    assert!(before.iter().all(|record| record.owner.as_ref() == Some(a.member())));

    let right = a.active().unwrap();
    drop(a);
    settle().await;
    assert!(right.stopping().is_cancelled() && right.is_valid(), "as in a crash, its right ends by time");
    let (ended, began) = tokio::join!(end_of(&world.clock, &right), async {
        world.role(&b, Role::Active).await;
        world.clock.now()
    });
    assert!(ended <= began, "two were active for {:?}", ended.since(began));
    assert!(b.active().unwrap().token().number > right.token().number);
    for record in before {
        let moved = |now: &JobRecord| now.phase == Phase::Running && now.owner.as_ref() == Some(b.member());
        let now = world.job_until(record.spec.id().as_str(), moved).await;
        assert!(now.epoch > record.epoch);
    }
}

#[tokio::test]
async fn a_switchover_moves_the_role_without_a_moment_of_two() {
    let world = World::new();
    let story = Story::default();
    let a = world.node("a").hooks(Writer("a", story.clone())).start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").hooks(Writer("b", story.clone())).start().unwrap();
    world.role(&b, Role::Standby).await;
    let right = a.active().unwrap();

    let done = until(&world.clock, LONG, world.admin.switchover(Some(node("b")), LONG)).await.unwrap();
    assert_eq!((done.to, done.from), (Some(node("b")), Some(node("a"))));
    assert!(!right.is_valid() && a.active().is_none() && b.active().is_some());
    assert_eq!(story.told(), ["a prepare", "a promote 1", "b prepare", "a demote", "b promote 2"]);
    world.role(&a, Role::Standby).await;
    // Whoever is not active may ask as well.
    until(&world.clock, LONG, a.switchover(None, LONG)).await.unwrap();
    assert!(a.active().is_some() && b.active().is_none());
    until(&world.clock, LONG, a.switchover(Some(node("b")), LONG)).await.unwrap();

    let unknown = until(&world.clock, LONG, world.admin.switchover(Some(node("nobody")), LONG)).await.unwrap_err();
    assert!(unknown.to_string().contains(Reason::TargetUnknown.text()), "{unknown}");
    assert!(b.active().is_some());
}

#[tokio::test]
async fn leaving_hands_over_at_once_and_leaves_nothing_behind() {
    let world = World::new();
    let alive = Arc::new(());
    let held = alive.clone();
    let handler = move |run: JobRun| {
        let held = held.clone();
        async move {
            let end = obedient(run).await;
            drop(held);
            end
        }
    };
    let a = world.node("a").jobs(handler).start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    world.submit("j", "x").await;
    world.job_until("j", |record| record.phase == Phase::Running).await;
    let b = world.node("b").jobs(obedient).start().unwrap();
    world.role(&b, Role::Standby).await;

    let asked = world.clock.now();
    assert_eq!(until(&world.clock, LONG, a.shutdown()).await, Finish::Left);
    assert_eq!(Arc::strong_count(&alive), 1, "something of it still runs");
    world.role(&b, Role::Active).await;
    assert!(world.clock.now().since(asked) < BEAT, "it took {:?}", world.clock.now().since(asked));
    world.job_until("j", |record| record.owner.as_ref() == Some(b.member()) && record.phase == Phase::Running).await;

    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event.event.kind);
    }
    assert_eq!(last, Some(EventKind::NodeLeft));
    assert_eq!(a.shutdown().await, Finish::Left, "asking again is harmless");
}
