//! The attempts to open a store: one at a time, whoever asks, until one succeeds.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover_core::time::Clock;
use failover_core::{Backend, Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

/// Between the first attempt and the second.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Between two attempts at most. A part of the time in which all is well again after an outage, so it is short.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An attempt that takes longer hangs: no backend's own opening tries for longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The operation's name in errors.
const OPEN: &str = "open";

type Attempt = Pin<Box<dyn Future<Output = Result<Backend>> + Send>>;

/// A store that is to be opened.
pub(super) struct Opening {
    attempt: Arc<dyn Fn() -> Attempt + Send + Sync>,
    clock: Arc<dyn Clock>,
    state: watch::Sender<State>,
    task: Mutex<Option<AbortHandle>>,
}

/// How far it has come.
#[derive(Debug, Clone)]
enum State {
    /// Nobody is at it.
    Idle,
    /// The first attempt is under way.
    Begun,
    /// The latest attempt has failed so, and another follows.
    Failed(Error),
    Open(Backend),
}

impl Opening {
    pub(super) fn new<F>(attempt: impl Fn() -> F + Send + Sync + 'static, clock: Arc<dyn Clock>) -> Self
    where
        F: Future<Output = Result<Backend>> + Send + 'static,
    {
        let attempt = Arc::new(move || Box::pin(attempt()) as Attempt);
        Self { attempt, clock, state: watch::Sender::new(State::Idle), task: Mutex::default() }
    }

    /// What was opened, if it was.
    pub(super) fn opened(&self) -> Option<Backend> {
        match &*self.state.borrow() {
            State::Open(backend) => Some(backend.clone()),
            State::Idle | State::Begun | State::Failed(_) => None,
        }
    }

    /// The store, for an operation of this name; why there is none, once an attempt has failed. Cancel safe.
    pub(super) async fn store(&self, operation: &'static str) -> Result<Backend> {
        self.until(|state| match state {
            State::Open(backend) => Some(Ok(backend)),
            State::Failed(error) => Some(Err(told(operation, &error))),
            State::Idle | State::Begun => None,
        })
        .await
    }

    /// Waits until it is open. Cancel safe.
    pub(super) async fn open(&self) {
        self.until(|state| matches!(state, State::Open(_)).then_some(())).await;
    }

    async fn until<T>(&self, is_so: impl Fn(State) -> Option<T>) -> T {
        let mut states = self.state.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            if matches!(state, State::Idle) {
                self.begin();
            } else if let Some(found) = is_so(state) {
                return found;
            }
            // It cannot be closed while we have the sender.
            let _open = states.changed().await;
        }
    }

    /// Goes on in a task, unless somebody else has begun.
    fn begin(&self) {
        let mut first = false;
        self.state.send_if_modified(|state| {
            first = matches!(state, State::Idle);
            if first {
                *state = State::Begun;
            }
            first
        });
        if first {
            let (attempt, clock) = (self.attempt.clone(), self.clock.clone());
            let at_it = AtIt(self.state.clone());
            let task = tokio::spawn(async move { run(&*attempt, &*clock, &at_it.0).await });
            *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Says so when nobody is at it any more, because the runtime was shut down: the next call begins anew, in its own.
struct AtIt(watch::Sender<State>);

impl Drop for AtIt {
    fn drop(&mut self) {
        let next = if std::thread::panicking() {
            let message = "the opening panicked: see what the panic says";
            State::Failed(Error::new(ErrorKind::Unavailable, OPEN, message))
        } else {
            State::Idle
        };
        self.0.send_if_modified(|state| {
            let is_over = !matches!(state, State::Open(_));
            if is_over {
                *state = next;
            }
            is_over
        });
    }
}

/// Tries until it succeeds.
async fn run(attempt: &(dyn Fn() -> Attempt + Send + Sync), clock: &dyn Clock, state: &watch::Sender<State>) {
    let (mut pause, mut said) = (FIRST_PAUSE, None);
    loop {
        match bounded(attempt(), clock).await {
            Ok(backend) => {
                if said.is_some() {
                    info!("the store is open");
                }
                state.send_replace(State::Open(backend));
                return;
            }
            Err(error) => {
                if said.replace(error.kind()) != Some(error.kind()) {
                    warn!(kind = %error.kind(), %error, "the store cannot be opened yet; it is tried again");
                }
                state.send_replace(State::Failed(error));
            }
        }
        clock.sleep_until(clock.now() + jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One attempt. One that hangs or panics has failed.
async fn bounded(attempt: Attempt, clock: &dyn Clock) -> Result<Backend> {
    let mut alone = JoinSet::new();
    alone.spawn(attempt);
    let end = clock.now() + PATIENCE;
    tokio::select! {
        biased;
        Some(outcome) = alone.join_next() => outcome.unwrap_or_else(|broken| {
            let message = "the backend panicked, which is a bug in it";
            Err(Error::new(ErrorKind::Unavailable, OPEN, message).with_source(broken))
        }),
        () = clock.sleep_until(end) => {
            let message = format!("nothing came of it within {PATIENCE:?}: see whether the store answers others");
            Err(Error::new(ErrorKind::Unavailable, OPEN, message))
        }
    }
}

/// A duration between half of `most` and `most`, so that no two nodes try in step (law 17).
fn jittered(most: Duration) -> Duration {
    let share = u32::try_from(RandomState::new().hash_one(most) % 1024).unwrap_or(0);
    most / 2 + most / 2 * share / 1024
}

/// The failed attempt as the failure of an operation, of which nothing was sent.
fn told(operation: &'static str, error: &Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Unknown => ErrorKind::Unavailable,
        kind => kind,
    };
    Error::new(kind, operation, format!("the store is not open yet: {error}")).with_source(error.clone())
}
