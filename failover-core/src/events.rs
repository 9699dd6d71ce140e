//! What a node tells while it runs: every event, in order, exactly once each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::ids::NodeId;
use crate::machine::Event;

/// The most events kept for a listener that does not listen. What is older is dropped and [counted](Events::missed).
pub const BACKLOG: usize = 4096;

/// An event with the wall clock's time. For people and logs: nothing is ever decided by this time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StampedEvent {
    /// When the node told it, by its host's wall clock.
    pub at: SystemTime,
    /// The node that tells it; [`Event::node`] is the one it happened to.
    pub by: NodeId,
    /// What happened.
    pub event: Event,
}

impl StampedEvent {
    #[expect(clippy::disallowed_methods, reason = "the one place that stamps events")]
    fn now(by: NodeId, event: Event) -> Self {
        Self { at: SystemTime::now(), by, event }
    }
}

/// One listener's events.
#[derive(Debug)]
pub struct Events(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    inner: Mutex<Backlog>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Backlog {
    events: VecDeque<StampedEvent>,
    missed: u64,
    closed: bool,
}

impl Events {
    /// The next event; `None` once the node is finished and all were told. Cancel safe.
    pub async fn next(&mut self) -> Option<StampedEvent> {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut backlog = lock(&self.0.inner);
                if let Some(event) = backlog.events.pop_front() {
                    return Some(event);
                }
                if backlog.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// How many events were dropped because more than [`BACKLOG`] waited.
    pub fn missed(&self) -> u64 {
        lock(&self.0.inner).missed
    }
}

/// Everyone who listens to one node. The first listener is there from the start, so that it misses nothing.
#[derive(Debug)]
pub(crate) struct EventHub {
    by: NodeId,
    listeners: Mutex<Listeners>,
}

#[derive(Debug)]
struct Listeners {
    first: Option<Arc<Queue>>,
    others: Vec<Weak<Queue>>,
    closed: bool,
}

impl EventHub {
    pub(crate) fn new(by: NodeId) -> Self {
        let first = Some(Arc::new(Queue::default()));
        Self { by, listeners: Mutex::new(Listeners { first, others: Vec::new(), closed: false }) }
    }

    pub(crate) fn listen(&self) -> Events {
        let mut listeners = lock(&self.listeners);
        let queue = listeners.first.take().unwrap_or_else(|| {
            let queue = Queue::default();
            lock(&queue.inner).closed = listeners.closed;
            Arc::new(queue)
        });
        listeners.others.push(Arc::downgrade(&queue));
        Events(queue)
    }

    pub(crate) fn tell(&self, event: Event) {
        let event = StampedEvent::now(self.by.clone(), event);
        self.each(|backlog| {
            if backlog.events.len() == BACKLOG {
                backlog.events.pop_front();
                backlog.missed += 1;
            }
            backlog.events.push_back(event.clone());
        });
    }

    pub(crate) fn close(&self) {
        lock(&self.listeners).closed = true;
        self.each(|backlog| backlog.closed = true);
    }

    fn each(&self, mut change: impl FnMut(&mut Backlog)) {
        let mut listeners = lock(&self.listeners);
        let mut apply = |queue: &Queue| {
            change(&mut lock(&queue.inner));
            queue.changed.notify_one();
        };
        if let Some(first) = &listeners.first {
            apply(first);
        }
        listeners.others.retain(|queue| queue.upgrade().map(|queue| apply(&queue)).is_some());
    }
}

/// Nothing here can panic halfway through a change, so a poisoned lock holds good data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{EventKind, Reason};

    fn event(kind: EventKind) -> Event {
        Event::new(kind, NodeId::new("n1").unwrap(), Reason::LeaveAsked)
    }

    #[tokio::test]
    async fn the_first_listener_gets_all_and_a_later_one_what_comes_then() {
        let hub = EventHub::new(NodeId::new("n1").unwrap());
        hub.tell(event(EventKind::NodeJoined));
        let mut first = hub.listen();
        let mut second = hub.listen();
        hub.tell(event(EventKind::NodeLeft));
        hub.close();
        assert_eq!(first.next().await.unwrap().event.kind, EventKind::NodeJoined);
        assert_eq!(first.next().await.unwrap().event.kind, EventKind::NodeLeft);
        assert_eq!(second.next().await.unwrap().event.kind, EventKind::NodeLeft);
        assert_eq!((first.next().await, second.next().await), (None, None));
        assert_eq!(hub.listen().next().await, None, "one who comes after the end is told of the end");
    }

    #[tokio::test]
    async fn a_listener_that_waits_is_woken() {
        let hub = Arc::new(EventHub::new(NodeId::new("n1").unwrap()));
        let mut events = hub.listen();
        let waiting = tokio::spawn(async move { events.next().await });
        tokio::task::yield_now().await;
        hub.tell(event(EventKind::NodeJoined));
        assert_eq!(waiting.await.unwrap().unwrap().event.kind, EventKind::NodeJoined);
    }

    #[tokio::test]
    async fn a_deaf_listener_costs_bounded_memory_and_is_told_what_it_missed() {
        let hub = EventHub::new(NodeId::new("n1").unwrap());
        for _ in 0..BACKLOG {
            hub.tell(event(EventKind::NodeMissing));
        }
        hub.tell(event(EventKind::NodeLeft));
        hub.close();
        let mut events = hub.listen();
        assert_eq!(events.missed(), 1);
        let mut told = Vec::new();
        while let Some(stamped) = events.next().await {
            told.push(stamped.event.kind);
        }
        assert_eq!(told.len(), BACKLOG);
        assert_eq!(told.last(), Some(&EventKind::NodeLeft));
    }
}
