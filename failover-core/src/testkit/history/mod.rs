//! Whether what clients saw of a lease can be explained by one lease: a recorder, and a check for linearizability.
//!
//! [`History::wrap`] stands between clients and their [`LeaseManager`]s and writes down every call with the moments at which it
//! was made and answered. A call whose outcome is unknown, or whose future was dropped, stays open: it may have been applied at any
//! moment since, or never. [`History::check`] then looks for an order of all calls, each at one moment between question and
//! answer, in which every answer is the one that the contract of [`LeaseManager`] gives (Herlihy and Wing, "Linearizability",
//! 1990; the search is Wing and Gong's, 1993, with the memory of states that Lowe added, 2017). A lease may lapse by itself, at
//! any moment after its ttl and at none before.
//!
//! ```
//! use std::time::Duration;
//! use failover_core::memory::MemoryStore;
//! use failover_core::testkit::history::{Bounds, History, Play, Verdict};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (history, store) = (History::new(), MemoryStore::new());
//! let clients = (0..3).map(|_| history.wrap(store.backend().leases)).collect();
//! Play { seed: 7, ttl: Duration::from_millis(60), calls: 8, deadline: Duration::from_secs(1) }.run("lease", clients).await;
//! let verdict = history.check(Bounds::default()).unwrap_or_else(|violation| panic!("{violation}"));
//! assert_eq!(verdict, Verdict::Explained);
//! # }
//! ```

mod check;
mod model;
mod play;
mod recorder;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ids::{LeaseName, Member, NodeId};
use crate::lease::{Acquired, Lease, LeaseManager, LeaseView, Renewed};
use crate::time::{Clock, SystemClock, Time};

pub use check::{Verdict, Violation};
pub use play::Play;

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the methods of `LeaseManager` and their parameters")]
pub enum Call {
    Acquire { name: LeaseName, member: Member, ttl: Duration },
    Renew { lease: Lease },
    Release { lease: Lease, successor: Option<NodeId> },
    Current { name: LeaseName },
}

impl Call {
    /// The lease it is about.
    pub fn name(&self) -> &LeaseName {
        match self {
            Self::Acquire { name, .. } | Self::Current { name } => name,
            Self::Renew { lease } | Self::Release { lease, .. } => &lease.name,
        }
    }
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the methods of `LeaseManager`")]
pub enum Answer {
    Acquired(Acquired),
    Renewed(Renewed),
    Released,
    Current(LeaseView),
}

/// One call and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The question.
    pub call: Call,
    /// When it was asked.
    pub asked: Time,
    /// When it was answered, and how; nothing if that is not known, for ever.
    pub answer: Option<(Time, Answer)>,
}

impl Event {
    /// The last moment at which it can have been applied.
    fn latest(&self) -> Time {
        self.answer.as_ref().map_or(Time::from_nanos(u64::MAX), |(at, _)| *at)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.asked)?;
        match &self.answer {
            Some((at, _)) => write!(f, " to {at:?}: ")?,
            None => write!(f, " and on: ")?,
        }
        match &self.call {
            Call::Acquire { name, member, ttl } => write!(f, "acquire {name} for {member}, {ttl:?}")?,
            Call::Renew { lease } => write!(f, "renew {} of {}", lease.token(), lease.holder)?,
            Call::Release { lease, successor } => {
                write!(f, "release {} of {}", lease.token(), lease.holder)?;
                if let Some(successor) = successor {
                    write!(f, " to {successor}")?;
                }
            }
            Call::Current { name } => write!(f, "current {name}")?,
        }
        match &self.answer {
            None => f.write_str(" -> unknown"),
            Some((_, Answer::Acquired(Acquired::Granted(lease)))) => write!(f, " -> granted, term {}", lease.term),
            Some((_, Answer::Acquired(Acquired::Refused(view)))) => write!(f, " -> refused, {view:?}"),
            Some((_, Answer::Renewed(renewed))) => write!(f, " -> {renewed:?}"),
            Some((_, Answer::Released)) => f.write_str(" -> done"),
            Some((_, Answer::Current(view))) => write!(f, " -> {view:?}"),
        }
    }
}

/// By how much a lease's end may differ from its ttl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Sooner, by the recorder's clock: for a store that counts in milliseconds, and on a clock of its own. Default: 5 ms.
    pub early: Duration,
    /// Later: the store's declared slack, and what it needs to notice. Default: no end.
    pub late: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { early: Duration::from_millis(5), late: Duration::MAX }
    }
}

/// What clients asked and were told, on one clock. Clones are the same history.
#[derive(Debug, Clone)]
pub struct History {
    clock: Arc<dyn Clock>,
    entries: Arc<Mutex<Vec<Option<Event>>>>,
}

impl History {
    /// An empty history on the machine's clock.
    pub fn new() -> Self {
        Self::on(SystemClock::new())
    }

    /// An empty history on this clock.
    pub fn on(clock: impl Clock + 'static) -> Self {
        Self { clock: Arc::new(clock), entries: Arc::default() }
    }

    /// The same leases, with every call written down here. Floors are raised unrecorded: they only lift what is granted later.
    pub fn wrap(&self, leases: Arc<dyn LeaseManager>) -> Arc<dyn LeaseManager> {
        Arc::new(recorder::Recorded::new(leases, self.clone()))
    }

    /// What was written down so far, in order of asking. A call that surely was not applied is not part of it.
    pub fn events(&self) -> Vec<Event> {
        self.entries().iter().flatten().cloned().collect()
    }

    /// Checks that all of it can be explained, or says that it has too few answers for that.
    ///
    /// # Errors
    /// The longest explanation that was found, and what does not fit it.
    pub fn check(&self, bounds: Bounds) -> Result<Verdict, Violation> {
        check::check(&self.events(), bounds)
    }

    fn ask(&self, call: Call) -> usize {
        let mut entries = self.entries();
        entries.push(Some(Event { call, asked: self.clock.now(), answer: None }));
        entries.len() - 1
    }

    fn answered(&self, entry: usize, answer: Answer) {
        // Read before the lock is waited for, so that the answer seems no later than it was.
        let at = self.clock.now();
        if let Some(event) = &mut self.entries()[entry] {
            event.answer = Some((at, answer));
        }
    }

    fn not_applied(&self, entry: usize) {
        self.entries()[entry] = None;
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Option<Event>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

/// Checks events from elsewhere, as [`History::check`] does.
///
/// # Errors
/// As there.
pub fn check(events: &[Event], bounds: Bounds) -> Result<Verdict, Violation> {
    check::check(events, bounds)
}
