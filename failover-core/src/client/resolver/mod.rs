//! [`Resolver`]: where the active node is, for a client that follows it.
//!
//! ```
//! use std::time::Duration;
//!
//! use failover_core::client::Resolver;
//! use failover_core::memory::MemoryStore;
//! use failover_core::{Endpoint, Node, NodeId};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = MemoryStore::new().backend();
//! let node = Node::builder(backend.clone(), NodeId::new("a")?).endpoint(Endpoint::new("a.example:80")?).start()?;
//!
//! let mut resolver = Resolver::builder().store(backend.state).start()?;
//! let address = resolver.resolve(Duration::from_secs(10)).await?;
//! println!("connect to {} (term {})", address.endpoint().expect("it was given one"), address.term);
//! assert_eq!(resolver.current(), Some(address)); // known already: no call is made
//! # node.shutdown().await;
//! # tokio::spawn(async move {
//! while let Some(next) = resolver.changed().await {
//!     println!("connect to {} from now on", next.node);
//! }
//! # });
//! # Ok(())
//! # }
//! ```
//!
//! With a list of the nodes' [health endpoints](crate::client) (feature `http`) it works also while the store is away, or without any store:
//! `Resolver::builder().nodes(Endpoint::list("http://a:8008;http://b:8008")?)`.

#[cfg(feature = "http")]
mod ask;
mod follow;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::follow::{Follower, View};
use super::Address;
#[cfg(feature = "http")]
use super::Endpoint;
use crate::error::{Error, Invalid};
use crate::ids::Term;
use crate::state::StateStore;
use crate::time::{Clock, SystemClock};

/// Follows the active node's [`Address`]. Clones follow together; with the last one the following ends.
///
/// A change is seen when the store hints at it, else at the next of its rare looks. While the store does not answer, the nodes themselves are asked, all at the same
/// time, and of those who say that they are active the one with the highest term is believed. **An address under an older term than one that was
/// seen is refused**, whoever tells it: a node that does not know yet that it is deposed, a store that was restored.
#[derive(Clone)]
pub struct Resolver {
    view: watch::Receiver<View>,
    clock: Arc<dyn Clock>,
    /// What this handle was told last.
    seen: Option<Term>,
    _while_held: Arc<DropGuard>,
}

/// Why there is no address.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The store answers, and no active node has published anything.
    #[error("no node of the cluster has been active yet, or none was given endpoints")]
    NoActive,
    /// The store does not answer, or not with something that can be read.
    #[error("the store does not tell: {0}")]
    Store(#[from] Error),
    /// None of the nodes says that it is active.
    #[error("no node says that it is active: {said}{}", store.as_ref().map(|error| format!("; and the store does not tell: {error}")).unwrap_or_default())]
    Nodes {
        /// What each said.
        said: String,
        /// Why the store was not believed, if there is one.
        store: Option<Error>,
    },
    /// What is told is older than what is known.
    #[error("what is told is of term {told}, and term {known} has been seen: it was refused")]
    Older {
        /// The term of what was refused.
        told: Term,
        /// The highest term seen.
        known: Term,
    },
    /// The runtime that the resolver was started on has ended.
    #[error("the resolver's runtime has ended")]
    Ended,
}

impl Resolver {
    /// Starts to describe one.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder {
            store: None,
            #[cfg(feature = "http")]
            nodes: Vec::new(),
            clock: Arc::new(SystemClock::new()),
            poll: Duration::from_secs(5),
            call: Duration::from_secs(1),
        }
    }

    /// The address by what is known now. Makes no call.
    pub fn current(&self) -> Option<Address> {
        self.view.borrow().address.clone()
    }

    /// Why the latest look told nothing new that could be believed, if it did not. An address that is known stays in force meanwhile.
    pub fn trouble(&self) -> Option<ResolveError> {
        self.view.borrow().trouble.clone()
    }

    /// The address, as soon as one is known. Cancel safe.
    ///
    /// # Errors
    /// [`ResolveError`], if none is known `within` that time.
    pub async fn resolve(&self, within: Duration) -> Result<Address, ResolveError> {
        let mut view = self.view.clone();
        let end = self.clock.now() + within;
        tokio::select! {
            biased;
            known = view.wait_for(|view| view.address.is_some()) => {
                known.ok().and_then(|view| view.address.clone()).ok_or(ResolveError::Ended)
            }
            () = self.clock.sleep_until(end) => Err(self.trouble().unwrap_or(ResolveError::NoActive)),
        }
    }

    /// Waits for an address under a later term than the last this handle was told by this call; the first call gives the one that is known, if
    /// one is. A slow caller gets the latest only. `None` when the runtime that it was started on has ended. Cancel safe.
    pub async fn changed(&mut self) -> Option<Address> {
        let seen = self.seen;
        let is_new = |view: &View| view.address.as_ref().is_some_and(|address| Some(address.term) > seen);
        let address = self.view.wait_for(is_new).await.ok()?.address.clone()?;
        self.seen = Some(address.term);
        Some(address)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("current", &self.current()).finish_non_exhaustive()
    }
}

/// Describes a resolver and starts it.
#[must_use = "a resolver follows only once it is started"]
pub struct ResolverBuilder {
    store: Option<Arc<dyn StateStore>>,
    #[cfg(feature = "http")]
    nodes: Vec<Endpoint>,
    clock: Arc<dyn Clock>,
    poll: Duration,
    call: Duration,
}

impl ResolverBuilder {
    /// The store that the nodes publish in: [`Backend::state`](crate::Backend::state).
    pub fn store(mut self, state: Arc<dyn StateStore>) -> Self {
        self.store = Some(state);
        self
    }

    /// The nodes' health endpoints, such as `http://a:8008`: whom to ask while the store does not answer, or if there is none.
    #[cfg(feature = "http")]
    pub fn nodes(mut self, nodes: impl IntoIterator<Item = Endpoint>) -> Self {
        self.nodes.extend(nodes);
        self
    }

    /// Where its time comes from. Default: the machine's own clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How often it looks though nothing hints at a change; also how often the nodes are asked without a store. Default: 5 s.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// The deadline of each call to the store, and of each question to a node. Default: 1 s.
    pub fn call_deadline(mut self, call: Duration) -> Self {
        self.call = call;
        self
    }

    /// Starts to follow, in a task on this runtime.
    ///
    /// # Errors
    /// [`Invalid`] outside a tokio runtime, without anybody to ask, for a node that is not `http://…` or named twice, and for a poll or a
    /// deadline below a millisecond.
    pub fn start(self) -> Result<Resolver, Invalid> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Invalid::new("runtime", "none", "start a resolver within a tokio runtime"))?;
        for (field, time) in [("poll", self.poll), ("call deadline", self.call)] {
            if time < Duration::from_millis(1) {
                return Err(Invalid::new(field, format!("{time:?}"), "it must be a millisecond at least"));
            }
        }
        #[cfg(feature = "http")]
        let nodes = ask::Nodes::new(&self.nodes)?;
        #[cfg(feature = "http")]
        let nobody = self.nodes.is_empty();
        #[cfg(not(feature = "http"))]
        let nobody = true;
        if self.store.is_none() && nobody {
            return Err(Invalid::new("resolver", "nobody to ask", "give it a store, or the nodes' health endpoints"));
        }
        let (sender, view) = watch::channel(View::default());
        let follower = Follower {
            store: self.store,
            #[cfg(feature = "http")]
            nodes,
            clock: self.clock.clone(),
            poll: self.poll,
            call: self.call,
            view: sender,
        };
        let held = CancellationToken::new();
        runtime.spawn(held.clone().run_until_cancelled_owned(follower.run()));
        Ok(Resolver { view, clock: self.clock, seen: None, _while_held: Arc::new(held.drop_guard()) })
    }
}

impl fmt::Debug for ResolverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolverBuilder").field("poll", &self.poll).field("call", &self.call).finish_non_exhaustive()
    }
}
