//! Elections on the reference backend, on a clock that is moved by hand: every moment here is exact.

mod support;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::election::ElectionBuilder;
use failover_core::memory::MemoryStore;
use failover_core::time::{Clock, ManualClock, Time};
use failover_core::{Election, ErrorKind, LeaseManager, Right, Timing};
use support::{Mishap, Unruly, node, pass, settle, until};

const TTL: Duration = Duration::from_secs(5);
const BEAT: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_mins(1);

struct World {
    clock: ManualClock,
    store: MemoryStore,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self { store: MemoryStore::with_clock(clock.clone()), clock }
    }

    fn builder(&self, leases: Arc<dyn LeaseManager>, name: &str) -> ElectionBuilder {
        let timing = Timing::new(BEAT, TTL).unwrap();
        Election::builder(leases, "x", node(name)).unwrap().timing(timing).clock(Arc::new(self.clock.clone()))
    }

    fn election(&self, name: &str) -> Election {
        self.builder(self.store.backend().leases, name).start().unwrap()
    }

    fn unruly(&self, name: &str) -> (Arc<Unruly>, Election) {
        let leases = Unruly::new(self.store.backend().leases);
        (leases.clone(), self.builder(leases, name).start().unwrap())
    }
}

/// Waits for the end of a right and tells when it was.
async fn end_of(clock: &ManualClock, right: &Right) -> Time {
    while right.is_valid() {
        clock.sleep_until(right.ends_at()).await;
    }
    clock.now()
}

#[tokio::test]
async fn one_leads_and_the_next_one_as_soon_as_it_resigns() {
    let world = World::new();
    let (a, b) = (world.election("a"), world.election("b"));
    let first = until(&world.clock, SOON, a.campaign()).await.unwrap();
    assert!(first.is_valid());
    let second = tokio::spawn(async move { b.campaign().await.unwrap() });
    pass(&world.clock, TTL * 5).await;
    assert!(!second.is_finished() && first.is_valid(), "it is renewed for as long as it lives");
    assert_eq!(a.leader().await.unwrap().unwrap().0, node("a"));

    let (right, token) = (first.right().clone(), first.token());
    first.resign().await;
    assert!(!right.is_valid() && right.stopping().is_cancelled());
    let second = until(&world.clock, SOON, second).await.unwrap();
    assert!(second.token().number > token.number);
}

#[tokio::test]
async fn a_successor_is_first_even_if_others_wait_longer() {
    let world = World::new();
    let first = world.election("a").campaign().await.unwrap();
    let (b, c) = (world.election("b"), world.election("c"));
    let b = tokio::spawn(async move { b.campaign().await.unwrap() });
    settle().await;
    let c = tokio::spawn(async move { c.campaign().await.unwrap() });
    settle().await;
    first.resign_to(node("c")).await;
    let leadership = until(&world.clock, SOON, c).await.unwrap();
    assert!(leadership.is_valid() && !b.is_finished());
}

#[tokio::test]
async fn a_leadership_that_is_dropped_lapses_and_is_not_given_back() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    let first = a.campaign().await.unwrap();
    let right = first.right().clone();
    drop(first);
    settle().await;
    assert!(right.stopping().is_cancelled() && right.is_valid(), "whatever still runs under it may stop first");

    // The same process campaigns again: as a new member, so that it inherits nothing.
    let (second, ended) = tokio::join!(
        async {
            let second = until(&world.clock, TTL + BEAT, a.campaign()).await.unwrap();
            (second, world.clock.now())
        },
        end_of(&world.clock, &right),
    );
    assert!(second.1 >= ended, "it began {:?} before the end of the one before", ended.since(second.1));
    assert!(second.0.token().number > right.token().number);
    assert_eq!(leases.calls("release"), 0);
}

#[tokio::test]
async fn a_leader_without_a_store_stops_before_its_right_ends_and_the_next_begins_after() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    let first = a.campaign().await.unwrap();
    let right = first.right().clone();
    leases.always(Some(Mishap::Hang));

    until(&world.clock, TTL, first.stopping().cancelled()).await;
    let warned = world.clock.now();
    assert!(right.is_valid() && warned >= right.stop_at(), "it is told while it still has time");
    let b = world.election("b");
    let (began, ended) = tokio::join!(
        async {
            let second = until(&world.clock, TTL + BEAT, b.campaign()).await.unwrap();
            let began = world.clock.now();
            second.resign().await;
            began
        },
        end_of(&world.clock, &right)
    );
    assert!(ended <= began && !first.is_valid());

    leases.always(None);
    let third = until(&world.clock, LONG, a.campaign()).await.unwrap();
    assert_eq!(third.token().number, right.token().number + 2);
    first.resign().await;
    assert!(third.is_valid(), "resigning what was lost does nothing");
}

#[tokio::test]
async fn one_hung_or_failed_renewal_costs_nothing() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    let leadership = a.campaign().await.unwrap();
    for mishap in [Mishap::Hang, Mishap::LoseReply, Mishap::Fail(ErrorKind::Unavailable)] {
        leases.once("renew", mishap);
        pass(&world.clock, BEAT * 4).await;
        assert!(leadership.is_valid() && !leadership.stopping().is_cancelled(), "{mishap:?}");
    }
    assert!(leadership.right().remaining() > TTL / 2);
}

#[tokio::test]
async fn a_lost_acquire_reply_is_asked_again_and_gives_the_same_term() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    leases.once("acquire", Mishap::LoseReply);
    let leadership = until(&world.clock, TTL, a.campaign()).await.unwrap();
    assert_eq!(leadership.token().number, 1);
    assert!(leases.calls("acquire") >= 2);
}

#[tokio::test]
async fn an_acquire_reply_that_comes_after_the_ttl_is_no_right() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    leases.once("acquire", Mishap::HoldReply);
    let campaign = tokio::spawn(async move { a.campaign().await.unwrap() });
    settle().await;
    // The process is paused for longer than its lease; when it goes on, the reply is there.
    world.clock.advance(TTL * 2);
    leases.let_go();
    let leadership = until(&world.clock, TTL, campaign).await.unwrap();
    assert_eq!(leadership.token().number, 2, "the first grant had lapsed");
    assert!(leadership.is_valid() && leadership.right().ends_at() < world.clock.now() + TTL);
}

#[tokio::test]
async fn a_slow_acquire_reply_counts_from_before_it_was_asked_for() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    leases.once("acquire", Mishap::HoldReply);
    let sent = world.clock.now();
    let campaign = tokio::spawn(async move { a.campaign().await.unwrap() });
    settle().await;
    world.clock.advance(BEAT);
    leases.let_go();
    let leadership = campaign.await.unwrap();
    let timing = Timing::new(BEAT, TTL).unwrap();
    assert!(leadership.right().ends_at() >= timing.ends_at(sent, TTL));
    assert_eq!(leadership.token().number, 1);
    leadership.resign().await;
}

#[tokio::test]
async fn a_grant_nobody_waits_for_any_more_is_given_back() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    leases.once("acquire", Mishap::HoldReply);
    let campaign = tokio::spawn(async move { a.campaign().await.map(drop) });
    settle().await;
    campaign.abort();
    settle().await;
    leases.let_go();
    let b = world.election("b");
    until(&world.clock, SOON, b.campaign()).await.unwrap();
    assert_eq!(leases.calls("release"), 1);
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_an_error_and_what_it_does_is_waited_for() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    leases.once("acquire", Mishap::Fail(ErrorKind::Denied));
    assert_eq!(a.campaign().await.unwrap_err().kind(), ErrorKind::Denied);
    leases.once("acquire", Mishap::Fail(ErrorKind::Unavailable));
    leases.once("acquire", Mishap::Fail(ErrorKind::Unavailable));
    assert!(until(&world.clock, BEAT, a.campaign()).await.unwrap().is_valid());
}

#[tokio::test]
async fn a_leader_whose_store_is_wiped_fails_closed() {
    let world = World::new();
    let a = world.election("a");
    let leadership = a.campaign().await.unwrap();
    world.store.wipe();
    until(&world.clock, BEAT * 2, leadership.stopping().cancelled()).await;
    assert!(!leadership.is_valid());
    assert_eq!(a.campaign().await.unwrap_err().kind(), ErrorKind::StoreChanged);
}

#[tokio::test]
async fn a_store_whose_terms_went_backwards_is_not_believed() {
    let world = World::new();
    let leases = world.store.backend().leases;
    let other = MemoryStore::with_clock(world.clock.clone()).backend().leases;
    let switch = Arc::new(Switched { first: leases, second: other, now_second: false.into() });
    let a = world.builder(switch.clone(), "a").start().unwrap();
    for _ in 0..2 {
        a.campaign().await.unwrap().resign().await;
    }
    switch.now_second.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(a.campaign().await.unwrap_err().kind(), ErrorKind::StoreChanged);
}

#[tokio::test]
async fn run_campaigns_again_after_a_loss_and_ends_when_the_work_says_so() {
    let world = World::new();
    let (leases, a) = world.unruly("a");
    let (tokens, clock) = (Arc::new(Mutex::new(Vec::new())), world.clock.clone());
    let running = tokio::spawn({
        let tokens = tokens.clone();
        async move {
            a.run(|right| {
                let (tokens, clock) = (tokens.clone(), clock.clone());
                async move {
                    tokens.lock().unwrap().push(right.token().number);
                    match right.token().number {
                        // Heeds its token.
                        1 => right.stopping().cancelled().await,
                        // Ignores it, and is cut off when its right is over.
                        2 => std::future::pending().await,
                        _ => clock.sleep_until(clock.now() + BEAT).await,
                    }
                    if right.token().number < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break("done") }
                }
            })
            .await
        }
    });
    for _ in 0..2 {
        settle().await;
        leases.always(Some(Mishap::Fail(ErrorKind::Unavailable)));
        pass(&world.clock, TTL).await;
        leases.always(None);
        pass(&world.clock, TTL).await;
    }
    assert_eq!(until(&world.clock, LONG, running).await.unwrap().unwrap(), "done");
    assert_eq!(*tokens.lock().unwrap(), [1, 2, 3]);
    until(&world.clock, SOON, world.election("b").campaign()).await.expect("what is done is given back");
}

#[tokio::test]
async fn whatever_happens_no_two_lead_at_one_moment_and_tokens_grow() {
    let world = World::new();
    let spans: Arc<Mutex<Vec<(u64, Time, Time)>>> = Arc::default();
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        let (leases, election) = world.unruly(name);
        let (spans, clock) = (spans.clone(), world.clock.clone());
        all.push(leases);
        tokio::spawn(async move {
            loop {
                let leadership = election.campaign().await.unwrap();
                let began = clock.now();
                leadership.stopping().cancelled().await;
                let ended = end_of(&clock, leadership.right()).await;
                spans.lock().unwrap().push((leadership.token().number, began, ended));
            }
        });
    }
    let mishaps =
        [Mishap::Hang, Mishap::LoseReply, Mishap::Fail(ErrorKind::Unknown), Mishap::Fail(ErrorKind::Unavailable)];
    for round in 0..24 {
        pass(&world.clock, BEAT).await;
        // Two of three are cut off in turn, the third has to take over.
        for (i, leases) in all.iter().enumerate() {
            leases.always((i != round % 3).then(|| mishaps[round % mishaps.len()]));
        }
        pass(&world.clock, TTL + BEAT).await;
        for leases in &all {
            leases.always(None);
        }
    }
    let spans = spans.lock().unwrap();
    assert!(spans.len() >= 12, "only {} leaderships ended", spans.len());
    for pair in spans.windows(2) {
        let [(earlier, _, ended), (later, began, _)] = pair else { unreachable!() };
        assert!(later > earlier && began >= ended, "{pair:?}");
    }
}

/// One store at first, another from some moment on: a restored backup behind the same address.
struct Switched {
    first: Arc<dyn LeaseManager>,
    second: Arc<dyn LeaseManager>,
    now_second: std::sync::atomic::AtomicBool,
}

impl Switched {
    fn now(&self) -> &Arc<dyn LeaseManager> {
        if self.now_second.load(std::sync::atomic::Ordering::Relaxed) { &self.second } else { &self.first }
    }
}

#[async_trait::async_trait]
impl LeaseManager for Switched {
    async fn acquire(
        &self,
        name: &failover_core::LeaseName,
        member: &failover_core::Member,
        ttl: Duration,
    ) -> failover_core::Result<failover_core::lease::Acquired> {
        self.now().acquire(name, member, ttl).await
    }

    async fn renew(&self, lease: &failover_core::Lease) -> failover_core::Result<failover_core::lease::Renewed> {
        self.now().renew(lease).await
    }

    async fn release(
        &self,
        lease: &failover_core::Lease,
        successor: Option<&failover_core::NodeId>,
    ) -> failover_core::Result<()> {
        self.now().release(lease, successor).await
    }

    async fn current(&self, name: &failover_core::LeaseName) -> failover_core::Result<failover_core::lease::LeaseView> {
        self.now().current(name).await
    }

    async fn raise_floor(&self, floor: failover_core::Term) -> failover_core::Result<()> {
        self.now().raise_floor(floor).await
    }

    fn durability(&self) -> failover_core::Durability {
        self.now().durability()
    }
}
