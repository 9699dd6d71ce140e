//! How far behind this node's copies are, and what that keeps it from.

use std::time::Duration;

use super::Machine;
use super::table::Stage;
use crate::replica::Lag;
use crate::time::Time;

/// How far behind a node is: the worst of its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// So many records it has read of, or knows to be there, and not applied.
    pub records: u64,
    /// When the last read was sent that found the journal's end, with all before it applied.
    pub complete_at: Option<Time>,
    /// How often it reads at least.
    pub period: Duration,
}

impl Standing {
    /// The worse of two, in each respect.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        let complete_at = self.complete_at.zip(other.complete_at).map(|(one, other)| one.min(other));
        Self { records: self.records.max(other.records), complete_at, period: self.period.max(other.period) }
    }

    /// What that comes to by now. One that reads along is behind by nothing, though its last read was a moment ago.
    fn lag(&self, now: Time) -> Lag {
        let behind = self.complete_at.map(|complete| now.since(complete));
        let reads_along = self.records == 0 && behind.is_some_and(|behind| behind <= self.period * 2);
        if reads_along { Lag::NONE } else { Lag { records: self.records, behind } }
    }
}

impl Machine {
    /// How far behind this node is, if it has replicas.
    pub(super) fn lag(&self, now: Time) -> Option<Lag> {
        let standing = self.standing.as_ref()?;
        Some(if self.stage == Stage::Active { Lag::NONE } else { standing.lag(now) })
    }

    /// Whether it is too far behind to take over by itself.
    pub(super) fn lags_too_far(&self, now: Time) -> bool {
        let most = self.roster.settings().max_lag.as_ref();
        most.is_some_and(|most| self.lag(now).is_some_and(|lag| lag.exceeds(most)))
    }
}
