//! What ends a command badly: an exit status, what happened, and what to do next.

use std::error::Error as _;
use std::fmt;

use failover::{Error, ErrorKind, Invalid};

/// Why it ended, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// It failed.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// The cluster's state refuses it.
    Refused = 3,
    /// What was waited for did not come in time.
    TimedOut = 14,
}

/// A command that did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    text: String,
    next: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), next: None }
    }

    /// The cluster's state refuses it.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::new(Status::Refused, text)
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    pub(crate) fn status(&self) -> u8 {
        self.status as u8
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failoverctl: {}", self.text)?;
        self.next.iter().try_for_each(|next| write!(f, "\n  next: {next}"))
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::new(Status::Usage, invalid.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, next) = match error.kind() {
            ErrorKind::Invalid => (Status::Usage, "correct the value; `failoverctl --help` describes every option"),
            ErrorKind::Unavailable => {
                (Status::Failed, "check that the store is there and can be reached, then try again")
            }
            ErrorKind::Unknown => (Status::Failed, "try again: every command is safe to repeat"),
            ErrorKind::Denied => {
                (Status::Failed, "let this user read and write the store; SQLite also writes files beside its own")
            }
            ErrorKind::Full => (Status::Failed, "free some space where the store is, then try again"),
            ErrorKind::StoreChanged => (
                Status::Failed,
                "find out what became of the store before anything is started again; then start the nodes anew",
            ),
            ErrorKind::TooNew => (Status::Failed, "use a failoverctl at least as new as the one that wrote it"),
            ErrorKind::Corrupt => (Status::Failed, "restore the store from a backup, or find out who wrote into it"),
            _ => (Status::Failed, "try again, and report it if it stays"),
        };
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            let said = source.to_string();
            // An error that repeats its cause in its own text has said it already.
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = source.source();
        }
        Self::new(status, text).next(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_a_status_and_says_what_to_do() {
        let status = |kind| Failure::from(Error::new(kind, "open", "it broke")).status();
        assert_eq!(status(ErrorKind::Invalid), 2);
        for kind in [ErrorKind::Denied, ErrorKind::Full, ErrorKind::TooNew, ErrorKind::StoreChanged] {
            assert_eq!(status(kind), 1);
            assert!(Failure::from(Error::new(kind, "open", "it broke")).to_string().contains("\n  next: "));
        }
    }
}
