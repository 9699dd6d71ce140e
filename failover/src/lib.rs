//! **Never two owners that can both write, never none for longer than stated.** On the store you already run.
//!
//! This crate is the front door: it has nothing of its own but [`open`], which finds the backend for an address, and shows
//! everything of [`failover_core`] and of the backends that are built in.
//!
//! ```text
//!    your service ──▶ failover::open("redis://…") ──▶ Backend ──▶ Node, Election, Admin
//!                            │
//!        sqlite  postgres  mysql  redis  redis+sentinel  redis+cluster  etcd
//! ```
//!
//! ```
//! use failover::{ClusterName, Election, LeaseName, Member, NodeId, Incarnation};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "sqlite")] {
//! # let directory = tempfile::tempdir()?;
//! # let address = format!("sqlite://{}", directory.path().join("app.db").display());
//! # // One of: sqlite:///var/lib/app/app.db   postgres://user@db/app   mysql://user@db/app
//! # //         redis://cache   redis+sentinel://s1,s2,s3/main   redis+cluster://c1,c2   etcd://e1:2379,e2:2379,e3:2379
//! // let address = std::env::var("FAILOVER_STORE")?;
//! let backend = failover::open(&address, &ClusterName::new("billing")?).await?;
//! println!("what it acknowledged survives: {:?}", backend.leases.durability());
//! # }
//! # Ok(()) }
//! ```
//!
//! | feature | addresses | the backend's own page |
//! |---|---|---|
//! | `sqlite` (default) | `sqlite:///path` | `failover-sql` |
//! | `postgres` | `postgres://`, `postgresql://` | `failover-sql` |
//! | `mysql` | `mysql://`, `mariadb://` | `failover-sql` |
//! | `redis` | `redis://`, `redis+sentinel://`, `redis+cluster://`; with `tls` also `rediss…` | `failover-redis` |
//! | `etcd` | `etcd://a:2379,b:2379`; with `tls` also `etcds://` | `failover-etcd`; needs `protoc` to build |
//! | `tls` | encrypted connections for whichever of them is built in | |
//! | `testkit` | the conformance suite, faults and simulation for a backend of your own | `failover_core::testkit` |

mod scheme;

pub use failover_core::*;
#[cfg(feature = "etcd")]
pub use failover_etcd as etcd;
#[cfg(feature = "redis")]
pub use failover_redis as redis;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use failover_sql as sql;

/// Opens the store at an address for one cluster: all four traits from it. What is missing there is made.
///
/// The options behind the `?` of an address are described by its backend.
///
/// # Errors
/// Of kind [`Invalid`](ErrorKind::Invalid) for an address that cannot be one, naming the part, and for a scheme
/// whose backend is not built in, naming the feature to enable. What else can happen is the backend's to say.
/// No error shows a password.
pub async fn open(url: &str, cluster: &ClusterName) -> Result<Backend> {
    match scheme::backend_of(url).map_err(|invalid| Error::invalid("open", invalid))? {
        #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
        scheme::By::Sql => failover_sql::open(url, cluster).await,
        #[cfg(feature = "redis")]
        scheme::By::Redis => failover_redis::open(url, cluster).await,
        #[cfg(feature = "etcd")]
        scheme::By::Etcd => failover_etcd::open(url, cluster).await,
        #[allow(unreachable_patterns, reason = "reachable unless every backend is built in")]
        by => unreachable!("{by:?} is not built in, and was not offered"),
    }
}

/// The schemes of the addresses this build can [`open`].
pub fn schemes() -> impl Iterator<Item = &'static str> {
    scheme::built_in()
}

/// The README's example is compiled like any other.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;
