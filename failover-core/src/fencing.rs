//! Fencing at a resource of your own: it remembers the highest token it has seen and refuses lower ones (law 1).
//!
//! A process may be paused between its check and its write for any time, so no lease alone keeps a late write of a former
//! holder away. The resource can, if it keeps three rules:
//!
//! 1. **Every write brings its token**, [`Right::token`](crate::Right::token) or [`JobRun::token`](crate::JobRun::token).
//! 2. **The comparison and the write are one step**: under one lock, in one transaction, in one conditional request. A check
//!    that is over before the write begins is the pause again, only shorter.
//! 3. **What was seen is kept with the data**, as durably. A resource that forgets it at a restart lets old writes in.
//!
//! Whoever becomes active makes its first write at once, if only to show its token: from then on everything older is refused.
//!
//! For the stores of this project that is done already: see `Fence` of each backend. For a database column the recipe is one
//! condition, `UPDATE account SET balance = ?, token = ? WHERE id = ? AND token <= ?`. For everything else there is
//! [`HighestTokens`]:
//!
//! ```
//! use failover_core::fencing::{HighestTokens, Outdated};
//! use failover_core::FencingToken;
//!
//! /// A file that many processes of one service write, through this one.
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! struct Report {
//!     text: String,
//!     seen: HighestTokens, // saved in the same file as the text
//! }
//!
//! impl Report {
//!     // `&mut self`: whoever writes has the report for itself, so nothing comes between the check and the write.
//!     fn write(&mut self, token: &FencingToken, text: &str) -> Result<(), Outdated> {
//!         self.seen.admit(token)?;
//!         self.text = text.to_owned();
//!         Ok(())
//!     }
//! }
//!
//! let token = |number| FencingToken { name: "active".into(), number };
//! let mut report = Report::default();
//! report.write(&token(7), "of the seventh")?;
//! report.write(&token(8), "of the eighth")?;
//! let late = report.write(&token(7), "of the seventh, which had been asleep").unwrap_err();
//! assert_eq!((late.highest, report.text.as_str()), (8, "of the eighth"));
//! # Ok::<(), Outdated>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::FencingToken;

/// The highest number a resource has seen of each right. One number a right is all it keeps; save it with the data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HighestTokens(BTreeMap<String, u64>);

/// A write came under a token that is not the highest any more: somebody else has the right by now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token {token} is outdated: {highest} was seen; stop the work under it and write nothing")]
#[non_exhaustive]
pub struct Outdated {
    /// The token that was refused.
    pub token: FencingToken,
    /// The highest number seen under its name.
    pub highest: u64,
}

impl HighestTokens {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the token in, and remembers it, unless a higher one of the same name was seen. The same again is let in: one
    /// holder writes many times.
    ///
    /// # Errors
    /// [`Outdated`], and nothing is remembered.
    pub fn admit(&mut self, token: &FencingToken) -> Result<(), Outdated> {
        match self.0.get_mut(&token.name) {
            Some(highest) if token.number < *highest => Err(Outdated { token: token.clone(), highest: *highest }),
            Some(highest) => {
                *highest = token.number;
                Ok(())
            }
            None => {
                self.0.insert(token.name.clone(), token.number);
                Ok(())
            }
        }
    }

    /// The highest number seen under a name; `None` if none was.
    pub fn highest(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(name: &str, number: u64) -> FencingToken {
        FencingToken { name: name.to_owned(), number }
    }

    #[test]
    fn rights_of_different_names_do_not_touch() {
        let mut seen = HighestTokens::new();
        seen.admit(&token("active", 9)).unwrap();
        seen.admit(&token("job/a", 1)).unwrap();
        assert_eq!((seen.highest("active"), seen.highest("job/a"), seen.highest("job/b")), (Some(9), Some(1), None));
    }

    #[test]
    fn what_was_seen_survives_being_saved() {
        let mut seen = HighestTokens::new();
        seen.admit(&token("active", 9)).unwrap();
        let mut seen: HighestTokens = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
        assert_eq!(seen.admit(&token("active", 8)).unwrap_err().highest, 9);
    }

    proptest! {
        #[test]
        fn no_token_is_let_in_after_a_higher_one(numbers in proptest::collection::vec(0..20_u64, 0..60)) {
            let (mut seen, mut highest) = (HighestTokens::new(), 0);
            for number in numbers {
                prop_assert_eq!(seen.admit(&token("active", number)).is_ok(), number >= highest);
                highest = highest.max(number);
            }
        }
    }
}
