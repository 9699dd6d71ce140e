use std::collections::VecDeque;
use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::memory::MemoryStore;
use failover_core::time::{Clock as _, ManualClock};
use failover_core::{Backend, ClusterName, Error, ErrorKind, LeaseName, Result};
use tokio::sync::Notify;

use super::Later;
use super::opening::{FIRST_PAUSE, LONGEST_PAUSE, Opening, PATIENCE};
use crate::address::Usual;
use crate::lease::Durability;

/// How attempts come out, one after another; the last for all that follow.
enum Turn {
    Fails(ErrorKind),
    Opens,
    OpensOnce(Arc<Notify>),
    Hangs,
    Panics,
}

struct Script {
    turns: Mutex<VecDeque<Turn>>,
    made: AtomicU32,
    given_up: AtomicU32,
}

struct GivenUp(Arc<Script>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.given_up.fetch_add(1, Ordering::SeqCst);
    }
}

impl Script {
    async fn play(self: Arc<Self>) -> Result<Backend> {
        self.made.fetch_add(1, Ordering::SeqCst);
        let turn = {
            let mut turns = self.turns.lock().unwrap();
            if turns.len() > 1 { turns.pop_front().unwrap() } else { repeated(&turns[0]) }
        };
        let given_up = GivenUp(self);
        match turn {
            Turn::Fails(kind) => {
                std::mem::forget(given_up);
                return Err(Error::new(kind, "open", "as it was told"));
            }
            Turn::Opens => {}
            Turn::OpensOnce(told) => told.notified().await,
            Turn::Hangs => std::future::pending().await,
            Turn::Panics => panic!("as it was told"),
        }
        std::mem::forget(given_up);
        Ok(MemoryStore::new().backend())
    }
}

fn repeated(turn: &Turn) -> Turn {
    match turn {
        Turn::Fails(kind) => Turn::Fails(*kind),
        Turn::Opens => Turn::Opens,
        Turn::OpensOnce(told) => Turn::OpensOnce(told.clone()),
        Turn::Hangs => Turn::Hangs,
        Turn::Panics => Turn::Panics,
    }
}

struct Stage {
    backend: Backend,
    script: Arc<Script>,
    clock: ManualClock,
}

impl Stage {
    fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        let turns = Mutex::new(turns.into_iter().collect());
        let script = Arc::new(Script { turns, made: AtomicU32::new(0), given_up: AtomicU32::new(0) });
        let clock = ManualClock::new();
        let attempt = {
            let script = script.clone();
            move || script.clone().play()
        };
        let usual = Usual { least_ttl: Duration::from_secs(2), slack: Duration::from_secs(8) };
        let backend = Backend::new(Later { opening: Opening::new(attempt, Arc::new(clock.clone())), usual });
        Self { backend, script, clock }
    }

    fn made(&self) -> u32 {
        self.script.made.load(Ordering::SeqCst)
    }

    fn given_up(&self) -> u32 {
        self.script.given_up.load(Ordering::SeqCst)
    }

    async fn call(&self) -> Option<ErrorKind> {
        self.backend.leases.current(&LeaseName::active()).await.err().map(|error| error.kind())
    }

    /// Lets time pass in small steps, and everything run that can.
    async fn pass(&self, by: Duration) {
        let end = self.clock.now() + by;
        while self.clock.now() < end {
            self.clock.advance(Duration::from_millis(10).min(end.since(self.clock.now())));
            settle().await;
        }
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Whether it is still under way when everything that can run has run.
async fn waits<T>(work: impl Future<Output = T>) -> bool {
    tokio::select! {
        biased;
        _ = work => false,
        () = settle() => true,
    }
}

#[tokio::test]
async fn nobody_goes_there_before_the_first_call_and_one_attempt_serves_all_callers() {
    let told = Arc::new(Notify::new());
    let stage = Arc::new(Stage::new([Turn::OpensOnce(told.clone())]));
    settle().await;
    assert_eq!(stage.made(), 0);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.call().await })
        })
        .collect();
    settle().await;
    assert_eq!(stage.made(), 1, "fifty callers, one attempt");
    assert!(callers.iter().all(|caller| !caller.is_finished()));
    told.notify_one();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), None);
    }
    assert_eq!((stage.call().await, stage.made()), (None, 1));
}

#[tokio::test]
async fn a_caller_that_gives_up_ends_no_attempt() {
    let told = Arc::new(Notify::new());
    let stage = Stage::new([Turn::OpensOnce(told.clone())]);
    assert!(waits(stage.call()).await);
    told.notify_one();
    settle().await;
    assert_eq!((stage.call().await, stage.made(), stage.given_up()), (None, 1, 0));
}

#[tokio::test]
async fn a_call_fails_under_its_own_name_as_the_latest_attempt_did_and_is_never_of_unknown_outcome() {
    let kinds = [ErrorKind::Unavailable, ErrorKind::Unknown, ErrorKind::Denied, ErrorKind::StoreChanged];
    let told = [ErrorKind::Unavailable, ErrorKind::Unavailable, ErrorKind::Denied, ErrorKind::StoreChanged];
    let stage = Stage::new(kinds.map(Turn::Fails).into_iter().chain([Turn::Opens]));
    for (made, told) in (1..).zip(told) {
        let error = stage.backend.heartbeats.sightings().await.unwrap_err();
        assert_eq!((error.kind(), error.operation(), stage.made()), (told, "sightings", made));
        let attempt = error.source().and_then(|source| source.downcast_ref::<Error>()).expect("the attempt's error");
        assert_eq!((attempt.operation(), attempt.kind()), ("open", kinds[made as usize - 1]));
        assert!(error.to_string().contains("as it was told"), "{error}");
        while stage.made() == made {
            assert_eq!(stage.call().await, Some(told), "at once, between two attempts as well");
            stage.pass(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(stage.call().await, None, "and what cannot mend itself was mended");
}

#[tokio::test]
async fn attempts_are_made_ever_less_often_up_to_a_bound_and_not_in_step() {
    let stages = [Stage::new([Turn::Fails(ErrorKind::Unavailable)]), Stage::new([Turn::Fails(ErrorKind::Unavailable)])];
    let mut counts = Vec::new();
    for stage in &stages {
        assert_eq!(stage.call().await, Some(ErrorKind::Unavailable));
        let (begun, mut at) = (stage.clock.now(), Vec::new());
        for _ in 0..3000 {
            let before = stage.made();
            stage.pass(Duration::from_millis(10)).await;
            if stage.made() > before {
                at.push(stage.clock.now());
            }
        }
        let pauses: Vec<Duration> = at.windows(2).map(|two| two[1].since(two[0])).collect();
        let step = Duration::from_millis(20);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE + step), "{pauses:?}");
        assert!(pauses[8..].iter().all(|pause| *pause + step >= LONGEST_PAUSE / 2), "{pauses:?}");
        assert!(at[0].since(begun) <= FIRST_PAUSE + step, "the second comes soon: {at:?}");
        counts.push(at);
    }
    assert_ne!(counts[0], counts[1], "two that begin together do not go on together");
}

#[tokio::test]
async fn an_attempt_that_hangs_is_given_up_and_another_made() {
    let stage = Stage::new([Turn::Hangs, Turn::Opens]);
    let mut call = Box::pin(stage.call());
    assert!(waits(&mut call).await);
    stage.pass(PATIENCE / 100 * 99).await;
    assert!(waits(&mut call).await && stage.given_up() == 0);
    stage.pass(PATIENCE / 100).await;
    assert_eq!((call.await, stage.given_up()), (Some(ErrorKind::Unavailable), 1));
    stage.pass(LONGEST_PAUSE).await;
    assert_eq!((stage.call().await, stage.made()), (None, 2));
}

#[tokio::test]
async fn a_backend_that_panics_has_failed_and_is_tried_again() {
    let stage = Stage::new([Turn::Panics, Turn::Opens]);
    assert_eq!(stage.call().await, Some(ErrorKind::Unavailable));
    stage.pass(LONGEST_PAUSE).await;
    assert_eq!((stage.call().await, stage.made()), (None, 2));
}

#[tokio::test]
async fn changed_waits_for_the_store_and_hints_that_it_is_there() {
    let stage = Stage::new([Turn::Fails(ErrorKind::Unavailable), Turn::Opens]);
    let (active, key) = (LeaseName::active(), failover_core::control::control());
    let Backend { heartbeats, leases, jobs, state } = &stage.backend;
    let mut all = Box::pin(async {
        tokio::try_join!(heartbeats.changed(), leases.changed(&active), jobs.changed(), state.changed(&key))
    });
    assert!(waits(&mut all).await);
    assert_eq!(stage.made(), 1, "it makes them go there, too");
    stage.pass(LONGEST_PAUSE).await;
    assert!(all.await.is_ok());
    let mut next = Box::pin(leases.changed(&active));
    assert!(waits(&mut next).await, "from then on it is the store's own");
    let member = failover_core::Member::new("n1".parse().unwrap(), failover_core::Incarnation::fresh());
    leases.acquire(&active, &member, Duration::from_secs(5)).await.unwrap();
    next.await.unwrap();
}

#[tokio::test]
async fn what_it_says_of_itself_is_the_usual_until_it_is_known() {
    let stage = Stage::new([Turn::Opens]);
    let says = || {
        let leases = &stage.backend.leases;
        (leases.durability(), leases.least_ttl(), leases.slack())
    };
    assert_eq!(says(), (Durability::Volatile, Duration::from_secs(2), Duration::from_secs(8)));
    assert_eq!(stage.call().await, None);
    let of_memory = MemoryStore::new().backend().leases;
    assert_eq!(says(), (of_memory.durability(), of_memory.least_ttl(), of_memory.slack()));
}

#[tokio::test]
async fn dropping_it_ends_the_attempt() {
    let stage = Stage::new([Turn::Hangs]);
    assert!(waits(stage.call()).await);
    let Stage { backend, script, .. } = stage;
    assert_eq!(script.given_up.load(Ordering::SeqCst), 0);
    drop(backend);
    settle().await;
    assert_eq!(script.given_up.load(Ordering::SeqCst), 1);
    assert_eq!(Arc::strong_count(&script), 1, "nothing of it is left");
}

#[test]
fn a_runtime_that_is_shut_down_in_the_midst_of_it_leaves_the_rest_to_the_next_call() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = Stage::new([Turn::Hangs, Turn::Opens]);
    let first = runtime();
    assert!(first.block_on(waits(stage.call())));
    drop(first);
    assert_eq!(stage.given_up(), 1);
    assert_eq!(runtime().block_on(stage.call()), None);
}

#[test]
fn an_address_is_read_at_once_and_keeps_its_password() {
    let cluster = ClusterName::new("c").unwrap();
    for (url, field) in [
        ("mongo://u:secret@h", "scheme"),
        ("secret", "scheme"),
        #[cfg(feature = "sqlite")]
        ("sqlite:///srv/app.db?mode=rwc", "option"),
        #[cfg(feature = "postgres")]
        ("postgres://u:secret@h/d?create=maybe", "create"),
        #[cfg(feature = "mysql")]
        ("mysql://u:secret@h", "database"),
        #[cfg(feature = "redis")]
        ("redis://:secret@h/x", "database"),
        #[cfg(feature = "etcd")]
        ("etcd://u:secret@h:0x", "host"),
    ] {
        let error = super::open_later(url, &cluster).expect_err(url);
        let invalid = error.source().and_then(|source| source.downcast_ref::<failover_core::Invalid>());
        assert_eq!((error.kind(), invalid.map(|e| e.field.as_str())), (ErrorKind::Invalid, Some(field)), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
    #[cfg(feature = "sqlite")]
    {
        let backend = super::open_later("sqlite:///nowhere/app.db", &cluster).unwrap();
        assert!(!format!("{backend:?}").contains("nowhere"));
    }
}
