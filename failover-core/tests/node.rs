//! Nodes on the reference backend, on a clock that is moved by hand: every moment here is exact.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::detect::Detector;
use failover_core::job::Phase;
use failover_core::machine::{EventKind, Finish, JobEnd, Reason, Stage, Switch};
use failover_core::memory::MemoryStore;
use failover_core::time::{Clock, ManualClock, Time};
use failover_core::{
    Admin, Backend, Events, JobId, JobRecord, JobRun, JobSpec, LeaseManager, Node, NodeBuilder, Right, Role, RoleHooks,
    StampedEvent, Timing,
};
use support::{Mishap, Unruly, node, pass, settle, until};

const TTL: Duration = Duration::from_secs(5);
const BEAT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_mins(1);

struct World {
    clock: ManualClock,
    store: MemoryStore,
    admin: Admin,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let store = MemoryStore::with_clock(clock.clone());
        let admin = Admin::new(store.backend()).with_clock(Arc::new(clock.clone()));
        Self { clock, store, admin }
    }

    fn node(&self, name: &str) -> NodeBuilder {
        self.node_on(self.store.backend(), name)
    }

    fn node_on(&self, backend: Backend, name: &str) -> NodeBuilder {
        let timing = Timing::new(BEAT, TTL).unwrap();
        Node::builder(backend, node(name)).timing(timing).clock(Arc::new(self.clock.clone()))
    }

    /// A backend whose leases can be made to misbehave.
    fn unruly(&self) -> (Arc<Unruly>, Backend) {
        let mut backend = self.store.backend();
        let leases = Unruly::new(backend.leases.clone());
        backend.leases = leases.clone();
        (leases, backend)
    }

    async fn role(&self, node: &Node, role: Role) {
        let mut roles = node.roles();
        until(&self.clock, LONG, roles.wait_for(|now| *now == role)).await.unwrap();
    }

    async fn event(&self, events: &mut Events, kind: EventKind) -> StampedEvent {
        until(&self.clock, LONG, async {
            loop {
                let event = events.next().await.expect("the node ended before that");
                if event.event.kind == kind {
                    return event;
                }
            }
        })
        .await
    }

    async fn submit(&self, id: &str, payload: &str) {
        self.admin.submit(&JobSpec::new(job(id), payload).unwrap()).await.unwrap();
    }

    async fn job(&self, id: &str) -> JobRecord {
        self.admin.jobs().await.unwrap().into_iter().find(|record| *record.spec.id() == job(id)).unwrap()
    }

    /// Waits until the store says this of the job.
    async fn job_until(&self, id: &str, is: impl Fn(&JobRecord) -> bool) -> JobRecord {
        until(&self.clock, LONG, async {
            loop {
                let record = self.job(id).await;
                if is(&record) {
                    return record;
                }
                self.clock.sleep_until(self.clock.now() + support::STEP).await;
            }
        })
        .await
    }
}

fn job(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

/// Runs until it is told to stop.
async fn obedient(run: JobRun) -> JobEnd {
    run.stop().cancelled().await;
    JobEnd::Stopped
}

/// Waits for the end of a right and tells when it was.
async fn end_of(clock: &ManualClock, right: &Right) -> Time {
    while right.is_valid() {
        clock.sleep_until(right.ends_at()).await;
    }
    clock.now()
}

/// What the hooks of all nodes did, in order.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    fn tell(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Hooks that write down what they are asked.
struct Writer(&'static str, Story);

#[async_trait]
impl RoleHooks for Writer {
    async fn prepare(&self) {
        self.1.tell(format!("{} prepare", self.0));
    }

    async fn promote(&self, right: Right) {
        assert!(right.is_valid());
        self.1.tell(format!("{} promote {}", self.0, right.token().number));
    }

    async fn demote(&self) {
        self.1.tell(format!("{} demote", self.0));
    }
}

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
    let seen: Vec<_> = status.nodes.iter().map(|n| (n.node.as_str(), n.role, n.alive, n.capacity)).collect();
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
    assert!(dropped >= run.right().ends_at() && dropped.since(ended) <= support::STEP);
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
            world.clock.sleep_until(world.clock.now() + support::STEP).await;
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
async fn a_node_in_maintenance_gives_its_role_away_and_comes_back() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    a.maintenance(Switch::On);
    world.role(&a, Role::Maintenance).await;
    world.role(&b, Role::Active).await;
    a.maintenance(Switch::Off);
    world.role(&a, Role::Standby).await;
}

#[tokio::test]
async fn a_handle_that_a_host_keeps_keeps_the_node_and_the_last_one_ends_it() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    let mut events = a.events();
    let clone = a.clone();
    drop(a);
    world.role(&clone, Role::Active).await;
    drop(clone);
    let last = until(&world.clock, BEAT, async {
        let mut last = None;
        while let Some(event) = events.next().await {
            last = Some(event.event.kind);
        }
        last
    })
    .await;
    assert_eq!(last, Some(EventKind::RoleChanged), "it did not leave: it stopped");
    let current = world.store.current(&failover_core::LeaseName::active()).await.unwrap();
    assert!(matches!(current.tenant, failover_core::lease::Tenant::Held { .. }), "nothing is released (law 8)");
}

#[test]
fn what_cannot_be_started_says_why() {
    let builder = || Node::builder(MemoryStore::new().backend(), node("a"));
    assert_eq!(builder().start().unwrap_err().field, "runtime");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let twice = builder().roster([node("a"), node("b"), node("a")]).start().unwrap_err();
    assert_eq!((twice.field.as_str(), twice.value.as_str()), ("roster", "a"));
    for threshold in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        let odd = builder().detector(Detector::PhiAccrual { threshold }).start().unwrap_err();
        assert_eq!(odd.field, "detector threshold");
    }
}

/// The same on the machine's own clock and several threads: what a host gets without any setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_real_clock_a_takeover_has_no_overlap_either() {
    let store = MemoryStore::new();
    let timing = Timing::new(Duration::from_millis(100), Duration::from_millis(600)).unwrap();
    let start = |name| Node::builder(store.backend(), node(name)).timing(timing).jobs(obedient).start().unwrap();
    let a = start("a");
    a.roles().wait_for(|role| *role == Role::Active).await.unwrap();
    let b = start("b");
    b.roles().wait_for(|role| *role == Role::Standby).await.unwrap();
    let right = a.active().unwrap();
    drop(a);
    b.roles().wait_for(|role| *role == Role::Active).await.unwrap();
    assert!(!right.is_valid());
    assert!(b.active().unwrap().token().number > right.token().number);
    assert_eq!(b.shutdown().await, Finish::Left);
}
