use std::time::Duration;

use super::{Clock, Time};

/// The machine's own clock: `CLOCK_BOOTTIME` on Linux, which runs during suspend; the monotonic clock elsewhere, which runs
/// during suspend on macOS.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The machine's own clock.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Time {
        platform::now()
    }

    async fn sleep_until(&self, at: Time) {
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            platform::sleep(at, left).await;
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    use super::{Duration, Time};

    pub(super) fn now() -> Time {
        let t = clock_gettime(ClockId::Boottime);
        Time::from_nanos(t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs())
    }

    /// A timer of the same clock as [`now`], so that a right that ended during suspend is noticed at the moment of waking
    /// and not after the rest of a timer that stood still. If the process has no descriptor left, tokio's timer has to do.
    pub(super) async fn sleep(at: Time, left: Duration) {
        match timer(at) {
            Ok(fd) => drop(fd.readable().await),
            Err(_) => tokio::time::sleep(left).await,
        }
    }

    fn timer(at: Time) -> std::io::Result<AsyncFd<std::os::fd::OwnedFd>> {
        let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let value = Timespec {
            tv_sec: (at.as_nanos() / 1_000_000_000).cast_signed(),
            tv_nsec: (at.as_nanos() % 1_000_000_000).cast_signed(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&fd, TimerfdTimerFlags::ABSTIME, &once)?;
        #[expect(deprecated, reason = "unsound only for a type that swaps its descriptor, which an OwnedFd cannot")]
        AsyncFd::with_interest(fd, Interest::READABLE)
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::{Duration, Time};

    #[cfg(unix)]
    pub(super) fn now() -> Time {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Time::from_nanos(t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs())
    }

    #[cfg(not(unix))]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(super) fn now() -> Time {
        use std::sync::LazyLock;
        static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        Time::ZERO + Duration::from_secs(1) + ORIGIN.elapsed()
    }

    pub(super) async fn sleep(_at: Time, left: Duration) {
        tokio::time::sleep(left).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_at_its_moment_and_not_before() {
        let clock = SystemClock::new();
        let at = clock.now() + Duration::from_millis(20);
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }

    #[tokio::test]
    async fn a_moment_in_the_past_does_not_sleep() {
        SystemClock::new().sleep_until(Time::ZERO).await;
    }
}
