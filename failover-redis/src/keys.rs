//! What things are called in the store: keys that share one hash tag, and the areas of the hints.

use std::fmt;

use failover_core::{ClusterName, Invalid, LeaseName, StateKey};

/// What the names of all keys begin with, so that they share a server with a host's own: up to 64 characters of
/// `A-Z a-z 0-9 . _ - :`, default `failover:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Parses and validates.
    ///
    /// # Errors
    /// [`Invalid`] names the value and the rule.
    pub fn new(prefix: impl Into<String>) -> Result<Self, Invalid> {
        let prefix = prefix.into();
        // No brace: the only hash tag of a key is the cluster's name.
        let all = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'));
        if all && (1..=64).contains(&prefix.len()) {
            Ok(Self(prefix))
        } else {
            let rule = "it must be 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_`, `-` and `:`";
            Err(Invalid::new("prefix", prefix, rule))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    /// `failover:`.
    fn default() -> Self {
        Self("failover:".into())
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The last words of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The cluster's own record: which store this is, counters and floors.
    Meta,
    Beats,
    Leases,
    Fences,
    Jobs,
    Specs,
    /// Jobs by their revision.
    Feed,
    /// Removed jobs by their revision.
    Graves,
    /// The last epochs of removed jobs.
    Epochs,
    Docs,
    /// Keys of documents in order.
    Paths,
}

/// The names of one cluster's keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Prefix and hash tag: `failover:{billing}:`.
    base: String,
    tag: String,
}

impl Keys {
    pub(crate) fn new(prefix: &KeyPrefix, cluster: &ClusterName) -> Self {
        let tag = format!("{{{cluster}}}");
        Self { base: format!("{prefix}{tag}:"), tag }
    }

    pub(crate) fn name(&self, key: Key) -> String {
        let word = match key {
            Key::Meta => "meta",
            Key::Beats => "beats",
            Key::Leases => "leases",
            Key::Fences => "fences",
            Key::Jobs => "jobs",
            Key::Specs => "specs",
            Key::Feed => "feed",
            Key::Graves => "graves",
            Key::Epochs => "epochs",
            Key::Docs => "docs",
            Key::Paths => "paths",
        };
        format!("{}{word}", self.base)
    }

    /// The channel of the hints.
    pub(crate) fn channel(&self) -> String {
        format!("{}changed", self.base)
    }

    /// The hash tag that all keys share, braces included.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }
}

/// The area of changes that [`HeartbeatStore::changed`](failover_core::HeartbeatStore::changed) waits for.
pub(crate) const BEATS: &str = "beats";
/// That of [`JobAssigner::changed`](failover_core::JobAssigner::changed).
pub(crate) const JOBS: &str = "jobs";

/// That of one lease.
pub(crate) fn lease_area(name: &LeaseName) -> String {
    format!("lease/{name}")
}

/// That of all documents that share the first part of their keys. Coarser than `changed(prefix)`, which may therefore
/// complete for nothing; finer than one for all, so that a busy journal does not wake whoever watches the configuration.
pub(crate) fn state_area(key: &StateKey) -> String {
    format!("state/{}", key.as_str().split('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_cluster_share_its_hash_tag() {
        let cluster = ClusterName::new("billing").unwrap();
        let keys = Keys::new(&KeyPrefix::default(), &cluster);
        assert_eq!(keys.name(Key::Meta), "failover:{billing}:meta");
        assert_eq!((keys.channel().as_str(), keys.tag()), ("failover:{billing}:changed", "{billing}"));
    }

    #[test]
    fn a_prefix_cannot_bring_a_hash_tag_of_its_own() {
        assert_eq!(KeyPrefix::new("my:app.").unwrap().as_str(), "my:app.");
        for bad in ["", "a{b}", "a b", "*", "ä", &"p".repeat(65)] {
            assert_eq!(KeyPrefix::new(bad).unwrap_err().field, "prefix");
        }
    }
}
