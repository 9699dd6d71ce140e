//! Tells the host's heir, if it has one, what the node leaves behind, whenever that changes.

use std::sync::Arc;

use super::Shared;
use crate::heir::{Estate, Heir};
use crate::machine::{Event, EventKind, Machine, Reason};

/// What the heir was told last.
pub(super) struct Bequeathing {
    heir: Arc<dyn Heir>,
    told: Estate,
}

impl Bequeathing {
    pub(super) fn new(heir: Arc<dyn Heir>, machine: &Machine) -> Self {
        Self { heir, told: Estate::empty(machine.member().clone()) }
    }

    /// Before what the machine wants is done: so the heir knows of a grant before work begins under it, and of a goodbye before that is sent.
    pub(super) fn tell(&mut self, machine: &Machine) {
        let estate = machine.estate();
        if estate != self.told {
            self.heir.inherit(&estate);
            self.told = estate;
        }
    }

    /// Waits until the heir is gone, and says so.
    pub(super) fn watch(&self, shared: Arc<Shared>) -> impl Future<Output = ()> + Send + use<> {
        let heir = self.heir.clone();
        async move {
            let why = heir.gone().await;
            let event = Event::new(EventKind::GuardLost, shared.member.node.clone(), Reason::GuardGone).detail(why);
            tracing::warn!(event = %event.kind, node = %event.node, detail = event.detail.as_deref(), "{}", event.reason);
            shared.tell(event);
        }
    }
}
