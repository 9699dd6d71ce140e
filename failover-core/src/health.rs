//! How well a node is, by what its own host says of it: named failures, each with a weight.
//!
//! A host that cannot do its work well, though its process lives, tells so with [`Node::report_failure`](crate::Node::report_failure): a disk that
//! fills up, a device that is gone, a licence that ran out. The weights add up, every node sees them, and the role goes to a standby whose sum is
//! lower. A failure of weight 0 only warns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::ids::FailureName;

/// How many failures a node tells of at once: they go with every heartbeat.
pub const MAX_FAILURES: usize = 16;

/// How many bytes of a failure's text are kept.
pub const MAX_FAILURE_TEXT: usize = 200;

/// The most that one failure weighs.
pub const MAX_FAILURE_WEIGHT: u32 = 10_000;

/// Something that is wrong on a node, by its host's own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// What it is, for people. At most [`MAX_FAILURE_TEXT`] bytes.
    pub text: String,
    /// How much it weighs; 0 only warns.
    pub weight: u32,
}

/// How well a node is, as its heartbeat tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Health {
    /// What is wrong, by name.
    pub failures: BTreeMap<FailureName, Failure>,
    /// Whether its host has not fed its [watchdog](crate::NodeBuilder::watchdog) in time: it takes no role until it does.
    pub hung: bool,
}

impl Failure {
    /// A failure, its text cut to what is kept.
    ///
    /// # Errors
    /// [`Invalid`] if it weighs more than [`MAX_FAILURE_WEIGHT`].
    pub fn new(text: impl Into<String>, weight: u32) -> Result<Self, Invalid> {
        if weight > MAX_FAILURE_WEIGHT {
            return Err(Invalid::new("failure weight", weight, format!("it must be at most {MAX_FAILURE_WEIGHT}")));
        }
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(MAX_FAILURE_TEXT));
        Ok(Self { text, weight })
    }
}

impl Health {
    /// The sum of what weighs on it; of two nodes the one with the lower sum is in better health.
    pub fn weight(&self) -> u32 {
        self.failures.values().fold(0, |sum, failure| sum.saturating_add(failure.weight))
    }

    /// Whether there is nothing to tell.
    pub fn is_well(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a failure, or changes the one of that name. Whether that changed anything.
    ///
    /// # Errors
    /// [`Invalid`] if there are [`MAX_FAILURES`] others already.
    pub(crate) fn report(&mut self, name: &FailureName, failure: &Failure) -> Result<bool, Invalid> {
        if self.failures.get(name) == Some(failure) {
            return Ok(false);
        }
        if self.failures.len() >= MAX_FAILURES && !self.failures.contains_key(name) {
            let rule =
                format!("a node tells of at most {MAX_FAILURES} failures at once: clear one before you report another");
            return Err(Invalid::new("failure", name, rule));
        }
        self.failures.insert(name.clone(), failure.clone());
        Ok(true)
    }

    /// Takes a failure away. Whether it was there.
    pub(crate) fn clear(&mut self, name: &FailureName) -> bool {
        self.failures.remove(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> FailureName {
        FailureName::new(name).unwrap()
    }

    #[test]
    fn weights_add_up_and_a_warning_weighs_nothing() {
        let mut health = Health::default();
        assert!(health.is_well());
        assert_eq!(health.report(&name("disk"), &Failure::new("nearly full", 0).unwrap()), Ok(true));
        assert_eq!((health.weight(), health.is_well()), (0, false));
        assert_eq!(health.report(&name("disk"), &Failure::new("full", 30).unwrap()), Ok(true));
        assert_eq!(health.report(&name("disk"), &Failure::new("full", 30).unwrap()), Ok(false), "told before");
        assert_eq!(health.report(&name("line"), &Failure::new("cut", 12).unwrap()), Ok(true));
        assert_eq!(health.weight(), 42);
        assert_eq!((health.clear(&name("disk")), health.clear(&name("disk")), health.weight()), (true, false, 12));
    }

    #[test]
    fn what_a_heartbeat_carries_is_bounded() {
        let mut health = Health::default();
        let failure = Failure::new("é".repeat(1_000), MAX_FAILURE_WEIGHT).unwrap();
        assert_eq!(failure.text.len(), MAX_FAILURE_TEXT);
        for i in 0..MAX_FAILURES {
            assert_eq!(health.report(&name(&format!("f{i}")), &failure), Ok(true));
        }
        let refused = health.report(&name("one-more"), &failure).unwrap_err().to_string();
        assert!(refused.starts_with("failure is `one-more`: a node tells of at most 16"), "{refused}");
        assert_eq!(
            health.report(&name("f3"), &Failure::new("changed", 1).unwrap()),
            Ok(true),
            "one that is there may change"
        );
        let refused = Failure::new("x", MAX_FAILURE_WEIGHT + 1).unwrap_err().to_string();
        assert_eq!(refused, "failure weight is `10001`: it must be at most 10000");
    }
}
