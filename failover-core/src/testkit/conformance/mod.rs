//! What the four traits promise, as tests: one async function a clause, named as the sentence it checks.
//!
//! [`conformance!`](crate::conformance) turns them into named tests for one backend. No clause demands that anything happens within a
//! tight time, so a slow machine cannot make a correct backend fail; time is demanded only in the direction that a
//! store must keep.

pub mod lease;

mod kit;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Backend;
use crate::time::{Clock, SystemClock};

/// How the suite gets at one store. Each clause gets a fixture of its own, with an empty cluster in it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A handle on the fixture's cluster: each call one of its own, as another process that starts now would open it. The
    /// first call finds the cluster empty. After [`wipe`](Self::wipe) it accepts the store as it then is.
    async fn open(&self) -> Backend;

    /// A handle on another cluster in the same store.
    async fn open_other(&self) -> Backend;

    /// Loses all the store holds, terms included, behind the back of the handles that are open: a file deleted or replaced, a
    /// server flushed or restored from nothing.
    async fn wipe(&self);

    /// Marks what the store holds now as written by a build of a newer format than [`FORMAT`](crate::record::FORMAT), behind the
    /// back of the handles that are open.
    async fn make_newer(&self);

    /// A ttl that is worth waiting for and that this store can keep: clauses about expiry wait for a small multiple of it. A
    /// few hundred milliseconds for a store that runs by a real clock, and at least its [`least_ttl`](crate::LeaseManager::least_ttl).
    fn ttl(&self) -> Duration;

    /// Whether [`changed`](crate::HeartbeatStore::changed) completes when something has changed. If it does not, it is not asked.
    fn hints(&self) -> bool;

    /// A clock that runs as the store's does. Default: the machine's.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    /// Lets at least this much time pass for the store. Default: waits.
    async fn pass(&self, by: Duration) {
        let clock = self.clock();
        clock.sleep_until(clock.now() + by).await;
    }

    /// Closes the store and opens it again, as after a restart of its server, if it is one that keeps its data then. Handles
    /// that are open may fail from here on. Default: nothing.
    async fn restart(&self) {}
}

/// Hands the list of all clauses to another macro. The one place where a clause is registered.
#[doc(hidden)]
#[macro_export]
macro_rules! __clauses {
    ($then:path, $fixture:tt) => {
        $then! { $fixture
            lease {
                a_free_lease_is_granted
            }
        }
    };
}

/// One named test for each clause of the suite, in the modules `heartbeat`, `lease`, `job` and `state`.
///
/// The argument is an expression that makes a [`Fixture`]; it is
/// evaluated for each test anew, inside an async block. Write it in an integration test, in a module of its own if there are
/// several backends.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::__clauses! { $crate::__clause_tests, ($fixture) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __clause_tests {
    ($fixture:tt $($group:ident { $($clause:ident)* })*) => {
        $($crate::__clause_module! { $fixture $group { $($clause)* } })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __clause_module {
    (($fixture:expr) $group:ident { $($clause:ident)* }) => {
        mod $group {
            #[allow(unused_imports, reason = "the fixture's expression may need nothing from outside")]
            use super::*;
            $(
                #[test]
                fn $clause() {
                    $crate::testkit::conformance::run(concat!(stringify!($group), "::", stringify!($clause)), async {
                        let fixture = $fixture;
                        $crate::testkit::conformance::$group::$clause(&fixture).await;
                    });
                }
            )*
        }
    };
}

macro_rules! clause_names {
    (() $($group:ident { $($clause:ident)* })*) => {
        /// The names of all clauses, with their module.
        pub const CLAUSES: &[&str] = &[$($(concat!(stringify!($group), "::", stringify!($clause)),)*)*];
    };
}
use clause_names;
crate::__clauses! { clause_names, () }

/// How long a clause may take before it counts as hung: far more than any needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs one clause to its end on a runtime of its own, with several threads, so that concurrent calls really are.
///
/// # Panics
/// If the clause is broken, or hangs.
pub fn run(clause: &str, body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|e| panic!("no runtime for a test: {e}"));
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, body).await });
    // A call that hangs on a thread of its own must not keep the test from ending.
    runtime.shutdown_background();
    assert!(done.is_ok(), "{clause}: not finished after {PATIENCE:?}");
}

#[cfg(test)]
mod tests {
    use super::CLAUSES;

    #[test]
    fn clause_names_are_unique() {
        let mut names = CLAUSES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CLAUSES.len());
    }
}
