//! [`Election`]: one leader among the processes that ask for the same name, again and again.
//!
//! ```
//! # use failover_core::{Election, NodeId, memory::MemoryStore};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let backend = MemoryStore::new().backend();
//! let election = Election::new(&backend, "nightly-report", NodeId::new("n1")?)?;
//! let leadership = election.campaign().await?;
//! println!("I lead under {}", leadership.token());
//! leadership.resign().await;
//! # Ok(())
//! # }
//! ```

mod campaign;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::campaign::{Campaign, Order};
use crate::backend::Backend;
use crate::driver::{Host, bounded};
use crate::error::{Error, ErrorKind, Invalid, Result};
use crate::heir::Heir;
use crate::ids::{FencingToken, Incarnation, LeaseName, Member, NodeId, Term};
use crate::lease::{LeaseManager, Tenant};
use crate::right::{Extension, Right};
use crate::time::{Clock, SystemClock};
use crate::timing::Timing;

/// An election under one name. Clones take part as one node.
#[derive(Clone)]
pub struct Election {
    leases: Arc<dyn LeaseManager>,
    name: LeaseName,
    node: NodeId,
    timing: Timing,
    clock: Arc<dyn Clock>,
    /// Who gives its leases back if this process dies, if anybody does.
    heir: Option<Arc<dyn Heir>>,
    /// The highest term seen, so that a store whose terms went backwards is found out (law 2).
    highest: Arc<AtomicU64>,
}

impl Election {
    /// An election with the default timing: a lease of 5 s, renewed every second.
    ///
    /// # Errors
    /// As [`builder`](Self::builder) and [`ElectionBuilder::start`].
    pub fn new(backend: &Backend, name: &str, node: NodeId) -> Result<Self, Invalid> {
        Self::builder(backend.leases.clone(), name, node)?.start()
    }

    /// Starts to describe an election. Its lease is `election/NAME`; it needs nothing but leases.
    ///
    /// # Errors
    /// [`Invalid`] if `name` is not a valid name.
    pub fn builder(leases: Arc<dyn LeaseManager>, name: &str, node: NodeId) -> Result<ElectionBuilder, Invalid> {
        let name = LeaseName::election(name)?;
        let clock = Arc::new(SystemClock::new());
        let highest = Arc::default();
        Ok(ElectionBuilder(Self { leases, name, node, timing: Timing::default(), clock, heir: None, highest }))
    }

    /// The lease it is about.
    pub fn name(&self) -> &LeaseName {
        &self.name
    }

    /// Waits until this node leads. Call it again after a loss: each campaign runs as a new member, so that a leadership won later
    /// always has a higher token, and whatever was left running of an earlier one is fenced off.
    ///
    /// On a backend that has a [home](crate::home), as one of `failover::open` has, it asks and renews there, however long the host blocks its executor; else in this
    /// runtime, which then must not be blocked.
    ///
    /// A store that is away is waited for. Cancel safe: what is granted to a campaign that nobody waits for any more is given back
    /// at once.
    ///
    /// # Errors
    /// Only what waiting does not mend: [`StoreChanged`](crate::ErrorKind::StoreChanged) (also when the store's terms went backwards),
    /// [`TooNew`](crate::ErrorKind::TooNew), [`Denied`](crate::ErrorKind::Denied), [`Invalid`](crate::ErrorKind::Invalid), [`Corrupt`](crate::ErrorKind::Corrupt);
    /// [`Unavailable`](crate::ErrorKind::Unavailable) only if the thread of the backend's home has ended.
    ///
    /// # Panics
    /// Outside a tokio runtime; its I/O driver has to be enabled for the default clock on Linux.
    pub async fn campaign(&self) -> Result<Leadership> {
        let (grant, granted) = oneshot::channel();
        let (runtime, home) = (Handle::current(), self.leases.home());
        let host = Host::new(runtime.clone(), home.as_ref());
        let campaign = Campaign::new(self, Member::new(self.node.clone(), Incarnation::fresh()), host).run(grant);
        match &home {
            Some(home) => home.spawn(campaign),
            None => drop(runtime.spawn(campaign)),
        }
        match granted.await {
            Ok(outcome) => outcome,
            Err(_) if home.is_some() => {
                let message = "the store's own thread has ended, and the campaign with it: open the store anew";
                Err(Error::new(ErrorKind::Unavailable, "campaign", message))
            }
            // The runtime is shutting down, and this future with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Campaigns, runs `work` while it leads, and campaigns again, until `work` says that it is done.
    ///
    /// On a loss [`Right::stopping`] fires and `work` has until the end of its right to return; then its future is dropped
    /// where it stands. After [`Continue`](ControlFlow::Continue) it rests for one beat, so that others have a chance.
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign).
    pub async fn run<F, R, T>(&self, mut work: F) -> Result<T>
    where
        F: FnMut(Right) -> R,
        R: Future<Output = ControlFlow<T>>,
    {
        loop {
            let leadership = self.campaign().await?;
            let mut right = leadership.right().clone();
            let flow = tokio::select! {
                biased;
                flow = work(leadership.right().clone()) => flow,
                () = async { while right.extended().await != Extension::Over {} } => ControlFlow::Continue(()),
            };
            // Nothing runs under it any more, so it may be given back; if it was lost, this does nothing.
            leadership.resign().await;
            match flow {
                ControlFlow::Break(done) => return Ok(done),
                ControlFlow::Continue(()) => self.clock.sleep_until(self.clock.now() + self.timing.beat()).await,
            }
        }
    }

    /// Who leads, by the store, and under which term. Advice: it may have changed by the time this returns.
    ///
    /// # Errors
    /// The store's.
    pub async fn leader(&self) -> Result<Option<(NodeId, Term)>> {
        let deadline = self.clock.now() + self.timing.call();
        let view = bounded(&*self.clock, deadline, "current", self.leases.current(&self.name)).await?;
        Ok(match view.tenant {
            Tenant::Held { holder, .. } => Some((holder.node, view.term)),
            Tenant::Free | Tenant::Reserved { .. } => None,
        })
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election").field("name", &self.name).field("node", &self.node).finish_non_exhaustive()
    }
}

/// Describes an election.
#[derive(Debug, Clone)]
#[must_use = "nothing campaigns until an election is started and asked to"]
pub struct ElectionBuilder(Election);

impl ElectionBuilder {
    /// How fast it is; all who campaign under one name use the same. Default: renewed every second, for 5 s.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.0.timing = timing;
        self
    }

    /// Where its time comes from. Default: the machine's own clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.0.clock = clock;
        self
    }

    /// Somebody outside this process who gives a leadership back at once when the process dies, such as `failover::guard`; see [`heir`](crate::heir).
    /// Without one, others lead when it has lapsed.
    pub fn guarded(mut self, heir: impl Heir + 'static) -> Self {
        self.0.heir = Some(Arc::new(heir));
        self
    }

    /// The election, ready to campaign in.
    ///
    /// # Errors
    /// [`Invalid`] if the store cannot keep leases as short as the timing's.
    pub fn start(self) -> Result<Election, Invalid> {
        let (ttl, least) = (self.0.timing.ttl(), self.0.leases.least_ttl());
        if ttl < least {
            return Err(Invalid::new(
                "ttl",
                format!("{ttl:?}"),
                format!("this store keeps leases of at least {least:?}"),
            ));
        }
        Ok(self.0)
    }
}

/// A term of leading, renewed in the background for as long as this value lives.
///
/// [`resign`](Self::resign) gives it up, so that another leads at once. **Dropping it** is not giving it up: nobody knows whether the work under
/// it has stopped, so it is renewed no more, [`stopping`](Self::stopping) fires, and others lead when it has lapsed (law 8).
#[derive(Debug)]
pub struct Leadership {
    right: Right,
    orders: mpsc::UnboundedSender<Order>,
}

impl Leadership {
    /// The right to act as the leader.
    pub fn right(&self) -> &Right {
        &self.right
    }

    /// The token to carry to every write.
    pub fn token(&self) -> FencingToken {
        self.right.token()
    }

    /// Whether it lasts at this very moment.
    pub fn is_valid(&self) -> bool {
        self.right.is_valid()
    }

    /// Fires when the work under it has to stop, before the right ends if that can be foreseen.
    pub fn stopping(&self) -> CancellationToken {
        self.right.stopping()
    }

    /// Gives it up. The work under it must have stopped. Returns when the store knows, or when it would have lapsed at the latest.
    /// Does nothing if it was lost. Not cancel safe, but the release goes on.
    pub async fn resign(self) {
        self.give_up(None).await;
    }

    /// The same, with the first right to lead next going to `successor` for a moment.
    pub async fn resign_to(self, successor: NodeId) {
        self.give_up(Some(successor)).await;
    }

    async fn give_up(self, successor: Option<NodeId>) {
        let (done, released) = oneshot::channel();
        if self.orders.send(Order { successor, done }).is_ok() {
            // Its sender is dropped without a word when the lease ended some other way meanwhile.
            let _either_way = released.await;
        }
    }
}
