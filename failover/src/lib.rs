//! **Never two owners that can both write, never none for longer than stated.** On the store you already run.
//!
//! This crate is the front door: it has nothing of its own but [`open`], which finds the backend for an address, and [`open_later`], for a store that is
//! away when a node starts. It shows everything of [`failover_core`] and of the backends that are built in.
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
//! | `guard` | a process that gives a dead host's leases back at once: `guard`, on Unix | |
//! | `http` | health endpoints, and clients that ask them: [`client`] | |
//! | `tower` | the admission gate as a layer before a `tower` service: [`Gate`] | |
//! | `testkit` | the conformance suite, faults and simulation for a backend of your own | `failover_core::testkit` |

// Without a backend there is nothing to open, and an address is refused before that.
#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql", feature = "redis", feature = "etcd")),
    allow(unused, clippy::unused_async)
)]

mod address;
#[cfg(all(feature = "guard", unix))]
pub mod guard;
mod later;
mod scheme;

pub use failover_core::*;
#[cfg(feature = "etcd")]
pub use failover_etcd as etcd;
#[cfg(feature = "redis")]
pub use failover_redis as redis;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use failover_sql as sql;
pub use later::open_later;

use address::Address;

/// Opens the store at an address for one cluster: all four traits from it. What is missing there is made.
///
/// The options behind the `?` of an address are described by its backend.
///
/// # Errors
/// Of kind [`Invalid`](ErrorKind::Invalid) for an address that cannot be one, naming the part, and for a scheme
/// whose backend is not built in, naming the feature to enable. What else can happen is the backend's to say.
/// No error shows a password. Where the store need not be there yet, [`open_later`].
pub async fn open(url: &str, cluster: &ClusterName) -> Result<Backend> {
    Address::read(url).map_err(|invalid| Error::invalid("open", invalid))?.open(cluster).await
}

/// The schemes of the addresses this build can [`open`].
pub fn schemes() -> impl Iterator<Item = &'static str> {
    scheme::built_in()
}

/// The README's example is compiled like any other.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;
