//! What the tests of hosts share: a clock that is moved step by step, and leases that can be made to misbehave.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::lease::{Acquired, LeaseView, Renewed};
use failover_core::time::{Clock, ManualClock};
use failover_core::{Durability, Error, ErrorKind, Lease, LeaseManager, LeaseName, Member, NodeId, Result, Term};
use tokio::sync::Notify;

/// One step of the moved clock.
pub(crate) const STEP: Duration = Duration::from_millis(20);

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// Lets every task run until none has anything left to do at this moment.
pub(crate) async fn settle() {
    for _ in 0..40 {
        tokio::task::yield_now().await;
    }
}

/// Moves the clock step by step until `future` completes; it must within `limit`.
pub(crate) async fn until<T>(clock: &ManualClock, limit: Duration, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let end = clock.now() + limit;
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            () = settle() => {}
        }
        assert!(clock.now() < end, "not within {limit:?}");
        clock.advance(STEP);
    }
}

/// Moves the clock by so much, step by step.
pub(crate) async fn pass(clock: &ManualClock, time: Duration) {
    let end = clock.now() + time;
    while clock.now() < end {
        settle().await;
        clock.advance(STEP.min(end.since(clock.now())));
    }
    settle().await;
}

/// How one call misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It never answers and is not applied.
    Hang,
    /// It is applied and never answers.
    LoseReply,
    /// It is applied, and the answer waits for [`Unruly::let_go`].
    HoldReply,
    /// It fails at once and is not applied.
    Fail(ErrorKind),
}

/// Leases of which single calls misbehave.
pub(crate) struct Unruly {
    inner: Arc<dyn LeaseManager>,
    next: Mutex<VecDeque<(&'static str, Mishap)>>,
    always: Mutex<Option<Mishap>>,
    least_ttl: Mutex<Option<Duration>>,
    go: Notify,
    log: Mutex<Vec<(&'static str, LeaseName)>>,
}

impl Unruly {
    pub(crate) fn new(inner: Arc<dyn LeaseManager>) -> Arc<Self> {
        let (next, always, log) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { inner, next, always, least_ttl: Mutex::default(), go: Notify::new(), log })
    }

    /// The next call of this operation misbehaves.
    pub(crate) fn once(&self, operation: &'static str, mishap: Mishap) {
        self.next.lock().unwrap().push_back((operation, mishap));
    }

    /// Every call misbehaves until further notice.
    pub(crate) fn always(&self, mishap: Option<Mishap>) {
        *self.always.lock().unwrap() = mishap;
    }

    /// It keeps no shorter leases.
    pub(crate) fn keeps_at_least(&self, ttl: Duration) {
        *self.least_ttl.lock().unwrap() = Some(ttl);
    }

    /// Answers the calls whose reply is held.
    pub(crate) fn let_go(&self) {
        self.go.notify_waiters();
    }

    /// How often this operation was called.
    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|(called, _)| *called == operation).count()
    }

    /// How often it was called for this lease.
    pub(crate) fn calls_of(&self, operation: &str, name: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|(called, of)| *called == operation && of.as_str() == name).count()
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        name: &LeaseName,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.log.lock().unwrap().push((operation, name.clone()));
        let always = *self.always.lock().unwrap();
        let mishap = always.or_else(|| {
            let mut next = self.next.lock().unwrap();
            let at = next.iter().position(|(wanted, _)| *wanted == operation)?;
            next.remove(at).map(|(_, mishap)| mishap)
        });
        match mishap {
            None => call.await,
            Some(Mishap::Hang) => std::future::pending().await,
            Some(Mishap::LoseReply) => {
                call.await?;
                std::future::pending().await
            }
            Some(Mishap::HoldReply) => {
                let reply = call.await;
                self.go.notified().await;
                reply
            }
            Some(Mishap::Fail(kind)) => Err(Error::new(kind, operation, "made to fail by a test")),
        }
    }
}

#[async_trait]
impl LeaseManager for Unruly {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        self.call("acquire", name, self.inner.acquire(name, member, ttl)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        self.call("renew", &lease.name, self.inner.renew(lease)).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        self.call("release", &lease.name, self.inner.release(lease, successor)).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        self.call("current", name, self.inner.current(name)).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        self.inner.raise_floor(floor).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.inner.changed(name).await
    }

    fn least_ttl(&self) -> Duration {
        self.least_ttl.lock().unwrap().unwrap_or_else(|| self.inner.least_ttl())
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}
