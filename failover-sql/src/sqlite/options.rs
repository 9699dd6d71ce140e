//! [`SqliteOptions`]: which file, and how to open it.

use std::path::{Path, PathBuf};

use failover_core::{ClusterName, Invalid, Result, Term};

use crate::keys::TablePrefix;
use crate::options::{decode, floor, pairs, yes_or_no};
use crate::store::SqlStore;

/// Which `SQLite` file to use, and how to open it.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use failover_core::{Backend, ClusterName};
/// use failover_sql::{SqliteOptions, TablePrefix};
///
/// let cluster = ClusterName::new("billing")?;
/// let store = SqliteOptions::new("/var/lib/billing/billing.db")
///     .prefix(TablePrefix::new("ha_")?)
///     .must_exist()
///     .open(&cluster)
///     .await?;
/// let backend = Backend::new(store.clone());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    path: PathBuf,
    prefix: TablePrefix,
    create: bool,
    term_floor: Term,
}

impl SqliteOptions {
    /// The file at this path; created if it is missing, its directory is not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), prefix: TablePrefix::default(), create: true, term_floor: Term::ZERO }
    }

    /// Reads `sqlite://relative/path.db` or `sqlite:///absolute/path.db`, with the options `prefix`, `create` and
    /// `term_floor`: `sqlite:///srv/app.db?prefix=ha_&create=false`. Other characters may be written as `%XX`.
    ///
    /// # Errors
    /// [`Invalid`] names the scheme, the option or the value, and what is possible.
    pub fn from_url(url: &str) -> Result<Self, Invalid> {
        let Some(rest) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) else {
            return Err(Invalid::new(
                "scheme",
                crate::scheme_of(url),
                "it must be `sqlite`, as in sqlite:///srv/app.db",
            ));
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = decode("path", path)?;
        if path.is_empty() || path == ":memory:" {
            let rule = "it must be the path of a file, as in sqlite:///srv/app.db; within one process use \
                        failover_core::memory";
            return Err(Invalid::new("path", path, rule));
        }
        let mut options = Self::new(path);
        for (name, value) in pairs(query)? {
            match name.as_str() {
                "prefix" => options.prefix = TablePrefix::new(value)?,
                "create" => options.create = yes_or_no(&name, &value)?,
                "term_floor" => options.term_floor = floor(&value)?,
                _ => return Err(Invalid::new("option", name, "the options are `prefix`, `create` and `term_floor`")),
            }
        }
        Ok(options)
    }

    /// Sets the prefix of the tables. Default: `failover_`.
    pub fn prefix(mut self, prefix: TablePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Refuses to create the file. For a node that joins a cluster that is known to exist, so that a mistyped path is an
    /// error and not a cluster of its own.
    pub fn must_exist(mut self) -> Self {
        self.create = false;
        self
    }

    /// Makes every later grant have a term above this one, and every job that is new to the store begin above it: for an operator
    /// who opens a store that lost what it knew (law 2). Choose it above every token in use, jobs' epochs included.
    pub fn term_floor(mut self, floor: Term) -> Self {
        self.term_floor = floor;
        self
    }

    /// Opens the file for one cluster and makes what is missing in it.
    ///
    /// # Errors
    /// Of kind [`Invalid`](failover_core::ErrorKind::Invalid) for a path that cannot be one,
    /// [`Denied`](failover_core::ErrorKind::Denied) for a file or directory that may not be written,
    /// [`Corrupt`](failover_core::ErrorKind::Corrupt) for a file that is no database,
    /// [`TooNew`](failover_core::ErrorKind::TooNew) for tables of a newer schema, [`Full`](failover_core::ErrorKind::Full) for
    /// a full disk. Nothing is left half-made.
    pub async fn open(&self, cluster: &ClusterName) -> Result<SqlStore> {
        super::open::open(self, cluster).await
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn creates(&self) -> bool {
        self.create
    }

    pub(super) fn table_prefix(&self) -> &TablePrefix {
        &self.prefix
    }

    pub(super) fn floor(&self) -> Term {
        self.term_floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_path_and_options() {
        let options = SqliteOptions::from_url("sqlite://a%20b/c.db?prefix=x_&create=false&term_floor=7").unwrap();
        let expected = SqliteOptions::new("a b/c.db").prefix(TablePrefix::new("x_").unwrap()).must_exist();
        assert_eq!(options, expected.term_floor(Term(7)));
        assert_eq!(SqliteOptions::from_url("sqlite:///srv/x.db").unwrap(), SqliteOptions::new("/srv/x.db"));
    }

    #[test]
    fn whatever_is_wrong_in_a_url_is_named_with_its_rule() {
        for (url, field, value) in [
            ("postgres://h/d", "scheme", "postgres"),
            ("sqlite://", "path", ""),
            ("sqlite://:memory:", "path", ":memory:"),
            ("sqlite:///x.db?mode=rwc", "option", "mode"),
            ("sqlite:///x.db?create=1", "create", "1"),
            ("sqlite:///x.db?create", "create", ""),
            ("sqlite:///x.db?prefix=A-", "prefix", "A-"),
            ("sqlite:///x.db?term_floor=-1", "term_floor", "-1"),
            ("sqlite:///x.db?term_floor=9007199254740992", "term_floor", "9007199254740992"),
            ("sqlite:///x%zz.db", "path", "/x%zz.db"),
            ("sqlite:///x%f", "path", "/x%f"),
            ("sqlite:///x%ff", "path", "/x%ff"),
        ] {
            let error = SqliteOptions::from_url(url).unwrap_err();
            assert_eq!((error.field.as_str(), error.value.as_str()), (field, value), "{url}");
            assert!(!error.rule.is_empty());
        }
    }
}
