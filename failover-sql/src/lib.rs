//! The traits of [`failover_core`] on SQL databases: `SQLite`, embedded (feature `sqlite`, the default), `PostgreSQL` (`postgres`),
//! `MySQL` and `MariaDB` (`mysql`).
//!
//! Any number of nodes open the same database; of a `SQLite` file, those of one host. Each gets all four stores: who seems alive, who may act, who runs
//! what, and what the nodes share.
//!
//! ```text
//!   process a ─┐                       ┌─ heartbeats, renewals   (their own connection, not flushed one by one)
//!   process b ─┼─▶ SqlStore ─▶ app.db ─┼─ grants, jobs, documents   (flushed: a term survives a power cut)
//!   process c ─┘      ▲                └─ hints ──┐
//!                     └──── inotify ──────────────┘
//! ```
//!
//! ```
//! use std::time::Duration;
//! use failover_core::lease::Acquired;
//! use failover_core::{ClusterName, Incarnation, LeaseName, Member, NodeId};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let url = format!("sqlite://{}", directory.path().join("app.db").display());
//! // let url = "sqlite:///var/lib/app/app.db";
//! let backend = failover_sql::open(&url, &ClusterName::new("billing")?).await?;
//! let member = Member::new(NodeId::new("n1")?, Incarnation::fresh());
//! match backend.leases.acquire(&LeaseName::active(), &member, Duration::from_secs(5)).await? {
//!     Acquired::Granted(lease) => println!("active under term {}", lease.term),
//!     Acquired::Refused(view) => println!("not now: {:?}", view.tenant),
//! }
//! # Ok(()) }
//! ```
//!
//! A host whose own tables are in the same file makes its writes safe with a [`Fence`]: they commit only while its token is
//! current.
//!
//! The tables are this crate's own, under a prefix, in a schema that it makes itself. The README states the rights it
//! needs, all options, how changes are noticed and what that costs when idle, and the limit: one host.

// Without a database there is nobody to use what all of them share; `open` then says that nothing is built in.
#![cfg_attr(not(any(feature = "sqlite", feature = "postgres", feature = "mysql")), allow(unused, clippy::unused_async))]

mod dialect;
mod fence;
mod heartbeat;
mod hot;
mod job;
mod keys;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod lanes;
mod lease;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "a file has no server"))]
mod options;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod state;
mod store;
mod tx;

use failover_core::{Backend, ClusterName, Error, Invalid, Result};

pub use fence::{Fence, FenceConnection, FenceDatabase, FenceQuery, Fenced};
pub use keys::TablePrefix;
#[cfg(feature = "mysql")]
pub use mysql::{MysqlOptions, MysqlTls};
#[cfg(feature = "postgres")]
pub use postgres::{Pooler, PostgresOptions, Promotion};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteOptions;
pub use store::SqlStore;

/// The schemes of addresses of the whole family, and the crate that serves each.
const SCHEMES: &[(&str, &str)] = &[
    ("sqlite", "failover-sql with feature `sqlite`"),
    ("postgres", "failover-sql with feature `postgres`"),
    ("postgresql", "failover-sql with feature `postgres`"),
    ("mysql", "failover-sql with feature `mysql`"),
    ("mariadb", "failover-sql with feature `mysql`"),
    ("redis", "failover-redis"),
    ("rediss", "failover-redis"),
    ("redis+sentinel", "failover-redis"),
    ("redis+cluster", "failover-redis"),
    ("etcd", "failover-etcd"),
];

/// The schemes this build opens.
const BUILT_IN: &[&str] = &[
    #[cfg(feature = "sqlite")]
    "sqlite",
    #[cfg(feature = "mysql")]
    "mysql",
    #[cfg(feature = "mysql")]
    "mariadb",
    #[cfg(feature = "postgres")]
    "postgres",
];

/// Opens the store at an address, such as `sqlite:///var/lib/app/app.db?create=false`, for one cluster.
///
/// # Errors
/// [`Invalid`](failover_core::ErrorKind::Invalid) for a scheme, an option or a value that is not possible; otherwise those of
/// opening that store, such as [`SqliteOptions::open`].
pub async fn open(url: &str, cluster: &ClusterName) -> Result<Backend> {
    let invalid = |invalid| Error::invalid("open", invalid);
    match scheme_of(url) {
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Backend::new(SqliteOptions::from_url(url).map_err(invalid)?.open(cluster).await?)),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            Ok(Backend::new(PostgresOptions::from_url(url).map_err(invalid)?.open(cluster).await?))
        }
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Ok(Backend::new(MysqlOptions::from_url(url).map_err(invalid)?.open(cluster).await?)),
        scheme => Err(invalid(unknown_scheme(scheme))),
    }
}

fn unknown_scheme(scheme: &str) -> Invalid {
    let built_in = if BUILT_IN.is_empty() { "nothing".to_owned() } else { BUILT_IN.join(", ") };
    let rule = match SCHEMES.iter().find(|(known, _)| *known == scheme) {
        Some((_, by)) => format!("this build has no backend for it ({by} is where it belongs); built in: {built_in}"),
        None if scheme.is_empty() => {
            format!("an address begins with its scheme, as in sqlite:///srv/app.db; built in: {built_in}")
        }
        None => format!("no such scheme is known; built in: {built_in}"),
    };
    Invalid::new("scheme", scheme, rule)
}

/// The scheme of an address. Never anything behind it, which may hold a password (law 19).
pub(crate) fn scheme_of(url: &str) -> &str {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if plain { scheme } else { "" }
}

#[cfg(test)]
mod tests {
    use failover_core::{ClusterName, ErrorKind};

    #[tokio::test]
    async fn an_address_nobody_serves_says_who_would_and_keeps_its_password() {
        let cluster = ClusterName::new("c").unwrap();
        for (url, says) in [
            #[cfg(not(feature = "postgres"))]
            ("postgres://u:secret@h/d", "failover-sql"),
            ("mysql+x://u:secret@h/d", "no such scheme"),
            ("redis+sentinel://:secret@h", "failover-redis"),
            ("etcd://u:secret@h", "failover-etcd"),
            ("mongo://u:secret@h", "no such scheme"),
            ("/srv/secret.db", "begins with its scheme"),
            ("user secret@x:y", "begins with its scheme"),
        ] {
            let error = super::open(url, &cluster).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = error.to_string();
            assert!(text.contains(says), "{text}");
            assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"), "{text}");
        }
    }
}
