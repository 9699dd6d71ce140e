//! Time on one machine: [`Time`], a [`Clock`] that runs while the machine sleeps, and one that a test moves.
//!
//! Nothing in this crate compares two hosts' clocks (law 10). A [`Time`] means something only beside another [`Time`] of the
//! same clock; what the store says about age and expiry arrives as durations.

mod manual;
mod stamp;
mod system;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

pub use manual::ManualClock;
pub use stamp::Stamp;
pub use system::SystemClock;

/// A moment on one local clock, in nanoseconds since an origin of that clock's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The moment this many nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    /// Saturates: a moment too far away to express is never reached, which is what a caller means by it.
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    /// Saturates at the origin.
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// Where the driver gets its time from.
///
/// A clock must run while the machine is suspended: a holder that slept through its lease has to notice at its first look
/// (law 4; `std::time::Instant` stands still there, rust-lang/rust#87906).
#[async_trait::async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment. Never goes backwards.
    fn now(&self) -> Time;

    /// Completes as soon as [`now`](Self::now) is at or past `at`. Cancel safe.
    async fn sleep_until(&self, at: Time);
}
