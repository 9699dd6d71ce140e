use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::inbox::{Message, Outbox};
use crate::time::{Clock, Time};

/// The host's watchdog: a stamp that any thread can set, without a lock and without the runtime.
#[derive(Debug)]
pub(crate) struct Pulse {
    clock: Arc<dyn Clock>,
    outbox: Outbox,
    fed_at: AtomicU64,
    /// Set while the machine takes the host for hung, so that the next sign of life wakes it.
    missed: AtomicBool,
}

impl Pulse {
    pub(crate) fn new(clock: Arc<dyn Clock>, outbox: Outbox) -> Self {
        let fed_at = AtomicU64::new(clock.now().as_nanos());
        Self { clock, outbox, fed_at, missed: AtomicBool::new(false) }
    }

    pub(crate) fn feed(&self) {
        // Only ever later, whichever of two threads is faster. In this order, so that whoever sees the flag taken sees the stamp.
        self.fed_at.fetch_max(self.clock.now().as_nanos(), Ordering::SeqCst);
        if self.missed.swap(false, Ordering::SeqCst) {
            // Fails only when the node has ended, and then nobody waits for a sign of life.
            let _ended = self.outbox.send(Message::Fed);
        }
    }

    pub(super) fn fed_at(&self) -> Time {
        Time::from_nanos(self.fed_at.load(Ordering::SeqCst))
    }

    pub(super) fn miss(&self) {
        self.missed.store(true, Ordering::SeqCst);
    }
}
