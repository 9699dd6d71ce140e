//! A backend of one's own, on NATS `JetStream`: the four traits of `failover-core` over a store that none of its crates
//! knows. The README is a walk through it from an empty file.
//!
//! ```text
//!   heartbeat  lease  state  job      one trait each: a table, and what may become of it (pure functions)
//!        └───────┴──┬───┴──────┘
//!                 table               read whole, decide, write back if nobody else did; the server's time
//!            ┌──────┼──────┐
//!          blob    link   hints       what is too large · connections in doubt are replaced · "look again"
//! ```
//!
//! Each trait keeps one table: one message, which is replaced whole under the condition that it is still the one that was
//! read. So everything a trait must do at once is at once, and there is one place where two writers can meet.

mod blob;
mod heartbeat;
mod hints;
mod job;
mod keys;
mod lease;
mod link;
mod options;
mod state;
mod table;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use failover_core::{Backend, ClusterName, Error, ErrorKind, Result, Term};

use crate::keys::Keys;
use crate::link::Link;
use crate::options::Server;
use crate::table::{Area, Table};

/// Opens the store of a cluster at `nats://user:password@host:port`, and makes what is missing.
///
/// # Errors
/// `Invalid` for a broken address, `Denied` for a wrong password, `Unavailable` if no server answers there.
pub async fn open(url: &str, cluster: &ClusterName) -> Result<Backend> {
    Ok(Backend::new(NatsStore::open(url, cluster, Term::ZERO).await?))
}

/// A handle on one cluster's data. Clones share its connections.
#[derive(Clone)]
pub struct NatsStore {
    shared: Arc<Shared>,
}

struct Shared {
    keys: Keys,
    timeout: Duration,
    pulse: Link,
    work: Link,
    hints: hints::Hints,
    cache: Mutex<blob::Cache>,
    /// When the stream was made: another store has another moment.
    identity: u64,
    /// Whose turn it is to change each table.
    turns: [tokio::sync::Mutex<()>; Area::ALL.len()],
    /// The highest revision of each table that was read: a lower one is of an older copy of the store.
    seen: [AtomicU64; Area::ALL.len()],
    /// Why this handle is of no use any more.
    lost: OnceLock<Error>,
}

impl NatsStore {
    /// Opens the store. The floor is zero, except after a loss: then it is above every term and epoch known to have been in
    /// use, and all that are given out from now on are above it.
    ///
    /// # Errors
    /// As for [`open`], and `Invalid` for a floor above [`MAX_FLOOR`](failover_core::lease::MAX_FLOOR).
    pub async fn open(url: &str, cluster: &ClusterName, floor: Term) -> Result<Self> {
        failover_core::rules::check_floor("open", floor)?;
        let server = Server::parse(url)?;
        let opened = tokio::time::timeout(server.timeout, Self::connect(&server, cluster, floor)).await;
        opened.unwrap_or_else(|_| {
            let message = format!("{} has not answered within {:?}", server.address, server.timeout);
            Err(Error::new(ErrorKind::Unavailable, "open", message))
        })
    }

    async fn connect(server: &Server, cluster: &ClusterName, floor: Term) -> Result<Self> {
        let keys = Keys::new(cluster);
        let work = Link::new(server.clone());
        let identity = make_stream(&work, &keys).await?;
        let shared = Shared {
            hints: hints::Hints::listen(server, &keys).await?,
            keys,
            timeout: server.timeout,
            pulse: Link::new(server.clone()),
            work,
            cache: Mutex::default(),
            identity,
            turns: Default::default(),
            seen: Default::default(),
            lost: OnceLock::new(),
        };
        let store = Self { shared: Arc::new(shared) };
        store.make_table::<heartbeat::Heartbeats>().await?;
        store.make_table::<lease::Leases>().await?;
        store.make_table::<job::Jobs>().await?;
        store.make_table::<state::Documents>().await?;
        store.sweep(job::Jobs::payloads).await?;
        store.sweep(state::Documents::values).await?;
        if floor > Term::ZERO {
            store.change("open", None, |leases: &mut lease::Leases| leases.raise_floor(floor)).await?;
            store.change("open", None, |jobs: &mut job::Jobs| jobs.go_on_above(floor)).await?;
        }
        Ok(store)
    }

    /// Writes an empty table if there is none: from then on, one that is missing means that the store was wiped.
    async fn make_table<T: Table>(&self) -> Result<()> {
        let _written_before = !self.store("open", T::default(), 0).await?;
        Ok(())
    }

    /// Runs a call under the handle's deadline, unless the handle has lost its store. `late` is what it is called when the
    /// deadline passes: unknown for a call that writes.
    async fn within<A>(
        &self,
        operation: &'static str,
        late: ErrorKind,
        call: impl Future<Output = Result<A>>,
    ) -> Result<A> {
        if let Some(lost) = self.shared.lost.get() {
            return Err(lost.clone());
        }
        let timeout = self.shared.timeout;
        let answer = tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
            Err(Error::new(late, operation, format!("the server has not answered within {timeout:?}: call again")))
        });
        if let Err(e) = &answer
            && e.kind() == ErrorKind::StoreChanged
        {
            // For ever: the next answer might come from yet another store, one that looks like the first.
            let _first = self.shared.lost.set(e.clone());
        }
        answer
    }
}

/// Makes the stream if it is not there, and tells when it was made.
async fn make_stream(link: &Link, keys: &Keys) -> Result<u64> {
    const OPERATION: &str = "open";
    let config = Config {
        name: keys.stream(),
        subjects: vec![keys.all()],
        storage: StorageType::File,
        // A stream that keeps the last message of each subject is a key-value store.
        max_messages_per_subject: 1,
        // When there is no room, refuse what is new. The default throws away what is old, fences and terms included.
        discard: DiscardPolicy::New,
        ..Config::default()
    };
    let live = link.live(OPERATION).await?;
    let made = live.answer(OPERATION, ErrorKind::Unavailable, live.jetstream.get_or_create_stream(config)).await?;
    let stream = made.map_err(|e| {
        let message =
            "the server makes no stream: start it with JetStream (nats-server -js), and give this user the right";
        Error::new(ErrorKind::Unavailable, OPERATION, message).with_source(e)
    })?;
    let info = stream.cached_info();
    if info.config.max_messages_per_subject != 1 || info.config.discard != DiscardPolicy::New {
        let message =
            format!("there is a stream {} that this project has not made: rename or remove it", keys.stream());
        return Err(Error::new(ErrorKind::Corrupt, OPERATION, message));
    }
    Ok(u64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default())
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").field("stream", &self.shared.keys.stream()).finish_non_exhaustive()
    }
}
