//! [`Gate`]: new work is admitted on the active node only, and what was admitted may finish.
//!
//! A host asks the gate at the door: before a login, a session, an order. Behind it the work goes on as it is, also when the role goes
//! elsewhere: a planned move waits for it, up to the gate's bound.
//!
//! ```
//! use std::time::Duration;
//!
//! use failover_core::gate::{Gate, Refused};
//! use failover_core::memory::MemoryStore;
//! use failover_core::{Node, NodeId, Role, RoleHooks};
//!
//! struct Front; // what the host does itself when the role changes
//! impl RoleHooks for Front {}
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gate = Gate::new(Duration::from_secs(30));
//! assert_eq!(gate.admit().unwrap_err(), Refused::Passive);
//!
//! let store = MemoryStore::new();
//! let node = Node::builder(store.backend(), NodeId::new("n1")?).hooks(gate.before(Front)).start()?;
//! node.roles().wait_for(|role| *role == Role::Active).await?;
//!
//! let session = gate.admit()?; // the door is open
//! println!("writes of this session carry {}", session.right().token());
//! drop(session); // it is over: nothing holds up a hand-over any more
//!
//! node.shutdown().await;
//! assert_eq!(gate.admit().unwrap_err(), Refused::Passive);
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `tower`, [`Gate::layer`] puts the gate before a service.

#[cfg(feature = "tower")]
mod layer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

#[cfg(feature = "tower")]
pub use self::layer::{Gated, GatedFuture, Layer, Rejected};
use crate::driver::RoleHooks;
use crate::right::Right;

/// A door that is open while this node is active. Clones are the same door.
///
/// [`admit`](Self::admit) compares with the clock at the moment it is asked (law 4). So a node that has lost its right refuses before any
/// other can have one, also if it was paused, is cut off, or has not been told: **no two nodes' gates are open at the same time**, as
/// far as their [rights](Right) are. Held by `tests/node/gate.rs`.
#[derive(Clone)]
pub struct Gate {
    bound: Duration,
    door: Arc<watch::Sender<Door>>,
}

#[derive(Debug, Default)]
struct Door {
    /// Under what it is or was open.
    right: Option<Right>,
    shut: bool,
    /// How much work was admitted, under whichever right, and goes on.
    inside: usize,
}

impl Door {
    fn check(&self) -> Result<&Right, Refused> {
        let right = self.right.as_ref().filter(|right| right.is_valid()).ok_or(Refused::Passive)?;
        if self.shut || right.is_stopping() { Err(Refused::Stopping) } else { Ok(right) }
    }
}

/// Why work was not admitted. It belongs on the active node, whichever that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// This node is not the active one.
    #[error("this node is not the active one")]
    Passive,
    /// It still is, and is about to hand over or to lose its right.
    #[error("this node is about to stop being the active one")]
    Stopping,
}

/// The work took longer than the gate's bound lets it after the node had to stop, and was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work went on for {bound:?} after the node had to stop, and was cut off")]
#[non_exhaustive]
pub struct Overdue {
    /// How long it may go on.
    pub bound: Duration,
}

impl Gate {
    /// A gate that is shut until a node it stands [`before`](Self::before) is active.
    ///
    /// `bound` is how long admitted work may go on after the node has to stop. A planned hand-over waits for the work that long, and
    /// the other node opens after that. A node keeps its lease for six times its ttl while it stops and lets it lapse then: a longer
    /// bound only keeps the sessions of a node that is active no more.
    pub fn new(bound: Duration) -> Self {
        Self { bound, door: Arc::new(watch::Sender::new(Door::default())) }
    }

    /// The host's hooks with this gate before them, for [`NodeBuilder::hooks`](crate::NodeBuilder::hooks). It opens after the host's `promote` has returned. It shuts
    /// before its `demote`, which is called when the admitted work is done, or when the bound or the right is over.
    pub fn before<H: RoleHooks>(&self, host: H) -> impl RoleHooks + use<H> {
        Doorkeeper { gate: self.clone(), host }
    }

    /// Lets work in, if this node is the active one at this moment.
    ///
    /// # Errors
    /// [`Refused`] if it is not, or is about to stop.
    pub fn admit(&self) -> Result<Admission, Refused> {
        let mut answer = Err(Refused::Passive);
        // Nobody waits for the door to fill.
        self.door.send_if_modified(|door| {
            answer = door.check().cloned();
            door.inside += usize::from(answer.is_ok());
            false
        });
        answer.map(|right| Admission { gate: self.clone(), right })
    }

    /// Whether work would be let in at this moment. What counts is the answer of [`admit`](Self::admit).
    pub fn is_open(&self) -> bool {
        self.door.borrow().check().is_ok()
    }

    /// How much admitted work goes on.
    pub fn inside(&self) -> usize {
        self.door.borrow().inside
    }

    /// Waits until no admitted work goes on. Cancel safe.
    pub async fn emptied(&self) {
        // The sender is part of `self`, so it cannot be gone.
        let mut door = self.door.subscribe();
        let _emptied = door.wait_for(|door| door.inside == 0).await;
    }

    fn open(&self, right: Right) {
        self.door.send_modify(|door| (door.right, door.shut) = (Some(right), false));
    }

    /// Lets nobody in any more, and tells under what it was open.
    fn shut(&self) -> Option<Right> {
        self.door.send_modify(|door| door.shut = true);
        self.door.borrow().right.clone()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("open", &self.is_open())
            .field("inside", &self.inside())
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// Work that was let in: keep it for as long as the work goes on, and drop it then.
#[derive(Debug)]
#[must_use = "dropped, the work counts as done"]
pub struct Admission {
    gate: Gate,
    right: Right,
}

impl Admission {
    /// The right that the node had when the work was let in, with the token to carry to every write.
    pub fn right(&self) -> &Right {
        &self.right
    }

    /// Waits until the work has gone on for as long as the gate's bound lets it, counted from when the node has to stop. Cancel safe.
    pub async fn overdue(&self) -> Overdue {
        self.right.stopped_for(self.gate.bound).await;
        Overdue { bound: self.gate.bound }
    }

    /// Does the work, to its end or until it is [overdue](Self::overdue).
    ///
    /// # Errors
    /// [`Overdue`] if it was dropped unfinished.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> Result<T, Overdue> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            overdue = self.overdue() => Err(overdue),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.gate.door.send_if_modified(|door| {
            door.inside -= 1;
            door.inside == 0
        });
    }
}

/// Opens and shuts the gate, around the host's own hooks.
struct Doorkeeper<H> {
    gate: Gate,
    host: H,
}

#[async_trait]
impl<H: RoleHooks> RoleHooks for Doorkeeper<H> {
    async fn prepare(&self) {
        self.host.prepare().await;
    }

    async fn promote(&self, right: Right) {
        self.host.promote(right.clone()).await;
        self.gate.open(right);
    }

    async fn demote(&self) {
        if let Some(right) = self.gate.shut() {
            // The host itself is not kept waiting beyond the right.
            tokio::select! {
                () = self.gate.emptied() => {}
                () = right.stopped_for(self.gate.bound) => {}
                () = right.clone().over() => {}
            }
        }
        self.host.demote().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, LeaseName, Member, NodeId, Term};
    use crate::lease::Lease;
    use crate::right::RightKeeper;
    use crate::time::{Clock, ManualClock};

    const SECOND: Duration = Duration::from_secs(1);

    fn open(clock: &ManualClock, gate: &Gate) -> RightKeeper {
        let holder = Member::new(NodeId::new("n1").unwrap(), Incarnation::from_u128(1));
        let lease = Lease { name: LeaseName::active(), holder, term: Term(7), ttl: SECOND * 5 };
        let now = clock.now();
        let keeper = RightKeeper::new(lease, Arc::new(clock.clone()), now + SECOND * 3, now + SECOND * 4);
        gate.open(keeper.right());
        keeper
    }

    #[test]
    fn it_is_shut_at_the_moment_when_the_right_ends_though_nobody_says_so() {
        let (clock, gate) = (ManualClock::new(), Gate::new(SECOND));
        let _keeper = open(&clock, &gate);
        clock.advance(Duration::from_nanos(3_999_999_999));
        let work = gate.admit().unwrap();
        clock.advance(Duration::from_nanos(1));
        assert_eq!(gate.admit().unwrap_err(), Refused::Passive);
        assert!(!gate.is_open() && gate.inside() == 1 && !work.right().is_valid());
    }

    #[tokio::test]
    async fn the_bound_is_counted_from_the_stop_whenever_it_is_asked_for() {
        let (clock, gate) = (ManualClock::new(), Gate::new(SECOND));
        let keeper = open(&clock, &gate);
        let work = gate.admit().unwrap();
        keeper.cancel();
        assert_eq!(gate.admit().unwrap_err(), Refused::Stopping);
        clock.advance(SECOND);
        assert_eq!(work.overdue().await, Overdue { bound: SECOND }, "without a further wait");
        assert_eq!(work.run(async { 7 }).await, Ok(7), "what is done is done");
        assert_eq!(gate.inside(), 0);
    }
}
