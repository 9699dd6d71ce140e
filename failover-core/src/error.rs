//! What can go wrong, as types: [`Invalid`] for input that breaks a rule, [`Error`] for a call that failed.
//!
//! Losing a race is never an error. A lease somebody else holds, a version that moved on, a fence that was raised are
//! values of the call's own result type; `Err` always means that something needs attention or a retry.

use std::fmt;
use std::sync::Arc;

/// A value that breaks a rule: which field, what it held, and the rule it has to keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is `{value}`: {rule}")]
#[non_exhaustive]
pub struct Invalid {
    /// The field as a user knows it: an option's, a column's or a parameter's name.
    pub field: String,
    /// The offending value, shortened if it is long. Never a secret.
    pub value: String,
    /// The rule, as a sentence that says what to change.
    pub rule: String,
}

impl Invalid {
    /// A broken rule. `value` is cut after 80 characters, so that an oversized one stays readable in a log.
    pub fn new(field: impl Into<String>, value: impl fmt::Display, rule: impl Into<String>) -> Self {
        let mut value = value.to_string();
        if let Some((cut, _)) = value.char_indices().nth(80) {
            value.truncate(cut);
            value.push('…');
        }
        Self { field: field.into(), value, rule: rule.into() }
    }
}

/// What sort of failure an [`Error`] is, for code that has to choose what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's value breaks a rule; retrying the same call gives the same answer.
    Invalid,
    /// The store could not be reached or refused to serve; nothing was applied.
    Unavailable,
    /// No answer within the call's deadline or the connection broke: it may have been applied, now or later.
    Unknown,
    /// The store does not permit it: a read-only file, missing rights, a wrong password.
    Denied,
    /// The store has no room left.
    Full,
    /// The store was wiped, restored or replaced by another since this handle opened it, or its terms went backwards.
    /// Nothing it says counts as ownership until an operator opens it anew, with a higher floor for the terms.
    StoreChanged,
    /// A record or schema is of a newer format than this build knows. It is left as it is.
    TooNew,
    /// A record breaks its own format. It is left as it is.
    Corrupt,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid input",
            Self::Unavailable => "store unavailable",
            Self::Unknown => "outcome unknown",
            Self::Denied => "not permitted",
            Self::Full => "store full",
            Self::StoreChanged => "store changed",
            Self::TooNew => "newer format",
            Self::Corrupt => "corrupt record",
        })
    }
}

/// A failed call: its kind, the operation, what to do next, and the cause below it.
///
/// The message never holds a password: backends strip them from addresses before an error is built.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.operation, self.kind, self.message)
    }
}

impl std::error::Error for Error {
    /// The cause itself, not the `Arc` around it (which a derive would return), so that it can be downcast, to [`Invalid`]
    /// for example.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl Error {
    /// A failure of `operation`. `message` says what happened and what to do next.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self { kind, operation, message: message.into(), source: None }
    }

    /// The same failure with its cause attached.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Broken input, found by `operation`.
    pub fn invalid(operation: &'static str, invalid: Invalid) -> Self {
        Self::new(ErrorKind::Invalid, operation, invalid.to_string()).with_source(invalid)
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The operation that failed, such as `"acquire"`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether the same call may succeed later with nobody doing anything about it.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::Unavailable | ErrorKind::Unknown | ErrorKind::Full => true,
            ErrorKind::Invalid
            | ErrorKind::Denied
            | ErrorKind::StoreChanged
            | ErrorKind::TooNew
            | ErrorKind::Corrupt => false,
        }
    }

    /// Whether the call may have been applied although it failed (law 3: uncertainty is not ownership).
    pub fn is_outcome_unknown(&self) -> bool {
        self.kind == ErrorKind::Unknown
    }
}

/// The result of a store call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_broken_rule_can_be_had_from_the_error() {
        let invalid = Invalid::new("ttl", "0s", "it must be longer than nothing");
        let error = Error::invalid("acquire", invalid.clone());
        assert_eq!(error.source().and_then(|e| e.downcast_ref::<Invalid>()), Some(&invalid));
        assert_eq!(error.to_string(), format!("acquire: invalid input: {invalid}"));
    }
}
