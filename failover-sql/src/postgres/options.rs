//! [`PostgresOptions`]: which server, and how to use it.

use std::path::PathBuf;
use std::time::Duration;

use failover_core::{ClusterName, Invalid, Result, Term};

use crate::keys::TablePrefix;
use crate::options::{Address, Common};
use crate::store::SqlStore;

/// Which `PostgreSQL` server and database to use, and how.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use failover_core::{Backend, ClusterName};
/// use failover_sql::PostgresOptions;
///
/// let options = PostgresOptions::from_url("postgres://app:secret@db.example/app?sslmode=verify-full")?;
/// let store = options.timeout(Duration::from_secs(2)).open(&ClusterName::new("billing")?).await?;
/// let backend = Backend::new(store.clone());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    pub(super) address: Address,
    pub(super) common: Common,
    pub(super) tls: Tls,
    pub(super) pooler: Pooler,
    pub(super) promotion: Promotion,
}

/// Whether there is a pooler between this node and the server, such as `PgBouncer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Pooler {
    /// Finds out: each connection asks for a setting of its own, which no transaction-mode pooler passes on.
    #[default]
    Auto,
    /// There is none, or one that gives each client a server connection of its own.
    None,
    /// There is one in transaction mode. Nothing is kept in a session, statements are not prepared by name, and there are no
    /// hints, so that waiting nodes poll.
    Transaction,
}

/// What to make of a new timeline: a replica was promoted, or a backup recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Promotion {
    /// It may lack what was granted last: `StoreChanged`, until it is opened with a higher term floor.
    #[default]
    Refuse,
    /// The replicas are synchronous and only one that has everything is ever promoted: go on. Counters that went back are noticed
    /// all the same.
    Accept,
}

/// How the connection is secured, as libpq names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) mode: String,
    pub(super) root: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

const MODES: &[&str] = &["disable", "prefer", "require", "verify-ca", "verify-full"];

impl PostgresOptions {
    /// Reads `postgres://user:password@host:port/database`, with the options of the README:
    /// `?prefix=ha_&timeout=2000&sslmode=verify-full`. Other characters are written as `%XX`.
    ///
    /// # Errors
    /// [`Invalid`] names the part, the option or the value, and what is possible; never the password.
    pub fn from_url(url: &str) -> Result<Self, Invalid> {
        let (address, pairs) = Address::parse(url, &["postgres", "postgresql"], 5432)?;
        let tls = Tls { mode: "prefer".into(), root: None, certificate: None, key: None };
        let (pooler, promotion) = (Pooler::default(), Promotion::default());
        let mut options = Self { address, common: Common::default(), tls, pooler, promotion };
        for (name, value) in pairs {
            if options.common.take(&name, &value)? {
                continue;
            }
            match name.as_str() {
                "sslmode" => options.tls.mode = tls_mode(value)?,
                "sslrootcert" => options.tls.root = Some(value.into()),
                "sslcert" => options.tls.certificate = Some(value.into()),
                "sslkey" => options.tls.key = Some(value.into()),
                "pooler" => {
                    options.pooler = match value.as_str() {
                        "auto" => Pooler::Auto,
                        "none" => Pooler::None,
                        "transaction" => Pooler::Transaction,
                        _ => {
                            return Err(Invalid::new(name, value, "it must be `auto`, `none` or `transaction`"));
                        }
                    }
                }
                "promotion" => {
                    options.promotion = match value.as_str() {
                        "refuse" => Promotion::Refuse,
                        "accept" => Promotion::Accept,
                        _ => return Err(Invalid::new(name, value, "it must be `refuse` or `accept`")),
                    }
                }
                _ => {
                    let own = "`sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `pooler` and `promotion`";
                    return Err(Invalid::new("option", name, format!("the options are {}, {own}", Common::NAMES)));
                }
            }
        }
        Ok(options)
    }

    /// Sets the prefix of the tables. Default: `failover_`.
    pub fn prefix(mut self, prefix: TablePrefix) -> Self {
        self.common.prefix = prefix;
        self
    }

    /// Refuses to make tables. For a node that joins a cluster that is known to exist.
    pub fn must_exist(mut self) -> Self {
        self.common.create = false;
        self
    }

    /// Makes every later grant have a term above this one, and every job that is new to the store begin above it: for an operator
    /// who opens a store that lost what it knew (law 2). Choose it above every token in use, jobs' epochs included.
    pub fn term_floor(mut self, floor: Term) -> Self {
        self.common.term_floor = floor;
        self
    }

    /// Sets the longest one call may take by itself. Default: five seconds. The server gives up on a statement, and on a
    /// transaction nobody goes on with, after the same time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.common.timeout = timeout;
        self
    }

    /// Sets the longest it may take to connect. Default: two seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.common.connect_timeout = timeout;
        self
    }

    /// Says whether there is a pooler. Default: it is found out.
    pub fn pooler(mut self, pooler: Pooler) -> Self {
        self.pooler = pooler;
        self
    }

    /// Says what to make of a promoted replica. Default: it is refused.
    pub fn promotion(mut self, promotion: Promotion) -> Self {
        self.promotion = promotion;
        self
    }

    /// Opens the database for one cluster and makes what is missing in it. Any number of processes may do that at once.
    ///
    /// # Errors
    /// Of kind [`Denied`](failover_core::ErrorKind::Denied) for a wrong password, missing rights or an untrusted certificate,
    /// [`Invalid`](failover_core::ErrorKind::Invalid) for a database that is not there,
    /// [`Unavailable`](failover_core::ErrorKind::Unavailable) for a server that is not reached or is a standby,
    /// [`TooNew`](failover_core::ErrorKind::TooNew) for tables of a newer schema,
    /// [`StoreChanged`](failover_core::ErrorKind::StoreChanged) for tables that were restored or promoted: give a term floor
    /// above the one they have.
    pub async fn open(&self, cluster: &ClusterName) -> Result<SqlStore> {
        super::open::open(self, cluster).await
    }
}

fn tls_mode(mode: String) -> Result<String, Invalid> {
    if !MODES.contains(&mode.as_str()) {
        return Err(Invalid::new("sslmode", mode, format!("it must be one of {}", MODES.join(", "))));
    }
    if !cfg!(feature = "tls") && !matches!(mode.as_str(), "disable" | "prefer") {
        return Err(Invalid::new("sslmode", mode, "this build has no TLS: enable failover-sql's feature `tls`"));
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_options() {
        let url = "postgres://u:p@h/d?prefix=x_&create=false&term_floor=7&timeout=100&pooler=none&promotion=accept";
        let expected = PostgresOptions::from_url("postgres://u:p@h:5432/d").unwrap();
        let expected = expected.prefix(TablePrefix::new("x_").unwrap()).must_exist().term_floor(Term(7));
        let expected = expected.timeout(Duration::from_millis(100)).pooler(Pooler::None).promotion(Promotion::Accept);
        assert_eq!(PostgresOptions::from_url(url).unwrap(), expected);
    }

    #[test]
    fn whatever_is_wrong_in_a_url_is_named_with_its_rule() {
        for (option, field, value) in [
            ("sslmode=maybe", "sslmode", "maybe"),
            ("pooler=session", "pooler", "session"),
            ("promotion=", "promotion", ""),
            ("application_name=x", "option", "application_name"),
            ("timeout=0", "timeout", "0"),
        ] {
            let error = PostgresOptions::from_url(&format!("postgres://u:canary@h/d?{option}")).unwrap_err();
            assert_eq!((error.field.as_str(), error.value.as_str()), (field, value));
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn options_never_show_their_password() {
        let options = PostgresOptions::from_url("postgres://u:canary@h/d").unwrap();
        assert!(!format!("{options:?}").contains("canary"), "{options:?}");
    }
}
