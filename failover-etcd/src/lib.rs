//! The traits of [`failover_core`] on etcd.
//!
//! To build this crate needs `protoc` and Google's `.proto` files (Debian: `protobuf-compiler libprotobuf-dev`).
//!
//! Point it at an etcd that you run, of one server or of several, and get all four stores from it: who seems alive, who may act,
//! who runs what, and what the nodes share.
//!
//! ```text
//!                               pulse: beats, renewals ─┐
//!   your node ─▶ EtcdStore ──▶  durable: grants, jobs,  ├─▶ one of the servers ◀─▶ their majority
//!                               documents               │
//!                               watch: hints ───────────┘
//!     a connection each; one that is suspect is replaced by one to the next server
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//! use failover_core::lease::Acquired;
//! use failover_core::{ClusterName, Incarnation, LeaseName, Member, NodeId};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "etcd://e1:2379,e2:2379,e3:2379";
//! let backend = failover_etcd::open(url, &ClusterName::new("billing")?).await?;
//! let member = Member::new(NodeId::new("n1")?, Incarnation::fresh());
//! match backend.leases.acquire(&LeaseName::active(), &member, Duration::from_secs(5)).await? {
//!     Acquired::Granted(lease) => println!("active under term {}", lease.term),
//!     Acquired::Refused(view) => println!("not now: {:?}", view.tenant),
//! }
//! # Ok(()) }
//! ```
//!
//! Leases are etcd's own, ended by the servers alone; what it takes for a renewal to be one is told where it is made
//! (`src/lease/keep.rs`). A lease is not judged by watching for changes on a local clock, which would allow shorter ones: a process
//! that has just started would then have to watch for a whole ttl before it could tell a dead holder from a living one, and no two
//! processes would agree on who holds at a moment.
//!
//! A host whose own keys are in the same etcd makes its writes safe with a [`Fence`]: they take effect only while its token is
//! current.
//!
//! | feature | what it adds |
//! |---|---|
//! | `tls` | `etcds://`, by rustls: the machine's roots or an authority of your own, client certificates |
//!
//! The README states the rights it needs, all options, what each call costs, and its limits.

mod classify;
mod clock;
mod connection;
mod fence;
mod heartbeat;
mod job;
mod keys;
mod lease;
mod open;
mod options;
mod state;
mod store;
mod txn;
mod watch;

use failover_core::{Backend, ClusterName, Error, Result};

/// The client whose types a [`Fence`] speaks.
pub use etcd_client;

pub use fence::{Fence, Fenced};
pub use keys::KeyPrefix;
pub use options::EtcdOptions;
pub use store::EtcdStore;

/// Opens the store at an address, such as `etcd://e1:2379,e2:2379,e3:2379?prefix=failover`, for one cluster.
///
/// # Errors
/// [`Invalid`](failover_core::ErrorKind::Invalid) for a scheme, an option or a value that is not possible; otherwise those of
/// [`EtcdOptions::open`].
pub async fn open(url: &str, cluster: &ClusterName) -> Result<Backend> {
    let options = EtcdOptions::from_url(url).map_err(|invalid| Error::invalid("open", invalid))?;
    Ok(Backend::new(options.open(cluster).await?))
}

/// The scheme of an address. Never anything behind it, which may hold a password (law 19).
pub(crate) fn scheme_of(url: &str) -> &str {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if plain { scheme } else { "" }
}

/// The README's example is compiled like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
