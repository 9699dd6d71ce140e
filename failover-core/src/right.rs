//! [`Right`]: what a host acts under, as a comparison with the clock at the moment of use.

mod sentinel;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ids::FencingToken;
use crate::lease::Lease;
use crate::time::{Clock, Time};

/// How long a right lasts as far as is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    stop_at: Time,
    ends_at: Time,
    /// Given up before its time: work under it has stopped, or was cut off.
    over: bool,
}

/// A right to act: a lease, and until when it lasts unless it is renewed before.
///
/// Having this value is not having the right. [`is_valid`](Self::is_valid) compares with the clock whenever it is asked (law 4), so the
/// answer is right also after a pause of the process or the machine. Between a check and a write a process can be
/// paused for any time; only the resource can refuse what comes too late, by the [`token`](Self::token) that is to go with
/// every write (law 1).
///
/// It depends on no thread and no message: one that lapsed while the host's executor was blocked is invalid at the first look. What *tells* of the end, [`stopping`](Self::stopping) and a node's
/// `demote`, needs an executor that runs: the host's for `demote` and for whoever waits, and one of both, the host's or that of the backend's [home](crate::home), for the token to fire.
///
/// Clones are the same right.
#[derive(Clone)]
pub struct Right {
    lease: Arc<Lease>,
    clock: Arc<dyn Clock>,
    span: watch::Receiver<Span>,
    stopping: CancellationToken,
    /// When work under it was told to stop.
    stopped: Arc<OnceLock<Time>>,
    /// Whether it was told so by whoever keeps its deadline a second time.
    told: Arc<Mutex<bool>>,
    /// Fires when it is over, for what is cut off then.
    ended: CancellationToken,
}

/// What became of a right, told by [`Right::extended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// It was renewed.
    Extended {
        /// When work under it will be told to stop, unless it is renewed again.
        stop_at: Time,
        /// When it ends, unless it is renewed again.
        ends_at: Time,
    },
    /// It is over and will not come back.
    Over,
}

impl Right {
    /// The lease as it was granted.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The token to carry to every write made under this right.
    pub fn token(&self) -> FencingToken {
        self.lease.token()
    }

    /// Whether it lasts at this very moment.
    pub fn is_valid(&self) -> bool {
        let span = *self.span.borrow();
        !span.over && self.clock.now() < span.ends_at
    }

    /// How long it still lasts unless it is renewed; zero if it is over.
    pub fn remaining(&self) -> Duration {
        let span = *self.span.borrow();
        if span.over { Duration::ZERO } else { span.ends_at.since(self.clock.now()) }
    }

    /// When work under it will be told to stop, unless it is renewed before. On the node's clock; moves with every renewal.
    pub fn stop_at(&self) -> Time {
        self.span.borrow().stop_at
    }

    /// When it ends, unless it is renewed before. On the node's clock; moves with every renewal.
    pub fn ends_at(&self) -> Time {
        self.span.borrow().ends_at
    }

    /// Fires when work under it has to stop: while it still lasts if that can be foreseen, else the moment it is known to be over.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Whether [`stopping`](Self::stopping) has fired.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits until whoever keeps it, or its deadline, says that it is over. For what is to be cut off then.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until so long after the work under it was told to stop.
    pub(crate) async fn stopped_for(&self, span: Duration) {
        self.stopping.cancelled().await;
        let since = self.stopped.get().copied().unwrap_or_else(|| self.clock.now());
        self.clock.sleep_until(since + span).await;
    }

    /// Waits until it is over.
    pub(crate) async fn over(mut self) {
        while self.extended().await != Extension::Over {}
    }

    /// Waits for the next renewal, or for the end. For guards outside the process, such as a watchdog that must be told of every
    /// extension. Several renewals since the last call are told as one. Cancel safe.
    pub async fn extended(&mut self) -> Extension {
        loop {
            let Span { ends_at, over, .. } = *self.span.borrow();
            if over {
                return Extension::Over;
            }
            tokio::select! {
                biased;
                changed = self.span.changed() => {
                    if changed.is_err() {
                        // Nobody renews it any more; it lasts as long as it lasts.
                        self.clock.sleep_until(ends_at).await;
                        return Extension::Over;
                    }
                    let span = *self.span.borrow_and_update();
                    if !span.over {
                        return Extension::Extended { stop_at: span.stop_at, ends_at: span.ends_at };
                    }
                }
                () = self.clock.sleep_until(ends_at) => {
                    // A renewal may have come at the same moment.
                    if self.span.borrow().ends_at == ends_at {
                        return Extension::Over;
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Right")
            .field("token", &format_args!("{}", self.token()))
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// The other end of a [`Right`]: whoever keeps the lease extends and ends it. Dropped without [`end`](Self::end), as in a crash, the work
/// is told to stop and the right ends by time.
#[derive(Debug)]
pub(crate) struct RightKeeper {
    lease: Arc<Lease>,
    clock: Arc<dyn Clock>,
    span: watch::Sender<Span>,
    stopping: CancellationToken,
    stopped: Arc<OnceLock<Time>>,
    told: Arc<Mutex<bool>>,
    ended: CancellationToken,
}

impl RightKeeper {
    pub(crate) fn new(lease: Lease, clock: Arc<dyn Clock>, stop_at: Time, ends_at: Time) -> Self {
        let span = watch::Sender::new(Span { stop_at, ends_at, over: false });
        let (stopping, stopped, told) = (CancellationToken::new(), Arc::default(), Arc::default());
        Self { lease: Arc::new(lease), clock, span, stopping, stopped, told, ended: CancellationToken::new() }
    }

    pub(crate) fn right(&self) -> Right {
        Right {
            lease: self.lease.clone(),
            clock: self.clock.clone(),
            span: self.span.subscribe(),
            stopping: self.stopping.clone(),
            stopped: self.stopped.clone(),
            told: self.told.clone(),
            ended: self.ended.clone(),
        }
    }

    /// Whether `lease` is the one this is the right to, ttl aside: a store may grant a renewal for another time.
    pub(crate) fn is_of(&self, lease: &Lease) -> bool {
        self.lease.term == lease.term && self.lease.holder == lease.holder && self.lease.name == lease.name
    }

    /// Has it last longer. Not if the work under it was [told to stop](Self::was_told) at its deadline before this came.
    pub(crate) fn extend(&self, stop_at: Time, ends_at: Time) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !*told {
            self.span.send_if_modified(|span| {
                let next = Span { stop_at, ends_at, over: span.over };
                std::mem::replace(span, next) != next
            });
        }
    }

    /// Whether its deadline was told by another than the one who renews it. It counts as lost then: what ran under it has been told to stop.
    pub(crate) fn was_told(&self) -> bool {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the work under it to stop. The right itself may last on.
    pub(crate) fn cancel(&self) {
        self.stopped.get_or_init(|| self.clock.now());
        self.stopping.cancel();
    }

    /// Ends it now.
    pub(crate) fn end(self) {
        self.span.send_modify(|span| span.over = true);
        self.ended.cancel();
    }
}

impl Drop for RightKeeper {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::ids::{Incarnation, LeaseName, Member, NodeId, Term};
    use crate::time::ManualClock;

    fn keeper(clock: &ManualClock) -> RightKeeper {
        let holder = Member::new(NodeId::new("n1").unwrap(), Incarnation::from_u128(1));
        let lease = Lease { name: LeaseName::active(), holder, term: Term(7), ttl: Duration::from_secs(5) };
        let now = clock.now();
        RightKeeper::new(lease, Arc::new(clock.clone()), now + Duration::from_secs(3), now + Duration::from_secs(4))
    }

    #[test]
    fn validity_is_a_comparison_with_the_clock_and_needs_nobody_to_be_told() {
        let clock = ManualClock::new();
        let keeper = keeper(&clock);
        let right = keeper.right();
        assert!(right.is_valid());
        assert_eq!(right.remaining(), Duration::from_secs(4));
        clock.advance(Duration::from_secs(4) - Duration::from_nanos(1));
        assert!(right.is_valid());
        clock.advance(Duration::from_nanos(1));
        assert!(!right.is_valid());
        assert!(!right.stopping().is_cancelled(), "no one had the time to say so");
    }

    #[test]
    fn work_is_told_to_stop_while_the_right_lasts() {
        let clock = ManualClock::new();
        let keeper = keeper(&clock);
        let right = keeper.right();
        keeper.cancel();
        assert!(right.stopping().is_cancelled() && right.is_valid());
        keeper.end();
        assert!(!right.is_valid());
        assert_eq!(right.remaining(), Duration::ZERO);
    }

    #[test]
    fn a_keeper_that_vanishes_leaves_a_right_that_ends_by_time() {
        let clock = ManualClock::new();
        let right = keeper(&clock).right();
        assert!(right.stopping().is_cancelled() && right.is_valid());
        clock.advance(Duration::from_secs(4));
        assert!(!right.is_valid());
    }

    #[tokio::test]
    async fn a_deadline_that_another_has_told_is_not_extended_any_more() {
        let clock = ManualClock::new();
        let keeper = keeper(&clock);
        let right = keeper.right();
        let mut second = Box::pin(right.clone().keep_deadline());
        assert!((&mut second).now_or_never().is_none());
        let further = |by: u64| (right.stop_at() + Duration::from_secs(by), right.ends_at() + Duration::from_secs(by));
        let (stop_at, ends_at) = further(1);
        keeper.extend(stop_at, ends_at);
        clock.advance(Duration::from_secs(3));
        assert!((&mut second).now_or_never().is_none());
        assert!(!right.stopping().is_cancelled() && !keeper.was_told(), "it goes on until a second later");

        clock.advance(Duration::from_secs(1));
        assert!((&mut second).now_or_never().is_none());
        assert!(right.stopping().is_cancelled() && right.is_valid() && keeper.was_told());
        assert!(right.ended().now_or_never().is_none());
        // A renewal that was answered in time, and comes to it too late.
        let (stop_later, ends_later) = further(5);
        keeper.extend(stop_later, ends_later);
        assert_eq!((right.stop_at(), right.ends_at()), (stop_at, ends_at));
        clock.advance(Duration::from_secs(1));
        assert!((&mut second).now_or_never().is_some() && right.ended().now_or_never().is_some() && !right.is_valid());
    }

    #[tokio::test]
    async fn a_right_that_its_keeper_ends_or_leaves_is_watched_no_longer_than_it_lasts() {
        let clock = ManualClock::new();
        let (ended, left) = (keeper(&clock), keeper(&clock));
        let mut seconds = [&ended, &left].map(|keeper| Box::pin(keeper.right().keep_deadline()));
        for second in &mut seconds {
            assert!(second.as_mut().now_or_never().is_none());
        }
        ended.end();
        drop(left);
        let [of_ended, of_left] = &mut seconds;
        assert!(of_ended.as_mut().now_or_never().is_some());
        for wait in [3, 1] {
            assert!(of_left.as_mut().now_or_never().is_none());
            clock.advance(Duration::from_secs(wait));
        }
        assert!(of_left.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn extensions_are_told_until_it_is_over() {
        let clock = ManualClock::new();
        let keeper = keeper(&clock);
        let mut right = keeper.right();
        let (stop_at, ends_at) = (right.stop_at() + Duration::from_secs(1), right.ends_at() + Duration::from_secs(1));
        keeper.extend(stop_at, ends_at);
        assert_eq!(right.extended().await, Extension::Extended { stop_at, ends_at });
        assert_eq!((right.stop_at(), right.ends_at()), (stop_at, ends_at));
        clock.advance(Duration::from_secs(5));
        assert_eq!(right.extended().await, Extension::Over);
        keeper.end();
        assert_eq!(right.extended().await, Extension::Over);
    }
}
