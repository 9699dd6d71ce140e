//! [`Pen`]: what companions of the active node write into the store, and how often they try.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::driver::{Shared, bounded};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::StateKey;
use crate::lease::Lease;
use crate::machine::Jitter;
use crate::state::{Expect, StateStore, Written};
use crate::time::Clock;
use crate::timing::Timing;

/// Writes under the active node's lease.
pub(super) struct Pen {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<dyn StateStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timing: Timing,
}

/// The store knows of a later active node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deposed;

impl Pen {
    /// Writes once. `Err` says why it is not sure to be there.
    pub(super) async fn write(
        &self,
        operation: &'static str,
        key: &StateKey,
        value: &[u8],
        lease: &Lease,
    ) -> Result<Result<(), Deposed>> {
        // The fence decides whose word counts, not what is there: a repeated write says the same (laws 1 and 5).
        let write = self.state.put(key, value, Expect::Any, Some(lease));
        match bounded(&*self.clock, self.clock.now() + self.timing.call(), operation, write).await? {
            Written::Written(_) => Ok(Ok(())),
            Written::Fenced { .. } => Ok(Err(Deposed)),
            Written::Conflict(_) => {
                let message = "the store found a conflict where any version was to be replaced, which is a bug in it";
                Err(Error::new(ErrorKind::Unavailable, operation, message))
            }
        }
    }

    /// Writes until the store has taken it in, ever less often, or knows of a later active node. Whoever drops it may have written.
    pub(super) async fn insist(
        &self,
        operation: &'static str,
        key: &StateKey,
        value: &[u8],
        lease: &Lease,
    ) -> Result<(), Deposed> {
        let mut pauses = self.pauses(self.timing.beat() / 4, self.timing.ttl());
        loop {
            match self.write(operation, key, value, lease).await {
                Ok(answer) => return answer,
                Err(error) => warn!(%key, %error, "a word to clients could not be written; it is tried again"),
            }
            pauses.rest().await;
        }
    }

    /// Pauses between tries, from the first to the longest.
    pub(super) fn pauses(&self, first: Duration, longest: Duration) -> Pauses<'_> {
        Pauses { clock: &*self.clock, jitter: Jitter::of(&self.shared.member), next: first, longest }
    }
}

/// Pauses that double, and that no two nodes take in step (law 17).
pub(super) struct Pauses<'a> {
    clock: &'a dyn Clock,
    jitter: Jitter,
    next: Duration,
    longest: Duration,
}

impl Pauses<'_> {
    pub(super) async fn rest(&mut self) {
        let pause = self.jitter.upto(self.next);
        self.next = (self.next * 2).min(self.longest);
        self.clock.sleep_until(self.clock.now() + pause).await;
    }
}
