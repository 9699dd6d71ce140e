//! What goes wrong, and what must not come of it.

use std::sync::{Arc, Mutex};

use crate::support::{Mishap, node, pass, settle, until};
use crate::world::{BEAT, LONG, Story, TTL, World, Writer, end_of, job, obedient};
use async_trait::async_trait;
use failover_core::job::Phase;
use failover_core::lease::{Acquired, Renewed};
use failover_core::machine::{EventKind, Finish, JobEnd, Reason};
use failover_core::memory::MemoryStore;
use failover_core::time::{Clock, ManualClock, Time};
use failover_core::{
    Backend, Incarnation, JobAssigner, JobRun, Lease, LeaseManager, LeaseName, Member, Right, Role, RoleHooks, Term,
};

#[tokio::test]
async fn one_hung_renewal_costs_nothing() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let a = world.node_on(backend, "a").start().unwrap();
    world.role(&a, Role::Active).await;
    let right = a.active().unwrap();
    let mut roles = a.roles();
    roles.mark_unchanged();
    for mishap in [Mishap::Hang, Mishap::LoseReply] {
        // One of the node's own lease, one of the active lease.
        leases.once("renew", mishap);
        leases.once("renew", mishap);
        pass(&world.clock, BEAT * 4).await;
        assert!(right.is_valid() && !right.stopping().is_cancelled(), "{mishap:?}");
    }
    assert!(!roles.has_changed().unwrap());
}

#[tokio::test]
async fn a_lost_acquire_reply_is_asked_again_and_gives_the_same_term() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    leases.once("acquire", Mishap::LoseReply);
    leases.once("acquire", Mishap::LoseReply);
    let a = world.node_on(backend, "a").start().unwrap();
    let joined = world.event(&mut a.events(), EventKind::NodeJoined).await;
    assert_eq!(joined.event.term.map(|term| term.0), Some(1));
    world.role(&a, Role::Active).await;
    assert_eq!(a.active().unwrap().token().number, 1);
}

#[tokio::test]
async fn a_paused_node_has_no_right_before_anybody_tells_it_and_comes_back_under_a_higher_term() {
    let world = World::new();
    let a = world.node("a").jobs(obedient).start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    let right = a.active().unwrap();
    // Nothing of the node runs in between: no task had a turn.
    world.clock.advance(TTL * 2);
    assert!(!right.is_valid() && a.active().is_none());
    let lost = world.event(&mut events, EventKind::LeaseLost).await.event;
    assert_eq!((lost.term.map(|term| term.0), right.stopping().is_cancelled()), (Some(1), true));
    world.event(&mut events, EventKind::NodeJoined).await;
    world.event(&mut events, EventKind::RoleChanged).await;
    world.role(&a, Role::Active).await;
    assert!(a.active().unwrap().token().number > right.token().number);
}

/// Tells when it is dropped.
struct Dropped(ManualClock, Arc<Mutex<Option<Time>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        *self.1.lock().unwrap() = Some(self.0.now());
    }
}

#[tokio::test]
async fn a_job_that_ignores_its_token_is_cut_off_when_the_right_is_over_and_nothing_is_released_before() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let (clock, dropped) = (world.clock.clone(), Arc::<Mutex<Option<Time>>>::default());
    let runs = Arc::<Mutex<Vec<JobRun>>>::default();
    let handler = {
        let (dropped, runs) = (dropped.clone(), runs.clone());
        move |run: JobRun| {
            let guard = Dropped(clock.clone(), dropped.clone());
            runs.lock().unwrap().push(run);
            async move {
                let _guard = guard;
                std::future::pending::<JobEnd>().await
            }
        }
    };
    let a = world.node_on(backend, "a").jobs(handler).start().unwrap();
    world.role(&a, Role::Active).await;
    world.submit("j", "x").await;
    world.job_until("j", |record| record.phase == Phase::Running).await;
    leases.always(Some(Mishap::Hang));

    let run = runs.lock().unwrap()[0].clone();
    assert_eq!((run.token().to_string().as_str(), run.stop_reason()), ("job/j#1", None));
    until(&world.clock, TTL, run.stop().cancelled()).await;
    assert!(run.right().is_valid() && run.stop_reason() == Some(Reason::NodeLeaseEnding));
    assert!(dropped.lock().unwrap().is_none());
    let ended = until(&world.clock, TTL, end_of(&world.clock, run.right())).await;
    settle().await;
    let dropped = dropped.lock().unwrap().expect("it was cut off");
    assert!(dropped >= run.right().ends_at() && dropped.since(ended) <= crate::support::STEP);
    let own = run.right().lease().name.as_str();
    assert_eq!(leases.calls_of("release", own), 0);
}

#[tokio::test]
async fn a_job_can_tell_its_progress_complete_fail_and_panic() {
    let world = World::new();
    let handler = |run: JobRun| async move {
        run.progress(format!("working on {}", run.spec().payload()));
        match run.spec().payload() {
            "complete" => JobEnd::Completed,
            "fail" => JobEnd::Failed("no luck".into()),
            "panic" => panic!("out of luck"),
            _ => obedient(run).await,
        }
    };
    let a = world.node("a").jobs(handler).start().unwrap();
    let mut events = a.events();
    for what in ["complete", "fail", "panic", "stay"] {
        world.submit(what, what).await;
    }
    world.job_until("stay", |record| record.detail == "working on stay").await;
    world.job_until("complete", |record| record.phase == Phase::Completed).await;
    world.job_until("fail", |record| record.failures > 0 && record.detail.contains("no luck")).await;
    world.job_until("panic", |record| record.failures > 0 && record.detail == "panicked: out of luck").await;
    let failed = world.event(&mut events, EventKind::JobFailed).await.event;
    assert!(failed.detail.is_some() && failed.reason == Reason::HostFailed);
    assert_eq!(a.role(), Role::Active, "the node goes on");

    world.admin.remove(&job("stay")).await.unwrap();
    let stopped = world.event(&mut events, EventKind::JobStopped).await.event;
    assert_eq!((stopped.job, stopped.reason), (Some(job("stay")), Reason::Retiring));
}

#[tokio::test]
async fn a_second_process_of_the_same_name_is_refused() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let twin = world.node("a").start().unwrap();
    assert_eq!(until(&world.clock, LONG, twin.finished()).await, Finish::NameTaken);
    assert!(a.active().is_some());
}

#[tokio::test]
async fn a_lease_of_a_former_self_that_a_restarted_store_lets_begin_again_is_waited_for() {
    let world = World::new();
    let former = Member::new(node("a"), Incarnation::fresh());
    let acquired = world.store.acquire(&LeaseName::node(&node("a")), &former, TTL).await.unwrap();
    let Acquired::Granted(lease) = acquired else { panic!("{acquired:?}") };
    let a = world.node("a").start().unwrap();
    pass(&world.clock, TTL / 2).await;
    assert_eq!(world.store.renew(&lease).await.unwrap(), Renewed::Extended);
    world.role(&a, Role::Active).await;
}

#[tokio::test]
async fn a_node_whose_store_is_replaced_stops_for_good() {
    let world = World::new();
    let a = world.node("a").jobs(obedient).start().unwrap();
    world.role(&a, Role::Active).await;
    let right = a.active().unwrap();
    world.store.wipe();
    assert_eq!(until(&world.clock, TTL, a.finished()).await, Finish::StoreChanged);
    assert!(!right.is_valid() && right.stopping().is_cancelled());
}

/// Hooks that never return by themselves.
struct Stuck(Story);

#[async_trait]
impl RoleHooks for Stuck {
    async fn promote(&self, right: Right) {
        self.0.tell("promote".into());
        let story = self.0.clone();
        let _guard = Told(story, "promote dropped");
        right.stopping().cancelled().await;
        self.0.tell("promote told to stop".into());
        std::future::pending::<()>().await;
    }

    async fn demote(&self) {
        self.0.tell("demote".into());
        std::future::pending::<()>().await;
    }
}

struct Told(Story, &'static str);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.tell(self.1.into());
    }
}

#[tokio::test]
async fn stuck_hooks_and_a_hung_store_do_not_keep_a_node_from_leaving() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    let story = Story::default();
    let a = world.node_on(backend, "a").hooks(Stuck(story.clone())).jobs(obedient).start().unwrap();
    until(&world.clock, LONG, async {
        while story.told().is_empty() {
            world.clock.sleep_until(world.clock.now() + crate::support::STEP).await;
        }
    })
    .await;
    leases.always(Some(Mishap::Hang));
    a.leave();
    settle().await;
    assert_eq!(story.told(), ["promote", "promote told to stop"], "at once, whatever the store does");
    assert_eq!(until(&world.clock, TTL * 3, a.finished()).await, Finish::Left);
    assert_eq!(story.told(), ["promote", "promote told to stop", "promote dropped", "demote"]);
}

#[tokio::test]
async fn a_fence_above_what_the_lease_store_grants_is_told_and_makes_no_storm_and_ends_with_a_higher_floor() {
    let world = World::new();
    // The jobs' store has seen a high term; the leases' store was replaced by one that begins anew.
    let jobs = MemoryStore::with_clock(world.clock.clone());
    let earlier = Member::new(node("z"), Incarnation::from_u128(1));
    let seen = Lease { name: LeaseName::active(), holder: earlier, term: Term(1_000), ttl: TTL };
    jobs.assign(&seen, &[]).await.unwrap();
    let (leases, backend) = world.unruly();
    let backend = Backend::mixed(backend.heartbeats, leases.clone(), Arc::new(jobs), backend.state);
    let told = Story::default();
    let a = world.node_on(backend, "a").hooks(Writer("a", told.clone())).start().unwrap();
    let event = world.event(&mut a.events(), EventKind::TakeoverWithheld).await.event;
    assert_eq!(event.reason, Reason::FenceAbove);
    assert_eq!(event.detail.as_deref(), Some("the fence is #1000"));
    let before = leases.calls_of("acquire", "active");
    pass(&world.clock, TTL * 12).await;
    let asked = leases.calls_of("acquire", "active") - before;
    assert!((3..=8).contains(&asked), "asked {asked} times in a minute");
    // Once it knows, it does not trouble its host with terms that are worth nothing.
    assert_eq!(told.told(), ["a prepare", "a promote 1", "a demote"]);
    leases.raise_floor(Term(1_000)).await.unwrap();
    world.role(&a, Role::Active).await;
    assert_eq!(a.active().unwrap().token().number, 1_001);
}
