//! The traits of [`failover_core`] on Redis: one server, a set under Sentinel, or a Redis cluster.
//!
//! **A lease is granted only where its grant survives, and never twice under one term**, whatever becomes of a server: killed,
//! emptied, replaced by a replica that had not heard of the last grants.
//!
//! ```text
//!   process a ─┐                    ┌─ heartbeats, renewals    (their own connection)
//!   process b ─┼─▶ RedisStore ─▶ ───┼─ grants, jobs, documents ─▶ one script a call ─┐
//!   process c ─┘       ▲            │                            judged by the       │
//!                      └── hints ◀──┴─ subscription ◀─────────── server's TIME  ◀────┘
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//! use failover_core::lease::Acquired;
//! use failover_core::{ClusterName, Incarnation, LeaseName, Member, NodeId};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Or redis://user:password@cache:6379/0, redis+cluster://c1,c2,c3; with `rediss` encrypted.
//! let url = "redis+sentinel://s1,s2,s3/main?wait=1";
//! let backend = failover_redis::open(url, &ClusterName::new("billing")?).await?;
//! let member = Member::new(NodeId::new("n1")?, Incarnation::fresh());
//! match backend.leases.acquire(&LeaseName::active(), &member, Duration::from_secs(5)).await? {
//!     Acquired::Granted(lease) => println!("active under term {}", lease.term),
//!     Acquired::Refused(view) => println!("not now: {:?}", view.tenant),
//! }
//! # Ok(()) }
//! ```
//!
//! A host that keeps its own data on the same server makes its writes safe with a [`Fence`]: its scripts run only while its
//! token is current.
//!
//! | feature | brings |
//! |---|---|
//! | `tls` | addresses with `rediss`: rustls with ring, the machine's roots or the file in `ca` |
//!
//! Needs Redis 7.0 or later. The README has all options, the rights to grant, what survives which loss, and what is asked of the
//! servers' clocks.

mod call;
mod classify;
mod connection;
mod durability;
mod fence;
mod heartbeat;
mod job;
mod keys;
mod lease;
mod link;
mod options;
mod renewals;
mod reply;
mod router;
mod scripts;
mod state;
mod store;
mod url;
mod watch;

use failover_core::{Backend, ClusterName, Error, Result};

pub use fence::{Fence, Fenced};
pub use keys::KeyPrefix;
pub use options::RedisOptions;
/// The client that a host's own scripts run on, in the version that [`Fence::run`] takes.
pub use redis;
pub use store::RedisStore;

/// Opens the store at an address, such as `redis://cache:6379?wait=1`, for one cluster.
///
/// # Errors
/// [`Invalid`](failover_core::ErrorKind::Invalid) for a scheme, an option or a value that is not possible; otherwise those of
/// [`RedisOptions::open`].
pub async fn open(url: &str, cluster: &ClusterName) -> Result<Backend> {
    let options = RedisOptions::from_url(url).map_err(|invalid| Error::invalid("open", invalid))?;
    Ok(Backend::new(options.open(cluster).await?))
}

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
