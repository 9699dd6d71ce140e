//! [`Replica`]: what the active node knows, on every node, through the store the cluster already has.
//!
//! A host says how its state is [`Replicated`]: how a record changes it, and how all of it is written down and read back. On the active node
//! it [publishes](Publisher::publish) records. Each is in the store before it counts, is applied by every node in the same order, and
//! a node that takes over has applied all of them before its `promote` runs.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use async_trait::async_trait;
//! use failover_core::memory::MemoryStore;
//! use failover_core::replica::{Replica, Replicated};
//! use failover_core::{Node, NodeId, Role};
//!
//! #[derive(Default)]
//! struct Sessions(Mutex<Vec<String>>);
//!
//! #[async_trait]
//! impl Replicated for Sessions {
//!     async fn apply(&self, record: &[u8]) -> Result<(), String> {
//!         let login = String::from_utf8(record.to_vec()).map_err(|e| e.to_string())?;
//!         self.0.lock().unwrap().push(login);
//!         Ok(())
//!     }
//!
//!     async fn snapshot(&self) -> Vec<u8> {
//!         self.0.lock().unwrap().join("\n").into_bytes()
//!     }
//!
//!     async fn restore(&self, snapshot: &[u8]) -> Result<(), String> {
//!         let all = std::str::from_utf8(snapshot).map_err(|e| e.to_string())?;
//!         *self.0.lock().unwrap() = all.lines().map(str::to_owned).collect();
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = Arc::new(Sessions::default());
//! let replica = Replica::new("sessions", sessions.clone())?;
//! let node = Node::builder(MemoryStore::new().backend(), NodeId::new("n1")?).replica(&replica).start()?;
//! node.roles().wait_for(|role| *role == Role::Active).await?;
//!
//! replica.publisher().publish("anna").await?; // in the store, and applied here: this node's state changes by records only
//! assert_eq!(*sessions.0.lock().unwrap(), ["anna"]);
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it is kept
//! Below `replica/<name>` of the [`StateStore`](crate::StateStore):
//!
//! | key | what |
//! |---|---|
//! | `writer` | who publishes, under which term; written under its fence before it reads on |
//! | `journal/<number>` | an entry: records of one writer, or parts of one |
//! | `head` | which snapshot counts, and behind which entry the journal goes on |
//! | `snapshot/<id>/<part>` | that snapshot, and whatever is left of attempts that were interrupted |
//!
//! Every write carries the active lease as its fence (law 1). A new active node first writes under its fence, then reads to the end (law 12): nothing
//! of an earlier term can come behind that end. An entry is put where nothing is, so that a repeated put never writes it twice.

mod entry;
mod error;
mod follow;
mod host;
mod journal;
mod keeper;
mod keys;
mod lag;
mod lead;
mod promotion;
mod publisher;
mod shared;
mod snapshot;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::error::PublishError;
pub use self::lag::{Lag, MaxLag};
pub(crate) use self::promotion::Replicas;
pub use self::publisher::{Position, Publisher};
use self::shared::Shared;
use crate::error::Invalid;
use crate::ids::NodeId;

/// The most bytes of a record: 1 MiB. One that does not fit into a document of the store is kept in several.
pub const MAX_RECORD: usize = 1024 * 1024;

/// State that is the same on every node, because every node changes it by the same records in the same order.
///
/// The calls to one host never overlap, and none is cut off while its node runs. They come on the active node as on every other: what a record changes
/// there, it changes when it is in the store.
#[async_trait]
pub trait Replicated: Send + Sync {
    /// Changes the state by a record. Called in the order of the records, once for each in this process, also on the node that published it. The
    /// outcome may depend on nothing but the state and the record.
    ///
    /// # Errors
    /// Why this node cannot. It is asked again later; until then the node is behind, and a promotion is refused with this text. What no node could apply
    /// must be refused before it is published.
    async fn apply(&self, record: &[u8]) -> Result<(), String>;

    /// The state as it is, for a later [`restore`](Self::restore). Called on the active node.
    async fn snapshot(&self) -> Vec<u8>;

    /// Puts the state of a snapshot in the place of all there is. Called on a node that is new, or was away for longer than the journal goes back.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    async fn restore(&self, snapshot: &[u8]) -> Result<(), String>;
}

/// How a node that is not active learns of new records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// As the store tells of them, and every [`period`](ReplicaBuilder::period) in case it does not (law 7).
    #[default]
    Pushed,
    /// Every [`period`](ReplicaBuilder::period) only.
    Polled,
}

/// One state that a node shares with the others of its cluster, by a name. Clones are the same replica.
///
/// It lives with the node it is given to by [`NodeBuilder::replica`](crate::NodeBuilder::replica): until then, and after the node has ended, it follows nothing.
#[derive(Clone)]
pub struct Replica {
    shared: Arc<Shared>,
}

impl Replica {
    /// A replica of this name, pushed, with a period of a second, and snapshots every 10,000 records or 16 MiB.
    ///
    /// # Errors
    /// [`Invalid`] if the name is not 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub fn new(name: impl AsRef<str>, host: Arc<dyn Replicated>) -> Result<Self, Invalid> {
        Self::builder(name, host).build()
    }

    /// Starts to describe a replica.
    pub fn builder(name: impl AsRef<str>, host: Arc<dyn Replicated>) -> ReplicaBuilder {
        ReplicaBuilder {
            name: name.as_ref().to_owned(),
            host,
            follow: Follow::default(),
            period: Duration::from_secs(1),
            records: 10_000,
            bytes: 16 * 1024 * 1024,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// What publishes records while the node is the active one.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.shared.clone())
    }

    /// Up to which record this node has applied all.
    pub fn position(&self) -> Position {
        self.shared.position()
    }

    /// Waits until this node has applied all up to this record. Cancel safe.
    pub async fn reached(&self, position: Position) {
        self.shared.reached(position).await;
    }

    /// How far this node is behind, as far as it knows; nothing before it belongs to a node.
    pub fn lag(&self) -> Option<Lag> {
        self.shared.lag()
    }

    /// What keeps this node from applying what there is, if something does: a record that its host refuses, one of a newer format, a store that
    /// does not answer.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("name", &self.name())
            .field("position", &self.position())
            .field("lag", &self.lag())
            .finish_non_exhaustive()
    }
}

/// Describes a replica.
#[must_use = "it is only a description"]
pub struct ReplicaBuilder {
    name: String,
    host: Arc<dyn Replicated>,
    follow: Follow,
    period: Duration,
    records: u64,
    bytes: u64,
}

impl ReplicaBuilder {
    /// How it learns of new records. Default: pushed.
    pub fn follow(mut self, follow: Follow) -> Self {
        self.follow = follow;
        self
    }

    /// The replication period: how often it looks for new records by itself, 10 ms to a day. Default: a second.
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// The active node writes a snapshot, and cuts the journal behind it, after so many records or so many bytes of them, whichever comes
    /// first. Default: 10,000 records, 16 MiB.
    pub fn snapshot_after(mut self, records: u64, bytes: u64) -> Self {
        (self.records, self.bytes) = (records, bytes);
        self
    }

    /// The replica.
    ///
    /// # Errors
    /// [`Invalid`] for a name, a period or a size that breaks its rule.
    pub fn build(self) -> Result<Replica, Invalid> {
        let name = NodeId::new(&self.name).map_err(|e| Invalid::new("replica", &self.name, e.rule))?;
        if self.period < Duration::from_millis(10) || self.period > Duration::from_hours(24) {
            return Err(Invalid::new("period", format!("{:?}", self.period), "it must be 10 ms to a day"));
        }
        if self.records == 0 || self.bytes == 0 {
            return Err(Invalid::new("snapshot_after", 0, "it must be at least one record and one byte"));
        }
        let pace = shared::Pace { follow: self.follow, period: self.period, records: self.records, bytes: self.bytes };
        Ok(Replica { shared: Arc::new(Shared::new(name.as_str(), self.host, pace)?) })
    }
}
