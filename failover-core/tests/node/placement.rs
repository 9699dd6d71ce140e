//! Where jobs go, and what becomes of those that hang, on whole nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{node, pass};
use crate::world::{BEAT, World, job, obedient};
use failover_core::job::{JobPolicy, Outcome, Phase};
use failover_core::machine::{EventKind, JobEnd, Reason};
use failover_core::plan::{Candidate, Demand, Strategy};
use failover_core::{JobRun, JobSpec, Role};

const PROMISE: Duration = Duration::from_secs(3);

async fn submit(world: &World, id: &str, set: impl FnOnce(&mut JobPolicy)) {
    let mut policy = JobPolicy::default();
    set(&mut policy);
    world.admin.submit(&JobSpec::new(job(id), id).unwrap().with_policy(policy).unwrap()).await.unwrap();
}

/// Tells progress for as long as it is said to be well, and pays no heed to anything afterwards.
async fn moody(run: JobRun, well: Arc<AtomicBool>, clock: failover_core::time::ManualClock) -> JobEnd {
    use failover_core::time::Clock as _;
    let mut step = 0;
    while well.load(Ordering::SeqCst) {
        step += 1;
        let told = run.stop();
        run.progress(format!("step {step}"));
        tokio::select! {
            () = told.cancelled() => return JobEnd::Stopped,
            () = clock.sleep_until(clock.now() + BEAT) => {}
        }
    }
    std::future::pending().await
}

/// RedLock.net#68: a hung holder renewed for ever. Here the node goes on renewing, for its other jobs; the hung one moves.
#[tokio::test]
async fn a_hung_job_is_cut_off_and_moved_while_its_node_lives() {
    let world = World::new();
    let (well, clock) = (Arc::new(AtomicBool::new(true)), world.clock.clone());
    let flag = well.clone();
    let a = world.node("a").jobs(move |run| moody(run, flag.clone(), clock.clone())).start().unwrap();
    world.role(&a, Role::Active).await;
    submit(&world, "j", |policy| policy.progress = Some(PROMISE)).await;
    world.job_until("j", |record| record.detail == "step 9").await;
    let b = world.node("b").jobs(obedient).start().unwrap();
    world.role(&b, Role::Standby).await;

    let mut events = a.events();
    well.store(false, Ordering::SeqCst);
    let stuck = world.event(&mut events, EventKind::JobStuck).await;
    assert_eq!(stuck.event.reason, Reason::WillNotStop, "it was told to stop first, and then cut off");
    let moved = world.job_until("j", |r| r.phase == Phase::Running && r.owner.as_ref() == Some(b.member())).await;
    assert_eq!(moved.failures, 1);
    let first = &moved.runs[0];
    let end = first.end.as_ref().unwrap();
    assert_eq!((&first.member, end.outcome), (a.member(), Outcome::Failed));
    assert_eq!(end.detail, Reason::NoProgress.text());
    assert_eq!(a.role(), Role::Active, "its node has lost nothing");
}

/// Orders nodes by a label of theirs, the cheapest first.
#[derive(Debug)]
struct Cheapest;

impl Strategy for Cheapest {
    fn name(&self) -> &'static str {
        "cheapest"
    }

    fn score(&self, _job: &Demand<'_>, node: &Candidate<'_>) -> i64 {
        node.labels.get("price").and_then(|price| price.parse().ok()).unwrap_or(i64::MAX)
    }
}

#[tokio::test]
async fn a_host_brings_its_own_strategy_and_the_settings_choose_it_live() {
    let world = World::new();
    let start =
        |name, price: &str| world.node(name).jobs(obedient).strategy(Cheapest).label("price", price).start().unwrap();
    let a = start("a", "9");
    world.role(&a, Role::Active).await;
    let _b = start("b", "5");
    let _c = start("c", "7");
    pass(&world.clock, BEAT * 2).await;
    let at = async |id: &str| {
        submit(&world, id, |_| {}).await;
        let record = world.job_until(id, |record| record.phase == Phase::Running).await;
        record.owner.unwrap().node.to_string()
    };
    assert_eq!(at("first").await, "a", "in the order of the nodes");
    choose(&world, "cheapest").await;
    assert_eq!(at("second").await, "b");
    choose(&world, "spread").await;
    assert_eq!(at("third").await, "c", "the only one that is idle");

    let mut events = a.events();
    choose(&world, "nobody").await;
    let refused = world.event(&mut events, EventKind::SettingsRefused).await;
    assert_eq!(refused.event.detail.as_deref(), Some("nobody"));
    assert_eq!(at("fourth").await, "a", "the last good one stays in force: all have one job, so the first in order");
}

async fn choose(world: &World, strategy: &str) {
    let chosen = strategy.to_owned();
    let mut settings = world.admin.settings().await.unwrap();
    settings.strategy.0 = chosen;
    world.admin.configure(settings).await.unwrap();
    pass(&world.clock, BEAT).await;
}

#[tokio::test]
async fn a_job_starts_on_the_highest_ranking_node_as_slots_free() {
    let world = World::new();
    let start = |name| world.node(name).jobs(obedient).capacity(1).roster([node("b"), node("a")]).start().unwrap();
    let a = start("a");
    world.role(&a, Role::Active).await;
    let b = start("b");
    world.role(&b, Role::Standby).await;
    for id in ["one", "two", "three", "four"] {
        submit(&world, id, |policy| policy.priority = i32::from(id == "four")).await;
        pass(&world.clock, BEAT).await;
    }
    let owner = async |id: &str| world.job(id).await.owner.map(|owner| owner.node.to_string());
    assert_eq!((owner("one").await.as_deref(), owner("two").await.as_deref()), (Some("b"), Some("a")));
    assert_eq!((owner("three").await, owner("four").await), (None, None), "all are full, so they wait");
    world.admin.remove(&job("one")).await.unwrap();
    let four = world.job_until("four", |record| record.owner.is_some()).await;
    assert_eq!(four.owner.unwrap().node, node("b"), "the more urgent one first, on the node that ranks first");
    assert_eq!(owner("three").await, None);
    // More room, while everything runs: nothing is restarted.
    let mut settings = world.admin.settings().await.unwrap();
    settings.capacity.insert(node("a"), failover_core::Capacity::of(2).unwrap());
    world.admin.configure(settings).await.unwrap();
    let three = world.job_until("three", |record| record.owner.is_some()).await;
    assert_eq!(three.owner.unwrap().node, node("a"));
    assert_eq!(world.job("two").await.epoch.0, 1);
}
