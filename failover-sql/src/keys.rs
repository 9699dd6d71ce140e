//! What things are called in the database: the tables under their prefix, and the areas of the change hints.

use std::fmt;

use failover_core::{Invalid, LeaseName, StateKey};

/// The prefix of all tables of this crate, so that they share a database with a host's own: `[a-z_][a-z0-9_]{0,30}`.
///
/// It is the only text that is ever written into a statement; everything else is bound (law 18).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TablePrefix(String);

impl TablePrefix {
    /// Parses and validates.
    ///
    /// # Errors
    /// [`Invalid`] names the value and the rule.
    pub fn new(prefix: impl Into<String>) -> Result<Self, Invalid> {
        let prefix = prefix.into();
        let first = prefix.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let all = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if first && all && prefix.len() <= 31 && !prefix.starts_with("sqlite_") {
            Ok(Self(prefix))
        } else {
            let rule =
                "it must be 1 to 31 characters of a-z, 0-9 and `_`, not begin with a digit and not with `sqlite_`";
            Err(Invalid::new("prefix", prefix, rule))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TablePrefix {
    /// `failover_`.
    fn default() -> Self {
        Self("failover_".into())
    }
}

impl fmt::Display for TablePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Every table of the schema, as statements name it in braces.
pub(crate) const TABLES: &[&str] =
    &["meta", "clusters", "hints", "heartbeats", "leases", "fences", "jobs", "removed", "documents"];

/// The area of changes that [`HeartbeatStore::changed`](failover_core::HeartbeatStore::changed) waits for.
pub(crate) const BEATS: &str = "beats";
/// The area of changes that [`JobAssigner::changed`](failover_core::JobAssigner::changed) waits for, and of its fences.
pub(crate) const JOBS: &str = "jobs";
/// The area of the fences of shared documents.
pub(crate) const STATE: &str = "state";

/// The area of one lease's grants and releases.
pub(crate) fn lease_area(name: &LeaseName) -> String {
    format!("lease/{name}")
}

/// The area of the documents that share the first part of their keys. Coarser than `changed(prefix)`, which may therefore
/// complete for nothing; finer than one for all, so that a busy journal does not wake whoever watches the configuration.
pub(crate) fn state_area(key: &StateKey) -> String {
    let first = key.as_str().split('/').next().unwrap_or_default();
    format!("{STATE}/{first}")
}

/// Puts the tables' names into a statement.
pub(crate) fn render_tables(prefix: &TablePrefix, template: &str) -> String {
    TABLES
        .iter()
        .fold(template.to_owned(), |sql, table| sql.replace(&format!("{{{table}}}"), &format!("{prefix}{table}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_checked_because_it_is_the_one_text_inside_a_statement() {
        for good in ["failover_", "a", "_x9", &"p".repeat(31)] {
            assert_eq!(TablePrefix::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "9a", "A", "a-b", "a b", "a;drop", "ä", "\"", "sqlite_x", &"p".repeat(32)] {
            let error = TablePrefix::new(bad).unwrap_err();
            assert_eq!((error.field.as_str(), error.value.as_str()), ("prefix", bad));
        }
    }

    #[test]
    fn the_area_of_a_prefix_is_that_of_every_key_below_it() {
        let key = |s| StateKey::new(s).unwrap();
        assert_eq!(state_area(&key("a/b/c")), state_area(&key("a")));
        assert_ne!(state_area(&key("a")), state_area(&key("ab")));
    }
}
