//! [`RedisOptions`]: which servers, and how to use them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use failover_core::lease::MAX_FLOOR;
use failover_core::{ClusterName, Durability, Invalid, Result, Term};

use crate::keys::KeyPrefix;
use crate::store::RedisStore;

/// Which Redis servers to use, and how.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use failover_core::{Backend, ClusterName};
/// use failover_redis::RedisOptions;
///
/// let store = RedisOptions::from_url("redis+sentinel://s1,s2,s3/main")?
///     .credentials(Some("billing"), std::env::var("REDIS_PASSWORD")?)
///     .wait(1) // every grant is on a replica before it counts
///     .open(&ClusterName::new("billing")?)
///     .await?;
/// let backend = Backend::new(store);
/// # Ok(()) }
/// ```
///
/// `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub(crate) servers: Servers,
    pub(crate) addresses: Vec<Address>,
    pub(crate) login: Login,
    pub(crate) database: u32,
    pub(crate) tls: Option<Tls>,
    pub(crate) prefix: KeyPrefix,
    pub(crate) create: bool,
    pub(crate) term_floor: Term,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) accepted: Option<Durability>,
    pub(crate) wait: u32,
}

/// How the server that holds the data is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    /// It is the one at the address.
    Single,
    /// The Sentinels at the addresses know.
    Sentinel { service: String, login: Login },
    /// The nodes at the addresses know.
    Cluster,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Who we are to a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Login {
    /// Without the password (law 19).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Login").field("user", &self.user).field("password", &password).finish()
    }
}

/// What encrypted connections need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Whom to trust; the machine's own roots if there is none.
    pub(crate) authority: Option<PathBuf>,
    /// Our certificate and its key, for a server that asks.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl RedisOptions {
    pub(crate) fn new(servers: Servers, addresses: Vec<Address>) -> Self {
        Self {
            servers,
            addresses,
            login: Login::default(),
            database: 0,
            tls: None,
            prefix: KeyPrefix::default(),
            create: true,
            term_floor: Term::ZERO,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            accepted: None,
            wait: 0,
        }
    }

    /// Reads an address, such as `redis://user:password@host:6379/0?prefix=ha:`, `redis+sentinel://s1,s2,s3/main` or
    /// `redis+cluster://c1,c2,c3`; with `rediss` for encrypted connections. The README lists all options.
    /// Characters that an address gives a meaning to are written as `%XX`, also in a password.
    ///
    /// # Errors
    /// [`Invalid`] names the part or the option, its value (never a password's), and what is possible.
    pub fn from_url(url: &str) -> Result<Self, Invalid> {
        crate::url::parse(url)
    }

    /// Sets the user (nobody: the server's `default`) and its password.
    pub fn credentials(mut self, user: Option<&str>, password: impl Into<String>) -> Self {
        self.login = Login { user: user.map(str::to_owned), password: Some(password.into()) };
        self
    }

    /// Sets the prefix of all keys and of the channel. Default: `failover:`.
    pub fn prefix(mut self, prefix: KeyPrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Refuses to make the cluster. For a node that joins one that is known to exist, so that a mistyped address is an
    /// error and not a cluster of its own.
    pub fn must_exist(mut self) -> Self {
        self.create = false;
        self
    }

    /// Makes every later grant have a term above this one, and every job that is new to the store begin above it: for an operator
    /// who opens a store that lost what it knew (law 2). Choose it above every token in use, jobs' epochs included.
    ///
    /// # Errors
    /// [`Invalid`] if it is above [`MAX_FLOOR`].
    pub fn term_floor(mut self, floor: Term) -> Result<Self, Invalid> {
        if floor > MAX_FLOOR {
            return Err(Invalid::new("term_floor", floor, format!("it must be a number from 0 to {MAX_FLOOR}")));
        }
        self.term_floor = floor;
        Ok(self)
    }

    /// Sets the longest one call may take by itself, connecting included. Default: 5 s. A node's own calls end sooner, by
    /// its [`Timing`](failover_core::Timing).
    ///
    /// # Errors
    /// [`Invalid`] if it is zero.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self, Invalid> {
        self.timeout = positive("timeout", timeout)?;
        Ok(self)
    }

    /// Sets the longest one attempt to connect may take. Default: 2 s.
    ///
    /// # Errors
    /// [`Invalid`] if it is zero.
    pub fn connect_timeout(mut self, timeout: Duration) -> Result<Self, Invalid> {
        self.connect_timeout = positive("connect_timeout", timeout)?;
        Ok(self)
    }

    /// Accepts, by its name, that what the server acknowledges survives no more than this. Without it, and without
    /// [`wait`](Self::wait), leases are granted only on a server that has every write on disk before it answers
    /// (`appendonly yes`, `appendfsync always`) and that no replica can take the place of.
    ///
    /// It is also what [`durability`](failover_core::LeaseManager::durability) then tells.
    ///
    /// # Errors
    /// [`Invalid`] unless it is [`Volatile`](Durability::Volatile), [`AsyncReplica`](Durability::AsyncReplica) or
    /// [`SingleNode`](Durability::SingleNode): the stronger ones are had by [`wait`](Self::wait).
    pub fn accept(mut self, durability: Durability) -> Result<Self, Invalid> {
        match durability {
            Durability::Volatile | Durability::AsyncReplica | Durability::SingleNode => {
                self.accepted = Some(durability);
            }
            other => return Err(Invalid::new("durability", format!("{other:?}"), crate::url::DURABILITIES)),
        }
        Ok(self)
    }

    /// Lets no grant, renewal, job or document count before this many replicas have it (`WAIT`). Use the number of replicas that may be
    /// promoted. Zero, the default, waits for none.
    pub fn wait(mut self, replicas: u32) -> Self {
        self.wait = replicas;
        self
    }

    /// Trusts the authorities in this file (PEM), and no others, for encrypted connections.
    pub fn trust(mut self, authority: impl Into<PathBuf>) -> Self {
        self.tls.get_or_insert_default().authority = Some(authority.into());
        self
    }

    /// Connects for one cluster and makes what is missing.
    ///
    /// # Errors
    /// Of kind [`Unavailable`](failover_core::ErrorKind::Unavailable) if no server that can serve is reached in time,
    /// [`Denied`](failover_core::ErrorKind::Denied) for a wrong password or missing rights,
    /// [`Invalid`](failover_core::ErrorKind::Invalid) for a certificate that cannot be read and for what
    /// [`must_exist`](Self::must_exist) refuses, [`TooNew`](failover_core::ErrorKind::TooNew) for a cluster of a newer format.
    pub async fn open(&self, cluster: &ClusterName) -> Result<RedisStore> {
        RedisStore::open(self, cluster).await
    }
}

fn positive(field: &str, timeout: Duration) -> Result<Duration, Invalid> {
    if timeout.is_zero() {
        return Err(Invalid::new(field, "0", "it must be at least a millisecond"));
    }
    Ok(timeout)
}
