//! Tells clients where the active node is: once per term, until the store knows.

use tracing::warn;

use super::pen::{Deposed, Pen};
use super::{Address, Endpoint, active_key};
use crate::machine::{Event, EventKind, Reason};
use crate::right::Right;

/// Publishes a node's endpoints whenever it has become active.
pub(super) struct Herald {
    pub(super) pen: Pen,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Herald {
    /// Until it is dropped.
    pub(super) async fn run(self) {
        let mut last = None;
        loop {
            let right = self.pen.shared.active_after(last).await;
            last = Some(right.lease().term);
            let stopping = right.stopping();
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = self.publish(&right) => {}
            }
        }
    }

    /// Writes until the store has taken it in, or knows of a later active node.
    async fn publish(&self, right: &Right) {
        let lease = right.lease();
        let node = self.pen.shared.member.node.clone();
        let value = match Address::new(lease.term, node.clone(), self.endpoints.clone()).encode() {
            Ok(value) => value,
            Err(error) => return warn!(%error, "the endpoints cannot be published"),
        };
        if self.pen.insist("publish", &active_key(), &value, lease).await == Err(Deposed) {
            return;
        }
        let event = Event::new(EventKind::EndpointsPublished, node, Reason::ClientsTold);
        let told: Vec<&str> = self.endpoints.iter().map(Endpoint::as_str).collect();
        self.pen.shared.tell(event.term(lease.term).detail(told.join(";")));
    }
}
