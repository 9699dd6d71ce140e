//! **Never two owners that can both write, never none for longer than stated.** On the store you already run.
//!
//! This crate is the front door: it has nothing of its own but [`open`], which finds the backend for an address and gives it a thread of its own, and [`open_later`], for a store that is
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
/// It is opened in a [home] of its own: a thread named `failover` with a small runtime, on which its connections are, and on which nodes and elections beat and renew. So **a host
/// that blocks its executor loses nothing**, whatever its runtime is. The thread ends when the backend and whatever runs on it are gone. A call that the host makes itself is carried
/// over between threads, there and back (`failover/benches/home.rs` measures that). [`open_here`] does without the thread. The options behind the `?` of an address are described by its backend. Cancel safe.
///
/// # Errors
/// Of kind [`Invalid`](ErrorKind::Invalid) for an address that cannot be one, naming the part, and for a scheme
/// whose backend is not built in, naming the feature to enable. What else can happen is the backend's to say.
/// No error shows a password. Where the store need not be there yet, [`open_later`].
pub async fn open(url: &str, cluster: &ClusterName) -> Result<Backend> {
    let (address, cluster) = (read(url)?, cluster.clone());
    Backend::on_own_thread(move || async move { address.open(&cluster).await }).await
}

/// As [`open`], but in the runtime of the caller, with no thread of its own: for a host that never blocks its executor, or that measures. Use it inside that runtime.
///
/// # Errors
/// As [`open`].
pub async fn open_here(url: &str, cluster: &ClusterName) -> Result<Backend> {
    read(url)?.open(cluster).await
}

fn read(url: &str) -> Result<Address> {
    Address::read(url).map_err(|invalid| Error::invalid("open", invalid))
}

/// The schemes of the addresses this build can [`open`].
pub fn schemes() -> impl Iterator<Item = &'static str> {
    scheme::built_in()
}

/// The README's example is compiled like any other.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;
