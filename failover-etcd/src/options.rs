//! [`EtcdOptions`]: which servers, and how to reach them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use failover_core::lease::MAX_FLOOR;
use failover_core::{ClusterName, Invalid, Result, Term};
use percent_encoding::percent_decode_str;

use crate::keys::KeyPrefix;
use crate::store::EtcdStore;

/// The port of an etcd server that is given without one.
const DEFAULT_PORT: u16 = 2379;

/// Which etcd servers to use, and how to reach them.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use failover_core::{Backend, ClusterName};
/// use failover_etcd::{EtcdOptions, KeyPrefix};
///
/// let store = EtcdOptions::from_url("etcd://e1:2379,e2:2379,e3:2379")?
///     .user("billing", std::fs::read_to_string("/run/secrets/etcd")?)
///     .prefix(KeyPrefix::new("services/failover")?)
///     .timeout(Duration::from_secs(3))
///     .open(&ClusterName::new("billing")?)
///     .await?;
/// let backend = Backend::new(store.clone());
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    pub(crate) endpoints: Vec<String>,
    pub(crate) tls: bool,
    pub(crate) user: Option<(String, String)>,
    pub(crate) prefix: KeyPrefix,
    pub(crate) create: bool,
    pub(crate) term_floor: Term,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) domain: Option<String>,
}

impl EtcdOptions {
    /// Reads `etcd://host:port,host:port` (or `etcds://` for TLS), with `user:password@` before the hosts if users are required.
    ///
    /// Options, behind a `?` and joined by `&`: `prefix`, `create` (`true` or `false`), `term_floor`, `timeout` and
    /// `connect_timeout` (milliseconds); with TLS also `ca`, `cert` and `key` (paths of PEM files) and `domain`. Any part may be
    /// written with `%XX`.
    ///
    /// # Errors
    /// [`Invalid`] names the part, its value and what is possible; never the password.
    pub fn from_url(url: &str) -> Result<Self, Invalid> {
        let (tls, rest) = match (url.strip_prefix("etcd://"), url.strip_prefix("etcds://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => {
                let rule = "it must be `etcd` or `etcds`, as in etcd://e1:2379,e2:2379,e3:2379";
                return Err(Invalid::new("scheme", crate::scheme_of(url), rule));
            }
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, hosts) = place.rsplit_once('@').map_or((None, place), |(user, hosts)| (Some(user), hosts));
        let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
        let endpoints = hosts.split(',').map(endpoint).collect::<Result<Vec<_>, _>>()?;
        let mut options = Self {
            endpoints,
            tls,
            user: None,
            prefix: KeyPrefix::default(),
            create: true,
            term_floor: Term::ZERO,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            ca: None,
            cert: None,
            key: None,
            domain: None,
        };
        if let Some((name, password)) = user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            let secret =
                |_| Invalid::new("password", "…", "after `%` come two hexadecimal digits, and it must be UTF-8");
            let name = decode("user", name)?;
            if name.is_empty() {
                return Err(Invalid::new("user", "", "a name comes before the `:` of user:password@"));
            }
            options.user = Some((name, decode("password", password).map_err(secret)?));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(name, decode(name, value)?)?;
        }
        options.checked()
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Invalid> {
        let file = |value: String| if value.is_empty() { None } else { Some(PathBuf::from(value)) };
        match name {
            "prefix" => self.prefix = KeyPrefix::new(value)?,
            "create" => {
                self.create = match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(Invalid::new("create", value, "it must be `true` or `false`")),
                }
            }
            "term_floor" => {
                let floor = value.parse().ok().map(Term).filter(|floor| *floor <= MAX_FLOOR);
                let rule = || Invalid::new("term_floor", &value, format!("it must be a number from 0 to {MAX_FLOOR}"));
                self.term_floor = floor.ok_or_else(rule)?;
            }
            "timeout" => self.timeout = millis(name, &value)?,
            "connect_timeout" => self.connect_timeout = millis(name, &value)?,
            "ca" => self.ca = file(value),
            "cert" => self.cert = file(value),
            "key" => self.key = file(value),
            "domain" => self.domain = Some(value),
            _ => {
                let rule = "the options are `prefix`, `create`, `term_floor`, `timeout`, `connect_timeout`, \
                            and for etcds:// `ca`, `cert`, `key` and `domain`";
                return Err(Invalid::new("option", name, rule));
            }
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, Invalid> {
        let only_tls = [("ca", self.ca.is_some()), ("cert", self.cert.is_some()), ("domain", self.domain.is_some())];
        if let Some((option, _)) = only_tls.into_iter().find(|(_, given)| *given && !self.tls) {
            return Err(Invalid::new("option", option, "it is for TLS: write etcds:// in place of etcd://"));
        }
        if self.cert.is_some() != self.key.is_some() {
            let (given, missing) = if self.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            return Err(Invalid::new("option", given, format!("`{missing}` has to be given too")));
        }
        if self.tls && !cfg!(feature = "tls") {
            return Err(Invalid::new("scheme", "etcds", "this build has no TLS: enable the feature `tls`"));
        }
        Ok(self)
    }

    /// Sets the user and its password.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Sets below which key everything is kept. Default: `failover`.
    pub fn prefix(mut self, prefix: KeyPrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Refuses to begin a cluster that is not there. For a node that joins one that is known to exist, so that a mistyped
    /// address or prefix is an error and not a cluster of its own.
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

    /// Sets the longest that one call may take by itself; the callers' own deadlines end it sooner. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long one server has to take a connection before the next one is tried. Default: 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Opens the store for one cluster and makes what is missing in it.
    ///
    /// # Errors
    /// Of kind [`Invalid`](failover_core::ErrorKind::Invalid) for a file that cannot be read or a floor that is too high,
    /// [`Unavailable`](failover_core::ErrorKind::Unavailable) if no server answers, or the cluster
    /// [must exist](Self::must_exist) and does not, [`Denied`](failover_core::ErrorKind::Denied) for a wrong password or missing
    /// rights, [`TooNew`](failover_core::ErrorKind::TooNew) for a cluster that a later build has begun.
    pub async fn open(&self, cluster: &ClusterName) -> Result<EtcdStore> {
        crate::open::open(self, cluster).await
    }
}

impl fmt::Debug for EtcdOptions {
    /// Without the password (law 19).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("EtcdOptions");
        shown.field("endpoints", &self.endpoints).field("tls", &self.tls);
        shown.field("user", &self.user.as_ref().map(|(name, _)| name)).field("prefix", &self.prefix);
        shown.field("create", &self.create).field("term_floor", &self.term_floor);
        shown.field("timeout", &self.timeout).field("connect_timeout", &self.connect_timeout);
        shown.field("ca", &self.ca).field("cert", &self.cert).field("key", &self.key).field("domain", &self.domain);
        shown.finish()
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port` as `host:port`.
fn endpoint(text: &str) -> Result<String, Invalid> {
    let rule = "it must be a host, with its port if that is not 2379, as in e1:2379 or [::1]:2379";
    let invalid = || Invalid::new("host", text, rule);
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => (format!("[{v6}]"), rest),
        Some(_) => return Err(invalid()),
        None => {
            let (host, port) = text.find(':').map_or((text, ""), |at| text.split_at(at));
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            if host.is_empty() || !host.bytes().all(plain) {
                return Err(invalid());
            }
            (host.to_owned(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => DEFAULT_PORT,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?,
        None => return Err(invalid()),
    };
    Ok(format!("{host}:{port}"))
}

fn millis(field: &str, value: &str) -> Result<Duration, Invalid> {
    let millis = value.parse().ok().filter(|ms| (1..=600_000).contains(ms)).map(Duration::from_millis);
    millis.ok_or_else(|| Invalid::new(field, value, "it must be a number of milliseconds from 1 to 600000"))
}

fn decode(field: &str, text: &str) -> Result<String, Invalid> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| Invalid::new(field, text, "what `%XX` stands for must be UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_user_hosts_and_options() {
        let url = "etcd://us%40er:p%3Aw%2F@e1,e2:9,[::1]:7,[::2]/?prefix=a/b&term_floor=7&timeout=800&connect_timeout=90&create=false";
        let options = EtcdOptions::from_url(url).unwrap();
        assert_eq!(options.endpoints, ["e1:2379", "e2:9", "[::1]:7", "[::2]:2379"]);
        assert_eq!(options.user, Some(("us@er".into(), "p:w/".into())));
        assert_eq!((options.prefix.as_str(), options.term_floor, options.create), ("a/b", Term(7), false));
        assert_eq!((options.timeout, options.connect_timeout), (Duration::from_millis(800), Duration::from_millis(90)));
        assert!(!format!("{options:?}").contains("p:w"), "{options:?}");
    }

    #[test]
    fn whatever_is_wrong_in_a_url_is_named_with_its_rule_and_without_its_password() {
        for (url, field, value) in [
            ("redis://u:canary@h", "scheme", "redis"),
            ("etcd://", "host", ""),
            ("etcd://u:canary@", "host", ""),
            ("etcd://u:canary@a,,b", "host", ""),
            ("etcd://:canary@a", "user", ""),
            ("etcd://u:canary%ff@a", "password", "…"),
            ("etcd://u:canary@a:0", "host", "a:0"),
            ("etcd://u:canary@a:99999", "host", "a:99999"),
            ("etcd://u:canary@a b", "host", "a b"),
            ("etcd://u:canary@a/path", "host", "a/path"),
            ("etcd://u:canary@[::1", "host", "[::1"),
            ("etcd://u:canary@a?db=1", "option", "db"),
            ("etcd://u:canary@a?timeout=0", "timeout", "0"),
            ("etcd://u:canary@a?connect_timeout=1s", "connect_timeout", "1s"),
            ("etcd://u:canary@a?create=1", "create", "1"),
            ("etcd://u:canary@a?prefix=a b", "prefix", "a b"),
            ("etcd://u:canary@a?term_floor=-1", "term_floor", "-1"),
            ("etcd://u:canary@a?ca=/x", "option", "ca"),
        ] {
            let error = EtcdOptions::from_url(url).unwrap_err();
            assert_eq!((error.field.as_str(), error.value.as_str()), (field, value), "{url}");
            assert!(!error.rule.is_empty() && !format!("{error:?}{error}").contains("canary"), "{error:?}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_certificate_needs_its_key() {
        let error = EtcdOptions::from_url("etcds://a?cert=/c").unwrap_err();
        assert!(error.rule.contains("`key`"), "{error}");
    }
}
