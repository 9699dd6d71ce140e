//! The stores' hints: one loop for each thing that can change, none of which can spin or pile up.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, maybe_done};
use tokio::sync::watch;
use tracing::debug;

use super::inbox::Nudges;
use crate::backend::Backend;
use crate::control;
use crate::error::Result;
use crate::ids::{LeaseName, Member};
use crate::machine::Hint;
use crate::time::Clock;

/// Everything a node wants hints about.
pub(crate) fn all(member: &Member) -> [Hint; 5] {
    let node = LeaseName::node(&member.node);
    [Hint::Heartbeats, Hint::Lease(LeaseName::active()), Hint::Lease(node), Hint::Jobs, Hint::Control]
}

fn changed<'a>(backend: &'a Backend, hint: &'a Hint) -> BoxFuture<'a, Result<()>> {
    match hint {
        Hint::Heartbeats => backend.heartbeats.changed(),
        Hint::Lease(name) => backend.leases.changed(name),
        Hint::Jobs => backend.jobs.changed(),
        Hint::Control => Box::pin(async { backend.state.changed(&control::control()).await }),
    }
}

/// So many hints are passed on at once after a while without: more than a switchover gives of one kind, whose steps must not wait for one another.
const BURST: u32 = 8;

/// Passes on the hints of one kind, at most fifty in a beat and [`BURST`], and fewer while the store only answers with errors.
pub(crate) async fn listen(
    backend: Arc<Backend>,
    clock: Arc<dyn Clock>,
    mut beat: watch::Receiver<Duration>,
    hint: Hint,
    nudges: Arc<Nudges>,
) {
    loop {
        let now = *beat.borrow_and_update();
        tokio::select! {
            () = repeat(&*clock, now / 50, now, || changed(&backend, &hint), || nudges.hint(&hint)) => {}
            // A hint that comes between two listenings is not heard, so it counts as given.
            changed = beat.changed() => match changed {
                Ok(()) => nudges.hint(&hint),
                Err(_) => return,
            },
        }
    }
}

/// Runs `told` after every completion of `wait`: after a success at once for the first [`BURST`], and then once in a `pause`; after failures in a row from a tenth
/// of `most` to `most` later.
pub(crate) async fn repeat<'a>(
    clock: &dyn Clock,
    pause: Duration,
    most: Duration,
    wait: impl Fn() -> BoxFuture<'a, Result<()>>,
    told: impl Fn(),
) {
    let next = || maybe_done(AssertUnwindSafe(wait()).catch_unwind());
    let mut waiting = Box::pin(next());
    let mut back_off = most / 10;
    // When all would have been told, had each waited for its pause.
    let mut even = clock.now();
    loop {
        waiting.as_mut().await;
        let outcome = waiting.as_mut().take_output();
        waiting.set(next());
        if let Some(Ok(Ok(()))) = outcome {
            back_off = most / 10;
            // Listen again before telling, so that a change between the two is either seen by the look that follows or heard.
            poll_fn(|cx| {
                let _either_way = waiting.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
            told();
            even = even.max(clock.now()) + pause;
            tokio::select! {
                () = clock.sleep_until(even - pause * (BURST - 1)) => {}
                never = async { waiting.as_mut().await; std::future::pending().await } => never,
            }
        } else {
            if let Some(Ok(Err(error))) = outcome {
                debug!(%error, "no hints from the store for a while; polling goes on");
            }
            clock.sleep_until(clock.now() + back_off).await;
            back_off = (back_off * 2).min(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::time::ManualClock;

    const PAUSE: Duration = Duration::from_millis(20);
    const MOST: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_hint_that_always_comes_at_once_is_slowed_down() {
        let (clock, told) = (ManualClock::new(), AtomicU32::new(0));
        let wait = || async { Ok(()) }.boxed();
        let mut task = Box::pin(repeat(&clock, PAUSE, MOST, wait, || {
            told.fetch_add(1, Ordering::Relaxed);
        }));
        for expected in BURST..BURST + 4 {
            assert!(task.as_mut().now_or_never().is_none());
            assert_eq!(told.load(Ordering::Relaxed), expected);
            clock.advance(PAUSE);
        }
        clock.advance(PAUSE * 3);
        assert!(task.as_mut().now_or_never().is_none());
        assert_eq!(told.load(Ordering::Relaxed), BURST + 7, "what was not used comes back, one in each pause");
    }

    #[tokio::test]
    async fn a_store_that_only_fails_is_asked_ever_less_often() {
        let (clock, asked) = (ManualClock::new(), AtomicU32::new(0));
        let wait = || {
            asked.fetch_add(1, Ordering::Relaxed);
            async { Err(Error::new(ErrorKind::Unavailable, "changed", "gone")) }.boxed()
        };
        let mut task = Box::pin(repeat(&clock, PAUSE, MOST, wait, || unreachable!("an error is no hint")));
        for _ in 0..1000 {
            assert!(task.as_mut().now_or_never().is_none());
            clock.advance(Duration::from_millis(10));
        }
        let asked = asked.load(Ordering::Relaxed);
        assert!((10..=20).contains(&asked), "asked {asked} times in ten seconds");
    }

    #[tokio::test]
    async fn a_change_during_the_pause_is_told_after_it() {
        let (clock, told, change) = (ManualClock::new(), AtomicU32::new(0), tokio::sync::Notify::new());
        let wait = || change.notified().map(Ok).boxed();
        let mut task = Box::pin(repeat(&clock, PAUSE, MOST, wait, || {
            told.fetch_add(1, Ordering::Relaxed);
        }));
        assert!(task.as_mut().now_or_never().is_none());
        for expected in (1..=BURST).chain([BURST]) {
            change.notify_waiters();
            assert!(task.as_mut().now_or_never().is_none());
            assert_eq!(told.load(Ordering::Relaxed), expected, "each at once, and then it pauses");
        }
        clock.advance(PAUSE);
        assert!(task.as_mut().now_or_never().is_none());
        assert_eq!(told.load(Ordering::Relaxed), BURST + 1);
    }
}
