//! Errors of calls in the log: the first of a streak and its end, not every one.

use std::collections::BTreeMap;

use tracing::{info, warn};

use crate::error::Error;

/// The running streaks of failures, by operation.
#[derive(Debug, Default)]
pub(crate) struct CallLog(BTreeMap<&'static str, u64>);

impl CallLog {
    /// Takes in how a call came out, and logs it if that is news. Returns whether it was.
    pub(crate) fn note(&mut self, operation: &'static str, error: Option<&Error>) -> bool {
        match (error, self.0.get_mut(operation)) {
            (Some(_), Some(streak)) => {
                *streak += 1;
                false
            }
            (Some(error), None) => {
                self.0.insert(operation, 1);
                warn!(operation, kind = %error.kind(), %error, "a store call failed; it is tried again");
                true
            }
            (None, Some(_)) => {
                let failed = self.0.remove(operation).unwrap_or_default();
                info!(operation, failed, "the store call succeeds again");
                true
            }
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_first_failure_of_a_streak_and_the_recovery_are_news() {
        let mut log = CallLog::default();
        let error = Error::new(ErrorKind::Unavailable, "beat", "no route");
        assert!(!log.note("beat", None));
        assert!(log.note("beat", Some(&error)));
        assert!(!log.note("beat", Some(&error)));
        assert!(log.note("renew", Some(&error)), "each operation has its own streak");
        assert!(log.note("beat", None));
        assert!(!log.note("beat", None));
        assert!(log.note("beat", Some(&error)));
    }
}
