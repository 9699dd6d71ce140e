//! An address that was read and not gone to.

use std::time::Duration;

use failover_core::{Backend, ClusterName, Invalid, Result};
#[cfg(feature = "sqlite")]
use failover_core::{Error, ErrorKind};

use crate::scheme::{self, By};

/// What an address says, for the backend that serves it.
#[derive(Clone)]
pub(crate) enum Address {
    #[cfg(feature = "sqlite")]
    Sqlite(failover_sql::SqliteOptions),
    #[cfg(feature = "postgres")]
    Postgres(failover_sql::PostgresOptions),
    #[cfg(feature = "mysql")]
    Mysql(failover_sql::MysqlOptions),
    #[cfg(feature = "redis")]
    Redis(failover_redis::RedisOptions),
    #[cfg(feature = "etcd")]
    Etcd(failover_etcd::EtcdOptions),
}

/// What a store of a kind says of itself when it has just been opened, as it usually is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usual {
    /// The shortest ttl it keeps.
    pub(crate) least_ttl: Duration,
    /// By how much a lease may outlast its ttl.
    pub(crate) slack: Duration,
}

impl Address {
    /// Reads it; nothing is asked of anybody.
    pub(crate) fn read(url: &str) -> Result<Self, Invalid> {
        match scheme::backend_of(url)? {
            #[cfg(feature = "sqlite")]
            By::Sqlite => failover_sql::SqliteOptions::from_url(url).map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            By::Postgres => failover_sql::PostgresOptions::from_url(url).map(Self::Postgres),
            #[cfg(feature = "mysql")]
            By::Mysql => failover_sql::MysqlOptions::from_url(url).map(Self::Mysql),
            #[cfg(feature = "redis")]
            By::Redis => failover_redis::RedisOptions::from_url(url).map(Self::Redis),
            #[cfg(feature = "etcd")]
            By::Etcd => failover_etcd::EtcdOptions::from_url(url).map(Self::Etcd),
            #[allow(unreachable_patterns, reason = "reachable unless every backend is built in")]
            by => unreachable!("{by:?} is not built in, and was not offered"),
        }
    }

    /// Opens the store.
    pub(crate) async fn open(&self, cluster: &ClusterName) -> Result<Backend> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref options) => options.open(cluster).await.map(Backend::new),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref options) => options.open(cluster).await.map(Backend::new),
            #[cfg(feature = "mysql")]
            Self::Mysql(ref options) => options.open(cluster).await.map(Backend::new),
            #[cfg(feature = "redis")]
            Self::Redis(ref options) => options.open(cluster).await.map(Backend::new),
            #[cfg(feature = "etcd")]
            Self::Etcd(ref options) => options.open(cluster).await.map(Backend::new),
        }
    }

    /// Opens the store as one that may be away. A file that is not there is away as well: its file system may be mounted later.
    pub(crate) async fn open_if_there(&self, cluster: &ClusterName) -> Result<Backend> {
        let opened = self.open(cluster).await;
        #[cfg(feature = "sqlite")]
        if let (Self::Sqlite(options), Err(error)) = (self, &opened)
            && error.kind() == ErrorKind::Invalid
            && is_missing(options.path().to_owned()).await
        {
            let message = "there is no such file, unless its file system is mounted later";
            return Err(Error::new(ErrorKind::Unavailable, "open", message).with_source(error.clone()));
        }
        opened
    }

    /// What the store will say of itself. Only etcd's depends on how its servers are set up.
    pub(crate) fn usual(&self) -> Usual {
        let least = |millis| Usual { least_ttl: Duration::from_millis(millis), slack: Duration::ZERO };
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => least(1),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => least(1),
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => least(1),
            #[cfg(feature = "redis")]
            Self::Redis(_) => least(10),
            #[cfg(feature = "etcd")]
            Self::Etcd(_) => Usual { slack: Duration::from_secs(8), ..least(2000) },
        }
    }
}

#[cfg(feature = "sqlite")]
async fn is_missing(path: std::path::PathBuf) -> bool {
    let look = move || matches!(std::fs::metadata(path), Err(error) if error.kind() == std::io::ErrorKind::NotFound);
    tokio::task::spawn_blocking(look).await.unwrap_or(false)
}
