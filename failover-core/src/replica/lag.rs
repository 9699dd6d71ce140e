use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::optional_millis;

/// How far a node's copy is behind.
///
/// Both are what the node knows itself: of the journal as it last read it, and of its own clock (law 10). A node that reads along as the records
/// come is behind by nothing, give or take a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lag {
    /// So many records are in the journal and not applied.
    pub records: u64,
    /// For so long it has not been at the journal's end: what was acknowledged before then is applied. Counted from when the last read that found the end
    /// was sent. Nothing while it has never been there: how far it is behind is unknown then, and more than any bound.
    #[serde(default, with = "optional_millis")]
    pub behind: Option<Duration>,
}

impl Lag {
    /// Behind by nothing.
    pub const NONE: Self = Self { records: 0, behind: Some(Duration::ZERO) };

    /// Whether it is known.
    pub const fn is_known(&self) -> bool {
        self.behind.is_some()
    }

    /// Whether it is above this bound, which one that is unknown is.
    pub fn exceeds(&self, most: &MaxLag) -> bool {
        most.records.is_some_and(|records| self.records > records)
            || self.behind.is_none_or(|mine| most.behind.is_some_and(|behind| mine > behind))
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.behind {
            Some(behind) => write!(f, "{} records, {behind:?}", self.records),
            None => f.write_str("unknown"),
        }
    }
}

/// How far behind a node may be and still take over by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MaxLag {
    /// In records.
    pub records: Option<u64>,
    /// In time without having been at the journal's end.
    #[serde(with = "optional_millis")]
    pub behind: Option<Duration>,
}

impl MaxLag {
    /// At most so many records.
    pub const fn records(records: u64) -> Self {
        Self { records: Some(records), behind: None }
    }

    /// At most so long.
    pub const fn behind(behind: Duration) -> Self {
        Self { records: None, behind: Some(behind) }
    }
}
