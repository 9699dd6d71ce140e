//! [`Home`]: a thread of its own for a store's connections, so that what must not wait does not wait for the host.
//!
//! A host may block its executor: a long computation, a lock, a call that is not async. Whatever runs in the same runtime stands still meanwhile, and a lease that is not
//! renewed in time is lost. A backend that was opened in a home has its connections and listeners there, and [`Node`](crate::Node) and
//! [`Election`](crate::Election) go to their backend: they beat, renew, take over and give back on its thread. `failover::open` opens a backend in a home of its own; a
//! backend that was opened by its own crate, or made by hand, is at home nowhere, and everything runs in the runtime of its caller.
//!
//! ```
//! # use failover_core::{Backend, Election, NodeId, memory::MemoryStore};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = Backend::on_own_thread(|| async { Ok(MemoryStore::new().backend()) }).await?;
//! let leadership = Election::new(&backend, "nightly-report", NodeId::new("n1")?)?.campaign().await?;
//! std::thread::sleep(std::time::Duration::from_millis(10)); // however long: it is renewed meanwhile
//! assert!(leadership.is_valid());
//! leadership.resign().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What runs where
//! | in the backend's home | in the runtime in which the node was started, or the campaign begun |
//! |---|---|
//! | the node's decisions (a `Strategy` of placement too), every call to the store, hints | `prepare`, `promote`, `demote`, jobs, response actions |
//! | heartbeats, renewals, takeovers, the giving back of leases | replicas, redirects, health endpoints, fencers, witnesses that are functions |
//! | witnesses by TCP, HTTP and command, what the [heir](crate::heir) is told | the second look at the deadline of a right: see below |
//!
//! When that runtime is shut down, the node ends as if its handle had been dropped. A call that the host makes itself is carried over to the home and its answer back, between
//! threads (`failover/benches/home.rs` measures that); it is cancel safe where the call is, and one whose backend panics, or whose home is gone, is an error of kind [`Unknown`](crate::ErrorKind::Unknown).
//!
//! # A host that stands still
//! **It keeps its lease, and nobody takes over.** That is the purpose, and a danger: a host that never comes back is active for ever. A node that is to lose its role then has a
//! [watchdog](crate::NodeBuilder::watchdog), which is kept in the home too, and so is noticed while the host stands still.
//!
//! **It does not hear that it was demoted** before it runs again: `demote` and [`Right::stopping`](crate::Right::stopping) need its executor. What needs nobody is [`Right::is_valid`](crate::Right::is_valid), a comparison with the clock at the moment
//! of use: a right that lapsed meanwhile is invalid at the first look, though no message has come. A right that ended is not given to another before its ttl is over at the store (law 4), and
//! its lease is not released before `demote` has returned (law 8).
//!
//! **The deadline does not depend on the home.** If it is the home that stands still, the host's own runtime tells the work under a right to stop at [`Right::stop_at`](crate::Right::stop_at), and cuts off jobs and `promote`
//! when the right ends. A renewal that comes after that is of no use any more: the lease is asked for anew.

mod housed;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinError;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use self::housed::Housed;
use crate::backend::Backend;
use crate::driver::panic_text;
use crate::error::{Error, ErrorKind, Result};

/// The operation's name in errors.
const OPEN: &str = "open";

/// One thread, named `failover`, with a small runtime. Clones are the same one; it ends when nobody holds it any more, and every backend that lives there holds it.
///
/// Several backends may share one. **Nothing in it may block**: a backend that does delays the renewals of all of them.
#[derive(Clone)]
pub struct Home(Arc<Inner>);

struct Inner {
    handle: Handle,
    thread: ThreadId,
    carried: AtomicU64,
    _while_held: DropGuard,
}

impl Home {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the system has no thread or no descriptor left.
    pub fn start() -> Result<Self> {
        let failed = |what, error: std::io::Error| {
            let message = format!("{what} of its own cannot be had for the store: {error}");
            Error::new(ErrorKind::Unavailable, OPEN, message).with_source(error)
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| failed("a runtime", e))?;
        let (handle, abandoned) = (runtime.handle().clone(), CancellationToken::new());
        let until = abandoned.clone();
        let thread = thread::Builder::new().name("failover".into());
        let thread = thread.spawn(move || runtime.block_on(until.cancelled())).map_err(|e| failed("a thread", e))?;
        let (thread, carried) = (thread.thread().id(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { handle, thread, carried, _while_held: abandoned.drop_guard() })))
    }

    /// Opens a backend there: what `open` does is done on the thread, and so is whatever is asked of the backend later. Cancel safe: dropped, the opening is given up.
    ///
    /// # Errors
    /// Those of `open`; [`Unavailable`](ErrorKind::Unavailable) if it panics.
    pub async fn open<F, R>(&self, open: F) -> Result<Backend>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = Result<Backend>> + Send + 'static,
    {
        Ok(self.house(self.carry(OPEN, async { open().await }).await?))
    }

    /// Has a backend live there that was made elsewhere. It must not have connected yet, or have nothing that belongs to a runtime.
    pub fn house(&self, backend: Backend) -> Backend {
        Backend::new(Housed::new(backend, self.clone()))
    }

    /// How many calls have come from elsewhere so far. Those of nodes and elections do not: they run there.
    pub fn carried(&self) -> u64 {
        self.0.carried.load(Ordering::Relaxed)
    }

    /// Whether this is its thread.
    pub(crate) fn is_here(&self) -> bool {
        thread::current().id() == self.0.thread
    }

    /// Runs a task there, to its end or the home's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.handle.spawn(task));
    }

    /// Has a call made there, and brings its outcome. Dropped, it is dropped there too.
    ///
    /// What one caller carries over begins there in the same order: a listener is there before the look that follows it.
    async fn carry<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.0.carried.fetch_add(1, Ordering::Relaxed);
        let made = AbortOnDropHandle::new(self.0.handle.spawn(call)).await;
        made.unwrap_or_else(|broken| Err(lost(operation, broken)))
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("thread", &self.0.thread).finish_non_exhaustive()
    }
}

/// Of a call nobody knows whether it was applied (law 3). A store that did not come to be open was asked nothing.
fn lost(operation: &'static str, broken: JoinError) -> Error {
    let kind = if operation == OPEN { ErrorKind::Unavailable } else { ErrorKind::Unknown };
    match broken.try_into_panic() {
        Ok(panic) => {
            let message = format!("the backend panicked, which is a bug in it: {}", panic_text(&*panic));
            Error::new(kind, operation, message)
        }
        Err(gone) => {
            let message = "the store's own thread has ended, and the call with it: open the store anew";
            Error::new(kind, operation, message).with_source(gone)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LeaseName;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn a_home_that_is_gone_is_told_as_an_error() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (handle, thread) = (runtime.handle().clone(), thread::spawn(|| ()).thread().id());
        runtime.shutdown_background();
        let held = CancellationToken::new().drop_guard();
        let gone = Home(Arc::new(Inner { handle, thread, carried: AtomicU64::new(0), _while_held: held }));
        let error = gone.open(|| async { Ok(MemoryStore::new().backend()) }).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, OPEN));
        let error = gone.house(MemoryStore::new().backend()).leases.current(&LeaseName::active()).await.unwrap_err();
        assert!(error.is_outcome_unknown() && error.to_string().contains("has ended"), "{error}");
    }
}
