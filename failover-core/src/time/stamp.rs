use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A date and time for people to read, in milliseconds since 1970 by some machine's wall clock. Nothing is decided by it (law 10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Now, by this machine's wall clock.
    #[allow(clippy::disallowed_methods, reason = "nothing is decided by a stamp, and people read wall clocks")]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The same moment, for whoever formats dates.
    pub fn as_system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

impl From<SystemTime> for Stamp {
    /// Before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
