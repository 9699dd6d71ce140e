use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::keys::Keys;
use super::publisher::Request;
use super::{Follow, Lag, Position, Replicated};
use crate::error::Invalid;
use crate::time::{Clock, Time};

/// How fast a replica is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) follow: Follow,
    pub(super) period: Duration,
    /// A snapshot after so many records,
    pub(super) records: u64,
    /// or so many bytes of them.
    pub(super) bytes: u64,
}

/// How far the copy is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    /// All up to this record is applied.
    pub(super) position: u64,
    /// The journal goes at least up to this one.
    pub(super) end: u64,
    /// When the last read was sent that found the end, with all up to there applied.
    pub(super) complete_at: Option<Time>,
    pub(super) leads: bool,
    pub(super) trouble: Option<String>,
    /// Counts everything that gets it further, so that a hang can be told from slowness.
    pub(super) steps: u64,
}

impl View {
    pub(super) fn records_behind(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }
}

/// What the handles of a replica and its keeper share.
pub(crate) struct Shared {
    name: String,
    pub(super) keys: Keys,
    pub(super) host: Arc<dyn Replicated>,
    pub(super) pace: Pace,
    view: watch::Sender<View>,
    /// Where requests go in while it leads.
    door: Mutex<Option<mpsc::Sender<Request>>>,
    /// The clock of the node it was given to.
    clock: Mutex<Option<Arc<dyn Clock>>>,
}

impl Shared {
    pub(super) fn new(name: &str, host: Arc<dyn Replicated>, pace: Pace) -> Result<Self, Invalid> {
        let (view, door, clock) = (watch::Sender::new(View::default()), Mutex::default(), Mutex::default());
        Ok(Self { name: name.to_owned(), keys: Keys::new(name)?, host, pace, view, door, clock })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it to a node, once in its life.
    pub(super) fn attach(&self, clock: Arc<dyn Clock>) -> Result<(), Invalid> {
        let mut mine = lock(&self.clock);
        if mine.is_some() {
            return Err(Invalid::new("replica", &self.name, "it must be given to one node, once"));
        }
        *mine = Some(clock);
        Ok(())
    }

    /// Takes it back from a node that was not started after all.
    pub(super) fn detach(&self) {
        *lock(&self.clock) = None;
    }

    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(super) fn change(&self, how: impl FnOnce(&mut View)) {
        self.view.send_if_modified(|view| {
            let before = view.clone();
            how(view);
            *view != before
        });
    }

    pub(super) fn position(&self) -> Position {
        Position(self.view.borrow().position)
    }

    pub(super) async fn reached(&self, position: Position) {
        let mut view = self.view.subscribe();
        // The sender is a field of self.
        let _reached = view.wait_for(|view| view.position >= position.0).await;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.view.borrow().trouble.clone()
    }

    pub(super) fn lag(&self) -> Option<Lag> {
        let now = lock(&self.clock).as_ref()?.now();
        let view = self.view.borrow();
        if view.leads {
            return Some(Lag::NONE);
        }
        Some(Lag { records: view.records_behind(), behind: view.complete_at.map(|complete| now.since(complete)) })
    }

    /// Where requests go in, if it leads.
    pub(super) fn door(&self) -> Option<mpsc::Sender<Request>> {
        lock(&self.door).clone()
    }

    pub(super) fn open(&self, door: Option<mpsc::Sender<Request>>) {
        *lock(&self.door) = door;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
