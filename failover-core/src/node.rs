//! [`Node`]: one member of a cluster, running in this process.
//!
//! A host with a role of its own and jobs that are its own types:
//!
//! ```
//! use async_trait::async_trait;
//! use failover_core::machine::{Finish, JobEnd};
//! use failover_core::memory::MemoryStore;
//! use failover_core::{JobHandler, JobRun, Node, NodeId, Right, RoleHooks};
//!
//! struct Imports;
//!
//! #[async_trait]
//! impl JobHandler for Imports {
//!     async fn run(&self, run: JobRun) -> JobEnd {
//!         for row in 0..3 {
//!             if run.stop().is_cancelled() {
//!                 return JobEnd::Stopped; // another node goes on, under a higher token
//!             }
//!             // write_row(row, run.token()): the token goes with every write.
//!             run.progress(format!("row {row}"));
//!             tokio::task::yield_now().await;
//!         }
//!         JobEnd::Completed
//!     }
//! }
//!
//! struct Front;
//!
//! #[async_trait]
//! impl RoleHooks for Front {
//!     async fn promote(&self, right: Right) {
//!         println!("accepting writes under {}", right.token());
//!     }
//!
//!     async fn demote(&self) {
//!         println!("accepting no more writes");
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = MemoryStore::new().backend();
//! let node = Node::builder(backend, NodeId::new("n1")?).jobs(Imports).hooks(Front).capacity(10).start()?;
//! assert_eq!(node.shutdown().await, Finish::Left);
//! # Ok(())
//! # }
//! ```

mod config;
mod health;
mod start;
mod switchover;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use self::health::Vigil;
use crate::admin::Admin;
use crate::backend::Backend;
use crate::client::Following;
use crate::detect::Detector;
#[cfg(feature = "http")]
pub use crate::driver::HttpAction;
pub use crate::driver::{CommandAction, JobHandler, JobRun, ResponseAction, ResponseRun, RoleHooks};
use crate::driver::{Message, NoHooks, Outbox, Pulse, Shared};
use crate::events::Events;
use crate::heartbeat::Role;
use crate::ids::{Member, NodeId};
use crate::machine::{Command, Finish, Stage, Switch};
use crate::plan::Strategy;
use crate::replica::Replica;
use crate::right::Right;
use crate::time::{Clock, SystemClock};
use crate::timing::Timing;

/// A handle to a running node. Clones are the same node.
///
/// Call [`shutdown`](Self::shutdown) to leave in good order: jobs stop, leases are given back, the next in line has them at once. **Dropping the last handle
/// stops the node where it stands**, as a crash would: the tokens of its rights fire, its jobs and hooks are dropped at their next
/// `await`, nothing is released, and the others take over when its leases have lapsed. A hook or job that holds a clone
/// keeps the node running.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    outbox: Outbox,
    pulse: Option<Arc<Pulse>>,
    operator: Admin,
    _while_held: Arc<DropGuard>,
}

impl Node {
    /// Starts to describe a node that runs on `backend`.
    pub fn builder(backend: Backend, node: NodeId) -> NodeBuilder {
        NodeBuilder {
            backend,
            node,
            timing: Timing::default(),
            capacity: None,
            weight: None,
            labels: BTreeMap::new(),
            version: None,
            local: None,
            roster: Vec::new(),
            detector: Detector::Deadline,
            strategies: Vec::new(),
            clock: Arc::new(SystemClock::new()),
            jobs: None,
            hooks: Arc::new(NoHooks),
            responses: Vec::new(),
            following: Following::default(),
            vigil: Vigil::default(),
            replicas: Vec::new(),
        }
    }

    /// Who it is.
    pub fn member(&self) -> &Member {
        &self.shared.member
    }

    /// Its role, as of its last decision. To act on being active, use [`active`](Self::active).
    pub fn role(&self) -> Role {
        self.shared.role()
    }

    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        self.shared.stage()
    }

    /// The right to act as the cluster's active node, while it is the active one and the right lasts.
    pub fn active(&self) -> Option<Right> {
        self.shared.active()
    }

    /// Its role and every change of it. A slow reader sees the latest only; see [`events`](Self::events) for all.
    pub fn roles(&self) -> watch::Receiver<Role> {
        self.shared.roles()
    }

    /// What it tells. The first call gets every event from the start, each later one what comes from then on.
    pub fn events(&self) -> Events {
        self.shared.listen()
    }

    /// Where its health endpoints listen, if it was asked to have any.
    #[cfg(feature = "http")]
    pub fn health_address(&self) -> Option<std::net::SocketAddr> {
        self.shared.health_address()
    }

    /// Takes it out of the cluster's work until further notice, or back in. For this process only; an operator's settings are
    /// a document all nodes follow.
    pub fn maintenance(&self, switch: Switch) {
        self.command(Command::Maintenance(switch));
    }

    /// Asks it to leave in good order. Returns at once; [`finished`](Self::finished) tells when it has.
    pub fn leave(&self) {
        self.command(Command::Leave);
    }

    /// Waits until it has ended and nothing of it runs any more. Any number of callers; cancel safe.
    pub async fn finished(&self) -> Finish {
        self.shared.finished().await
    }

    /// Leaves in good order and waits for the end. Cancel safe: the leaving goes on.
    pub async fn shutdown(&self) -> Finish {
        self.leave();
        self.finished().await
    }

    fn command(&self, command: Command) {
        self.send(Message::Command(command));
    }

    fn send(&self, message: Message) {
        // Fails only when the node has ended, and then there is nobody left to tell.
        let _ended = self.outbox.send(message);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("member", self.member())
            .field("role", &self.role())
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}

/// Describes a node and starts it.
#[must_use = "a node runs only once it is started"]
pub struct NodeBuilder {
    backend: Backend,
    node: NodeId,
    timing: Timing,
    capacity: Option<u32>,
    weight: Option<u32>,
    labels: BTreeMap<String, String>,
    version: Option<String>,
    local: Option<PathBuf>,
    roster: Vec<NodeId>,
    detector: Detector,
    strategies: Vec<Arc<dyn Strategy>>,
    clock: Arc<dyn Clock>,
    jobs: Option<Arc<dyn JobHandler>>,
    hooks: Arc<dyn RoleHooks>,
    responses: Vec<(String, Arc<dyn ResponseAction>)>,
    pub(crate) following: Following,
    vigil: Vigil,
    replicas: Vec<Replica>,
}

impl NodeBuilder {
    /// How fast it is; all nodes of a cluster use the same. Default: heartbeat 1 s, lease 5 s.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// How many jobs it can run, 1 to 100 000, unless the cluster's settings say otherwise. Default: 50, and none without [`jobs`](Self::jobs).
    pub fn capacity(mut self, capacity: u32) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// The summed weight of the jobs it can run, 1 to 100 000. Default: as many as it can run [jobs](Self::capacity).
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Tells the others something about it.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// The order of takeover and placement until the cluster's settings say otherwise. Nodes that are not named come last, by name.
    pub fn roster(mut self, roster: impl IntoIterator<Item = NodeId>) -> Self {
        self.roster = roster.into_iter().collect();
        self
    }

    /// How it suspects others. Default: a fixed deadline.
    pub fn detector(mut self, detector: Detector) -> Self {
        self.detector = detector;
        self
    }

    /// Brings along a strategy of placement, for the cluster's settings to choose by its name. All nodes should know the same: one that
    /// becomes active and does not know the chosen one goes on with the one it had.
    pub fn strategy(mut self, strategy: impl Strategy) -> Self {
        self.strategies.push(Arc::new(strategy));
        self
    }

    /// Where its time comes from. Default: the machine's own clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What runs its jobs. Without it, it takes none.
    pub fn jobs(mut self, handler: impl JobHandler + 'static) -> Self {
        self.jobs = Some(Arc::new(handler));
        self
    }

    /// What to do when its role changes.
    pub fn hooks(mut self, hooks: impl RoleHooks + 'static) -> Self {
        self.hooks = Arc::new(hooks);
        self
    }

    /// A state it shares with the other nodes. Said several times, several. A replica is complete before the host's `promote` runs, and what the host
    /// publishes until its `demote` has returned is in the store before another node can be active.
    pub fn replica(mut self, replica: &Replica) -> Self {
        self.replicas.push(replica.clone());
        self
    }

    /// What to do about each failure, while this node is the active one: a function, a [`CommandAction`] or an `HttpAction`. Each action runs once
    /// for each incident, one after another in the order given here; see [`incident`](crate::incident). All nodes should bring along the same.
    pub fn response(mut self, name: impl Into<String>, action: impl ResponseAction + 'static) -> Self {
        self.responses.push((name.into(), Arc::new(action)));
        self
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("node", &self.node)
            .field("timing", &self.timing)
            .field("capacity", &self.capacity)
            .field("roster", &self.roster)
            .finish_non_exhaustive()
    }
}
