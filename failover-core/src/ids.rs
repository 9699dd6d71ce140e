//! Names and numbers that identify things, validated once and then trusted (law 18).
//!
//! A name is 1 to 64 characters of `[A-Za-z0-9._-]`. Names that have structure, [`LeaseName`] and [`StateKey`], are paths of
//! such names joined by `/`, a character no name can hold, so two distinct ids never share a key in a store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Invalid;

/// The most characters a name may have.
pub const MAX_NAME: usize = 64;
const NAME_RULE: &str = "it must be 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`";

fn check_name(field: &str, value: &str) -> Result<(), Invalid> {
    let fits = (1..=MAX_NAME).contains(&value.len());
    if fits && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        Ok(())
    } else {
        Err(Invalid::new(field, value, NAME_RULE))
    }
}

fn check_path(field: &str, value: &str, most: usize) -> Result<(), Invalid> {
    if value.split('/').count() > most {
        return Err(Invalid::new(field, value, format!("it must have at most {most} parts separated by `/`")));
    }
    value.split('/').try_for_each(|part| check_name(field, part).map_err(|e| Invalid::new(field, value, e.rule)))
}

/// A validated string newtype: cheap to clone, ordered, parsed and serialised as its text.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses and validates.
            ///
            /// # Errors
            /// [`Invalid`] names the field, the value and the rule.
            pub fn new(value: impl AsRef<str>) -> Result<Self, Invalid> {
                let check: fn(&str, &str) -> Result<(), Invalid> = $check;
                check($field, value.as_ref())?;
                Ok(Self(value.as_ref().into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(s: &str) -> Result<Self, Invalid> {
                Self::new(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(s: String) -> Result<Self, Invalid> {
                Self::new(s)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

text_id! {
    /// A named group of nodes that fail over for one another. Several clusters may share one store.
    ClusterName, "cluster name", check_name
}
text_id! {
    /// A node's name: stable across restarts, unique in its cluster.
    NodeId, "node name", check_name
}
text_id! {
    /// A job's name, unique in its cluster.
    JobId, "job id", check_name
}
text_id! {
    /// A class of jobs: a name for the policy that jobs of a kind have by default.
    ClassName, "job class", check_name
}
text_id! {
    /// A group of jobs that keep apart.
    GroupName, "group name", check_name
}
text_id! {
    /// The name of something that is wrong on a node, by its host's own word.
    FailureName, "failure name", check_name
}
text_id! {
    /// A lease's name: one or two parts, such as `active`, `node/n1` or `election/nightly-report`.
    LeaseName, "lease name", |field, value| check_path(field, value, 2)
}
text_id! {
    /// A response action's name.
    ActionName, "action name", check_name
}
text_id! {
    /// A document's key: one to six parts, such as `control/cluster`.
    StateKey, "state key", |field, value| check_path(field, value, 6)
}

impl LeaseName {
    /// The lease whose holder is the cluster's active node.
    pub fn active() -> Self {
        Self("active".into())
    }

    /// The lease under which `node` runs its jobs. To fail a node over is to take it (law 11).
    pub fn node(node: &NodeId) -> Self {
        Self(format!("node/{node}").into())
    }

    /// The lease of an election of the host's own; no name given here can collide with the cluster's own leases.
    ///
    /// # Errors
    /// [`Invalid`] if `name` is not a valid name.
    pub fn election(name: &str) -> Result<Self, Invalid> {
        check_name("election name", name)?;
        Ok(Self(format!("election/{name}").into()))
    }
}

impl StateKey {
    /// The key `part` below this one.
    ///
    /// # Errors
    /// [`Invalid`] if `part` is not a valid name, or the key becomes too deep.
    pub fn join(&self, part: &str) -> Result<Self, Invalid> {
        Self::new(format!("{self}/{part}"))
    }

    /// Whether this key lies strictly below `prefix`, part by part: `a/b` lies below `a`, `ab` does not.
    pub fn is_below(&self, prefix: &StateKey) -> bool {
        self.0.strip_prefix(&*prefix.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// One start of a node's process. Only equality means anything: which of two incarnations is the later one is told by the
/// terms of their node leases, never by comparing two hosts' clocks (law 10).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(Uuid);

impl Incarnation {
    /// A fresh incarnation: a version 7 UUID, so that logs sort roughly by start.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The incarnation with these bits, for backends that decode it and for tests that want it predictable.
    pub const fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }

    /// The bits.
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Incarnation {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        Uuid::try_parse(s).map(Self).map_err(|_| Invalid::new("incarnation", s, "it must be a UUID"))
    }
}

/// A node and one incarnation of it: the thing that holds leases and owns jobs. A restarted process is a new member and
/// inherits nothing (law 5).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Which start of its process.
    pub incarnation: Incarnation,
}

impl Member {
    /// This incarnation of this node.
    pub fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self { node, incarnation }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.incarnation)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A number that only grows.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Before the first.
            pub const ZERO: Self = Self(0);

            /// The next one.
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter! {
    /// A lease's term: the fencing token. Every grant to a new holder has a higher one, for ever (laws 1 and 2).
    Term
}
counter! {
    /// A job's epoch: the per-job fencing token. Every placement has a higher one, for ever.
    Epoch
}
counter! {
    /// A position in the feed of job changes.
    Revision
}
counter! {
    /// A document's version: never repeated for a key, also not after a deletion.
    Version
}

/// The fencing token a host carries to its writes: the name of the right and its number.
///
/// A resource that remembers the highest number it has seen per name and refuses lower ones is safe from any late write
/// of a former holder (Kleppmann, "How to do distributed locking", 2016).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FencingToken {
    /// What it is a token of, such as `active` or `job/import`.
    pub name: String,
    /// The number; higher is later.
    pub number: u64,
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_1_to_64_characters_of_the_alphabet() {
        assert!(NodeId::new("n-1_a.B").is_ok());
        assert!(NodeId::new("x".repeat(64)).is_ok());
        for bad in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            let error = NodeId::new(bad).unwrap_err();
            assert_eq!(error.field, "node name");
            assert!(error.to_string().contains("1 to 64"), "{error}");
        }
    }

    #[test]
    fn a_lease_name_has_at_most_two_parts() {
        assert!(LeaseName::new("node/n1").is_ok());
        assert!(LeaseName::new("a/b/c").is_err());
        assert!(LeaseName::new("a//b").is_err());
        assert!(LeaseName::new("/a").is_err());
    }

    #[test]
    fn below_is_by_parts_not_by_characters() {
        let key = |s| StateKey::new(s).unwrap();
        assert!(key("a/b").is_below(&key("a")));
        assert!(!key("ab").is_below(&key("a")));
        assert!(!key("a").is_below(&key("a")));
    }

    proptest! {
        #[test]
        fn distinct_ids_never_share_a_lease_name(a in "[A-Za-z0-9._-]{1,64}", b in "[A-Za-z0-9._-]{1,64}") {
            let name = |s: &str| LeaseName::node(&NodeId::new(s).unwrap());
            prop_assert_eq!(a == b, name(&a) == name(&b));
            prop_assert_ne!(name(&a), LeaseName::active());
            prop_assert_ne!(name(&a), LeaseName::election(&b).unwrap());
        }

        #[test]
        fn whatever_is_accepted_survives_serialisation(s in ".{0,70}") {
            if let Ok(id) = JobId::new(&s) {
                let json = serde_json::to_string(&id).unwrap();
                prop_assert_eq!(serde_json::from_str::<JobId>(&json).unwrap(), id);
            } else {
                prop_assert!(serde_json::from_value::<JobId>(serde_json::Value::String(s)).is_err());
            }
        }
    }
}
