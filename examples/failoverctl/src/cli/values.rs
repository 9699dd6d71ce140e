//! What can stand behind an option.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use failover::Invalid;
use failover::job::{Failback, check_label};

/// A length of time, such as `250ms`, `5s` or `1m30s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let span = s.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
        span.map(Self)
            .ok_or_else(|| Invalid::new("duration", s, "it must be a length of time such as 250ms, 5s or 1m30s"))
    }
}

/// `K=V`.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Label {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let (name, value) = s.split_once('=').unwrap_or((s, "\0"));
        let rule =
            "it must be NAME=VALUE, with a name of A-Z, a-z, 0-9, `.`, `_` and `-` and at most 256 characters of value";
        match check_label("label", name, value) {
            Ok(()) => Ok(Self { name: name.into(), value: value.into() }),
            Err(_) => Err(Invalid::new("label", s.escape_debug(), rule)),
        }
    }
}

/// The labels by name; the last one of a name counts.
pub(crate) fn labels(labels: &[Label]) -> BTreeMap<String, String> {
    labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect()
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(span) => write!(f, "{span:#}"),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// `never`, `manual` or `automatic=DURATION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailbackRule(pub(crate) Failback);

impl FromStr for FailbackRule {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        let rule = "it must be never, manual or automatic=DURATION, such as automatic=5m";
        let invalid = || Invalid::new("failback", s.escape_debug(), rule);
        Ok(Self(match s.split_once('=') {
            None if s == "never" => Failback::Never,
            None if s == "manual" => Failback::Manual,
            Some(("automatic", span)) => {
                Failback::Automatic { stable_for: span.parse::<Span>().map_err(|_| invalid())?.0 }
            }
            _ => return Err(invalid()),
        }))
    }
}

impl fmt::Display for FailbackRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Failback::Never => f.write_str("never"),
            Failback::Manual => f.write_str("manual"),
            Failback::Automatic { stable_for } => write!(f, "automatic={}", Span(stable_for)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_lengths_of_time_with_a_unit() {
        let millis = |s: &str| s.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(millis("5s"), Ok(5000));
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("1.5s"), Ok(1500));
        for bad in ["", "5", "s", "-5s", "5 parsecs", "99999999999999999999s"] {
            assert!(millis(bad).is_err_and(|e| e.rule.contains("250ms")), "{bad}");
        }
    }

    #[test]
    fn a_label_is_a_name_and_a_value() {
        let label: Label = "zone=eu-1=b".parse().unwrap();
        assert_eq!((label.name.as_str(), label.value.as_str()), ("zone", "eu-1=b"));
        for bad in ["zone", "=x", "a b=c", "a=\u{1b}[31m", &format!("a={}", "x".repeat(257))] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_failback_is_one_of_three_and_is_written_as_it_is_read() {
        for text in ["never", "manual", "automatic=5m", "automatic=1m 30s"] {
            assert_eq!(text.parse::<FailbackRule>().map(|rule| rule.to_string()), Ok(text.into()));
        }
        for bad in ["", "auto", "automatic", "automatic=", "automatic=soon", "never=5s"] {
            assert!(bad.parse::<FailbackRule>().is_err_and(|e| e.rule.contains("automatic=5m")), "{bad}");
        }
    }
}
