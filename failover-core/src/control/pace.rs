//! How fast the cluster is, set once for all of its nodes: [`Pace`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::job::whole_millis;
use crate::timing::Timing;

/// The two durations that all others follow from. Whole milliseconds.
///
/// Nodes follow a change of it without a restart and without a gap in safety: see
/// [`machine::claim`](crate::machine::claim) for how a lease passes from one ttl to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pace {
    /// Between two heartbeats; three of them must fit into the ttl.
    #[serde(with = "whole_millis")]
    pub beat: Duration,
    /// How long a lease lasts unless it is renewed.
    #[serde(with = "whole_millis")]
    pub ttl: Duration,
}

impl Pace {
    /// This heartbeat and this lease.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn new(beat: Duration, ttl: Duration) -> Result<Self, Invalid> {
        let pace = Self { beat, ttl };
        pace.check().map(|()| pace)
    }

    /// Whether a cluster can run by it.
    ///
    /// # Errors
    /// [`Invalid`] as [`Timing::new`]: which of the two, its value, and the inequality that is violated.
    pub fn check(&self) -> Result<(), Invalid> {
        Timing::new(self.beat, self.ttl).map(drop)
    }
}

impl From<&Timing> for Pace {
    fn from(timing: &Timing) -> Self {
        Self { beat: timing.beat(), ttl: timing.ttl() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_that_cannot_be_is_refused_by_field_value_and_rule() {
        let millis = Duration::from_millis;
        assert!(Pace::new(millis(400), millis(2_000)).is_ok());
        let fast = Pace::new(millis(900), millis(2_000)).unwrap_err().to_string();
        assert_eq!(fast, "beat is `900ms`: three beats must fit into the ttl of 2s");
        assert_eq!(Pace::new(millis(0), millis(2_000)).unwrap_err().field, "beat");
        assert_eq!(Pace::new(millis(400), Duration::from_hours(25)).unwrap_err().field, "ttl");
    }
}
