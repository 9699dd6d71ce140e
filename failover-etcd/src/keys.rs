//! What things are called in etcd, and how a value says which format it has.
//!
//! All keys of a cluster lie below `PREFIX/CLUSTER/`. Those below `watch/` there are small and change when something is worth
//! telling; a handle watches them all, and nothing else. Each value begins with its format's number and a space, so
//! that a later build's is known before it is read (law 15).

use failover_core::{ClusterName, Error, ErrorKind, Invalid, JobId, LeaseName, NodeId, Result, StateKey};

/// The format this build writes, and the newest it reads.
pub(crate) const FORMAT: u32 = 1;

/// Below which key everything is kept. Default: `failover`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Parses and validates: parts of `A-Z a-z 0-9 . _ -` joined by `/`, of at most 128 characters, which may begin with `/`.
    ///
    /// # Errors
    /// [`Invalid`] names the value and the rule.
    pub fn new(prefix: impl Into<String>) -> Result<Self, Invalid> {
        let prefix = prefix.into();
        let name = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if prefix.len() <= 128 && prefix.strip_prefix('/').unwrap_or(&prefix).split('/').all(name) {
            Ok(Self(prefix))
        } else {
            let rule = "it must be at most 128 characters: parts of A-Z, a-z, 0-9, `.`, `_` and `-` joined by `/`";
            Err(Invalid::new("prefix", prefix, rule))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    /// `failover`.
    fn default() -> Self {
        Self("failover".into())
    }
}

/// The keys of one cluster. No part of a key can hold a `/`, so distinct ids never share one (law 18).
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    root: String,
}

impl Keys {
    pub(crate) fn new(prefix: &KeyPrefix, cluster: &ClusterName) -> Self {
        Self { root: format!("{}/{cluster}/", prefix.as_str()) }
    }

    /// Which store this is.
    pub(crate) fn meta(&self) -> String {
        format!("{}meta", self.root)
    }

    /// Above what terms and epochs go on.
    pub(crate) fn floor(&self) -> String {
        format!("{}floor", self.root)
    }

    /// A node's last beat, without its news.
    pub(crate) fn pulse(&self, node: &NodeId) -> String {
        format!("{}pulse/{node}", self.root)
    }

    pub(crate) fn all_pulses(&self) -> String {
        format!("{}pulse/", self.root)
    }

    /// What a node tells about itself.
    pub(crate) fn news(&self, node: &NodeId) -> String {
        format!("{}news/{node}", self.root)
    }

    pub(crate) fn all_news(&self) -> String {
        format!("{}news/", self.root)
    }

    /// The highest term a lease was granted under. Never deleted.
    pub(crate) fn term(&self, name: &LeaseName) -> String {
        format!("{}term/{name}", self.root)
    }

    /// A job's record, or what is remembered of one that was removed.
    pub(crate) fn job(&self, job: &JobId) -> String {
        format!("{}job/{job}", self.root)
    }

    pub(crate) fn all_jobs(&self) -> String {
        format!("{}job/", self.root)
    }

    /// The spec of a job, if it is too long for its record.
    pub(crate) fn spec(&self, job: &JobId) -> String {
        format!("{}spec/{job}", self.root)
    }

    /// Up to where removals were dropped from the feed.
    pub(crate) fn feed(&self) -> String {
        format!("{}feed", self.root)
    }

    /// The highest term that has assigned jobs under a lease.
    pub(crate) fn job_fence(&self, name: &LeaseName) -> String {
        format!("{}fence/jobs/{name}", self.root)
    }

    /// The highest term that has written documents under a lease.
    pub(crate) fn state_fence(&self, name: &LeaseName) -> String {
        format!("{}fence/state/{name}", self.root)
    }

    pub(crate) fn document(&self, key: &StateKey) -> String {
        format!("{}doc/{key}", self.root)
    }

    /// Which document is kept under an etcd key.
    pub(crate) fn document_key(&self, key: &str) -> Option<StateKey> {
        StateKey::new(key.strip_prefix(&self.root)?.strip_prefix("doc/")?).ok()
    }

    pub(crate) fn watched(&self) -> String {
        format!("{}watch/", self.root)
    }

    /// Who holds a lease; attached to the holder's etcd lease.
    pub(crate) fn hold(&self, name: &LeaseName) -> String {
        format!("{}watch/lease/{name}", self.root)
    }

    /// For whom a lease is reserved; attached to an etcd lease of its own.
    pub(crate) fn reserve(&self, name: &LeaseName) -> String {
        format!("{}watch/reserve/{name}", self.root)
    }

    /// Touched by every change in an area.
    pub(crate) fn hint(&self, area: &str) -> String {
        format!("{}watch/{area}", self.root)
    }

    /// The area a watched key is about.
    pub(crate) fn area_of(&self, key: &str) -> Option<String> {
        let rest = key.strip_prefix(&self.root)?.strip_prefix("watch/")?;
        Some(rest.strip_prefix("reserve/").map_or_else(|| rest.to_owned(), |name| format!("lease/{name}")))
    }
}

/// The area of who beats and what they tell.
pub(crate) const BEATS: &str = "beats";
/// The area of the jobs. Its key's revision is the position of the last change of any.
pub(crate) const JOBS: &str = "jobs";

/// The area of one lease.
pub(crate) fn lease_area(name: &LeaseName) -> String {
    format!("lease/{name}")
}

/// The area of the documents that share the first part of their keys. Coarser than `changed(prefix)`, which may therefore
/// complete for nothing; finer than one for all, so that a busy journal does not wake whoever watches the configuration.
pub(crate) fn state_area(key: &StateKey) -> String {
    let first = key.as_str().split('/').next().unwrap_or_default();
    format!("state/{first}")
}

/// A value as it is kept.
pub(crate) fn value(text: impl std::fmt::Display) -> Vec<u8> {
    format!("{FORMAT} {text}").into_bytes()
}

/// What follows the format in a value. `what` names the record in errors.
///
/// # Errors
/// [`TooNew`](ErrorKind::TooNew) for a newer format, [`Corrupt`](ErrorKind::Corrupt) for a value that has none.
pub(crate) fn body<'v>(operation: &'static str, what: &str, value: &'v [u8]) -> Result<&'v [u8]> {
    let space = value.iter().position(|byte| *byte == b' ');
    let format = space.and_then(|at| std::str::from_utf8(&value[..at]).ok()?.parse::<u32>().ok());
    match (space, format) {
        (Some(at), Some(format)) if format <= FORMAT => Ok(&value[at + 1..]),
        (_, Some(format)) if format > FORMAT => {
            let message = format!(
                "the record of {what} has format {format}, this build knows up to {FORMAT}: upgrade this node; the record was left as it is"
            );
            Err(Error::new(ErrorKind::TooNew, operation, message))
        }
        _ => Err(corrupt(operation, what)),
    }
}

/// The same, as text.
pub(crate) fn text<'v>(operation: &'static str, what: &str, value: &'v [u8]) -> Result<&'v str> {
    std::str::from_utf8(body(operation, what, value)?).map_err(|_| corrupt(operation, what))
}

pub(crate) fn corrupt(operation: &'static str, what: &str) -> Error {
    let message = format!("the record of {what} cannot be read and was left as it is");
    Error::new(ErrorKind::Corrupt, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_of_names() {
        for good in ["failover", "/failover", "a/b-c/d.e", "x"] {
            assert_eq!(KeyPrefix::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "/", "a/", "a//b", "a b", "ä", "a\0", &"p".repeat(129)] {
            assert_eq!(KeyPrefix::new(bad).unwrap_err().field, "prefix");
        }
    }

    #[test]
    fn a_lease_and_its_reservation_are_one_area_and_no_other_keys_are() {
        let keys = Keys::new(&KeyPrefix::default(), &ClusterName::new("c").unwrap());
        let name = LeaseName::new("node/reserve").unwrap();
        assert_eq!(keys.area_of(&keys.hold(&name)), Some(lease_area(&name)));
        assert_eq!(keys.area_of(&keys.reserve(&name)), Some(lease_area(&name)));
        assert_eq!(keys.area_of(&keys.hint(JOBS)).as_deref(), Some(JOBS));
        assert_eq!(keys.area_of(&keys.meta()), None);
    }

    #[test]
    fn a_newer_value_is_told_by_its_format_and_rubbish_is_corrupt() {
        assert_eq!(text("get", "x", &value("a b")).unwrap(), "a b");
        assert_eq!(body("get", "x", b"2 a").unwrap_err().kind(), ErrorKind::TooNew);
        for rubbish in [&b""[..], b"1", b"x y", b"\xff "] {
            assert_eq!(body("get", "x", rubbish).unwrap_err().kind(), ErrorKind::Corrupt, "{rubbish:?}");
        }
    }
}
