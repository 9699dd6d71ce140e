//! [`MysqlOptions`]: which server and database, as whom, and how to open the store there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use failover_core::{ClusterName, Invalid, Result, Term};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::keys::TablePrefix;
use crate::options::{Address, Common, Secret};
use crate::store::SqlStore;

/// Whether connections to a server are encrypted, and what it has to show: the `ssl-mode` of the `mysql` program.
///
/// All but [`Disabled`](Self::Disabled) need the feature `tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MysqlTls {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server can, whoever it is: no protection from one who is in the way on purpose.
    Preferred,
    /// Encrypted, whoever the server is.
    Required,
    /// Encrypted, and the server's certificate is signed by an authority that is trusted.
    VerifyCa,
    /// And it is for the host that the address names.
    VerifyIdentity,
}

const MODES: [(&str, MysqlTls); 5] = [
    ("disabled", MysqlTls::Disabled),
    ("preferred", MysqlTls::Preferred),
    ("required", MysqlTls::Required),
    ("verify_ca", MysqlTls::VerifyCa),
    ("verify_identity", MysqlTls::VerifyIdentity),
];

impl MysqlTls {
    fn parse(value: &str) -> Result<Self, Invalid> {
        let mode = MODES.iter().find(|(name, _)| value.eq_ignore_ascii_case(name)).map(|(_, mode)| *mode);
        let names = MODES.map(|(name, _)| format!("`{name}`")).join(", ");
        let mode = mode.ok_or_else(|| Invalid::new("ssl-mode", value, format!("it must be one of {names}")))?;
        if mode > Self::Preferred && !cfg!(feature = "tls") {
            let rule = "this build cannot encrypt connections: enable the feature `tls`";
            return Err(Invalid::new("ssl-mode", value, rule));
        }
        Ok(mode)
    }
}

impl PartialOrd for MysqlTls {
    /// By what is asked of the server.
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}

/// Which `MySQL` or `MariaDB` server and database to use, as whom, and how to open the store there.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use failover_core::{Backend, ClusterName};
/// use failover_sql::{MysqlOptions, TablePrefix};
///
/// let store = MysqlOptions::new("db.example", "billing", "app")
///     .password(std::env::var("DB_PASSWORD")?)
///     .prefix(TablePrefix::new("ha_")?)
///     .open(&ClusterName::new("billing")?)
///     .await?;
/// let backend = Backend::new(store.clone());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlOptions {
    address: Address,
    common: Common,
    tls: MysqlTls,
    authority: Option<PathBuf>,
    volatile: bool,
}

impl MysqlOptions {
    /// The database on the server at this host, port 3306, as this user without a password.
    pub fn new(host: impl Into<String>, database: impl Into<String>, user: impl Into<String>) -> Self {
        let (host, user, database) = (host.into(), user.into(), database.into());
        Self::at(Address { host, port: 3306, user, password: None, database })
    }

    fn at(address: Address) -> Self {
        let tls = if cfg!(feature = "tls") { MysqlTls::Preferred } else { MysqlTls::Disabled };
        Self { address, common: Common::default(), tls, authority: None, volatile: false }
    }

    /// Reads `mysql://user:password@host:3306/database` (or `mariadb://…`), with the options `prefix`, `create`, `term_floor`,
    /// `timeout`, `connect_timeout`, `ssl-mode`, `ssl-ca` and `durability`. Other characters may be written as `%XX`.
    ///
    /// # Errors
    /// [`Invalid`] names the part, the option or the value, and what is possible. It never shows a password.
    pub fn from_url(url: &str) -> Result<Self, Invalid> {
        let (address, pairs) = Address::parse(url, &["mysql", "mariadb"], 3306)?;
        let mut options = Self::at(address);
        for (name, value) in pairs {
            match name.as_str() {
                "ssl-mode" => options.tls = MysqlTls::parse(&value)?,
                "ssl-ca" => options.authority = Some(value.into()),
                "durability" if value == "volatile" => options.volatile = true,
                "durability" => {
                    let rule = "the one weakness that can be accepted by name is `volatile`";
                    return Err(Invalid::new("durability", value, rule));
                }
                _ if options.common.take(&name, &value)? => {}
                _ => {
                    let rule = format!("the options are {}, `ssl-mode`, `ssl-ca` and `durability`", Common::NAMES);
                    return Err(Invalid::new("option", name, rule));
                }
            }
        }
        Ok(options)
    }

    /// Sets the port. Default: 3306.
    pub fn port(mut self, port: u16) -> Self {
        self.address.port = port;
        self
    }

    /// Sets the password. It is shown nowhere.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.address.password = Some(Secret::new(password));
        self
    }

    /// Sets the prefix of the tables. Default: `failover_`.
    pub fn prefix(mut self, prefix: TablePrefix) -> Self {
        self.common.prefix = prefix;
        self
    }

    /// Refuses to make the tables. For a node that joins a cluster that is known to exist, and for an account that may not.
    pub fn must_exist(mut self) -> Self {
        self.common.create = false;
        self
    }

    /// Makes every later grant have a term above this one, and every job that is new to the store begin above it: for an operator
    /// who opens a store that lost what it knew, or that has moved to another server (law 2). Choose it above every token in
    /// use, jobs' epochs included.
    pub fn term_floor(mut self, floor: Term) -> Self {
        self.common.term_floor = floor;
        self
    }

    /// Sets the longest one call may take by itself. Default: five seconds. A node drops its calls sooner.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.common.timeout = timeout;
        self
    }

    /// Sets the longest it may take to connect. Default: two seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.common.connect_timeout = timeout;
        self
    }

    /// Sets whether connections are encrypted. Default: [`MysqlTls::Preferred`] with the feature `tls`.
    pub fn tls(mut self, tls: MysqlTls) -> Self {
        self.tls = tls;
        self
    }

    /// Trusts this authority (a PEM file) instead of those that the machine trusts.
    pub fn authority(mut self, certificate: impl Into<PathBuf>) -> Self {
        self.authority = Some(certificate.into());
        self
    }

    /// Accepts a server that acknowledges what it has not flushed to disk (`innodb_flush_log_at_trx_commit` other than 1). Its power
    /// cut may take terms back that were granted; it then declares itself [`Volatile`](failover_core::Durability::Volatile).
    /// In an address: `durability=volatile`.
    pub fn accept_volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Opens the store for one cluster and makes what is missing in the database.
    ///
    /// # Errors
    /// Of kind [`Unavailable`](failover_core::ErrorKind::Unavailable) if the server cannot be reached,
    /// [`Denied`](failover_core::ErrorKind::Denied) for a wrong password, missing rights, a server that is read-only or
    /// cannot show by TLS who it is, [`Invalid`](failover_core::ErrorKind::Invalid) for a database that does not exist and for
    /// settings of the server that this store cannot work with, naming them,
    /// [`StoreChanged`](failover_core::ErrorKind::StoreChanged) for a store that was last used on another server,
    /// [`TooNew`](failover_core::ErrorKind::TooNew) for tables of a newer schema.
    pub async fn open(&self, cluster: &ClusterName) -> Result<SqlStore> {
        super::open::open(self, cluster).await
    }

    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    pub(super) fn accepts_volatile(&self) -> bool {
        self.volatile
    }

    /// The certificate file to trust, if one is named.
    pub(super) fn authority_file(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// As the driver takes them. What a session is told beyond that is ours to say, so that it is one round trip.
    pub(super) fn driver(&self) -> MySqlConnectOptions {
        let Address { host, port, user, password, database } = &self.address;
        let mode = match self.tls {
            MysqlTls::Disabled => MySqlSslMode::Disabled,
            MysqlTls::Preferred => MySqlSslMode::Preferred,
            MysqlTls::Required => MySqlSslMode::Required,
            MysqlTls::VerifyCa => MySqlSslMode::VerifyCa,
            MysqlTls::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        };
        let mut driver =
            MySqlConnectOptions::new().host(host).port(*port).username(user).database(database).ssl_mode(mode);
        if let Some(password) = password {
            driver = driver.password(password.reveal());
        }
        if let Some(authority) = &self.authority {
            driver = driver.ssl_ca(authority);
        }
        let driver = driver.pipes_as_concat(false).no_engine_substitution(false).timezone(None).set_names(false);
        // Neither statements nor what is slow about them: hosts see our own events.
        driver.disable_statement_logging()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_options() {
        let url = "mariadb://u%40x:p%2Fw@h:77/d?prefix=x_&create=false&term_floor=7&timeout=900&durability=volatile";
        let options = MysqlOptions::from_url(url).unwrap();
        let expected = MysqlOptions::new("h", "d", "u@x")
            .port(77)
            .password("p/w")
            .prefix(TablePrefix::new("x_").unwrap())
            .must_exist()
            .term_floor(Term(7))
            .timeout(Duration::from_millis(900))
            .accept_volatile();
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_is_shown() {
        for (options, field) in [
            ("ssl-mode=maybe", "ssl-mode"),
            ("sslmode=required", "option"),
            ("durability=quorum", "durability"),
            ("timeout=0", "timeout"),
        ] {
            let error = MysqlOptions::from_url(&format!("mysql://u:canary@h/d?{options}")).unwrap_err();
            assert_eq!(error.field, field);
            assert!(!format!("{error:?} {error}").contains("canary"), "{error}");
        }
        let options = MysqlOptions::from_url("mysql://u:canary@h/d").unwrap();
        assert!(!format!("{options:?}").contains("canary"), "{options:?}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_mode_is_read_as_the_mysql_program_writes_it() {
        let options = MysqlOptions::from_url("mysql://u@h/d?ssl-mode=VERIFY_IDENTITY&ssl-ca=/etc/ca.pem").unwrap();
        assert_eq!(options, MysqlOptions::new("h", "d", "u").tls(MysqlTls::VerifyIdentity).authority("/etc/ca.pem"));
    }
}
