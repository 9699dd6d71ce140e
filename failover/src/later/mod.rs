//! A backend whose store may be away when it is made.

mod opening;
mod stores;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use failover_core::time::SystemClock;
use failover_core::{Backend, ClusterName, Home, Result};

use self::opening::Opening;
use crate::address::Usual;

/// As [`open`](crate::open), but the store need not be there yet: the address is read now, and the first call goes there. For a node that has
/// something to begin with while the store is away, such as its [kept configuration](crate::NodeBuilder::local_config).
///
/// One attempt to open the store is under way at a time, however many call, and a caller that gives up does not end it. It is repeated until it
/// succeeds or the backend is dropped, 100 ms after the first failure and up to 2 s after later ones, less a random part of up to half; one that hangs is
/// given up after 30 s. Until then
/// - a call waits for the first attempt and fails as that did, and each later one fails at once as the latest attempt did: with
///   [`Unavailable`](crate::ErrorKind::Unavailable) if the store could not be reached, and by its own kind for what does not mend itself, such as a wrong password
///   ([`Denied`](crate::ErrorKind::Denied)). An operator may mend even that, so it is tried again as well. The
///   [source](std::error::Error::source) of such an error is the attempt's. Nothing was applied, whatever the kind.
/// - `changed` waits, and completes once the store is open.
/// - [`durability`](crate::LeaseManager::durability) is [`Volatile`](crate::lease::Durability::Volatile), the least there is.
///   [`least_ttl`](crate::LeaseManager::least_ttl) and [`slack`](crate::LeaseManager::slack) are those of a store of this kind that was just opened;
///   of etcd, of one with the election timeout that it has if nothing is said: servers with a longer one refuse a ttl below their own least
///   [by every call](crate::ErrorKind::Invalid).
///
/// Afterwards it is the backend that `open` would have given. A file of `SQLite`'s that is not there, or whose directory is not, is away. With
/// `create=false` in its address it is never made: an empty one in the place where a file system is to be mounted would be another store.
///
/// The attempts are made on the thread of the backend's own [home](crate::home), as everything else is; it need not be called within a runtime.
///
/// # Errors
/// As [`open`](crate::open) for an address that cannot be one and for a scheme whose backend is not built in, and
/// [`Unavailable`](crate::ErrorKind::Unavailable) if there is no thread to be had. No error shows a password.
pub fn open_later(url: &str, cluster: &ClusterName) -> Result<Backend> {
    let address = crate::read(url)?;
    let (usual, cluster) = (address.usual(), cluster.clone());
    let attempt = move || {
        let (address, cluster) = (address.clone(), cluster.clone());
        async move { address.open_if_there(&cluster).await }
    };
    let later = Later { opening: Opening::new(attempt, Arc::new(SystemClock::new())), usual };
    Ok(Home::start()?.house(Backend::new(later)))
}

/// The four stores behind one [`Opening`].
struct Later {
    opening: Opening,
    usual: Usual,
}
