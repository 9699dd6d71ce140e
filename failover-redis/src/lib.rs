//! The traits of [`failover_core`] on Redis and Valkey.

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
