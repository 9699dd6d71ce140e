//! A server's connections: which one a call gets, and which one nobody gets again.
//!
//! Each [`Lane`](crate::dialect::Lane) has a few of its own, so that a renewal never queues behind a batch. A connection is
//! taken for one transaction and given back after it ended well. One whose call failed, timed out or was dropped is
//! closed; and because the way to the server may be dead for all of them, those that lay idle at that time go with it: a
//! half-open connection costs one call, not one for each connection.

use std::sync::{Arc, Mutex, PoisonError};

use failover_core::{Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dialect::Fault;

/// The connections of one lane.
pub(crate) struct Connections<C> {
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Idle<C>>>,
}

struct Idle<C> {
    /// Raised when a connection went bad: whatever was made before is not trusted.
    generation: u64,
    connections: Vec<C>,
}

impl<C: Send + 'static> Connections<C> {
    /// At most so many at once; more calls wait for their turn.
    pub(crate) fn new(most: usize) -> Self {
        let idle = Idle { generation: 0, connections: Vec::new() };
        Self { turns: Arc::new(Semaphore::new(most)), idle: Arc::new(Mutex::new(idle)) }
    }

    /// One that lay idle, or a new one.
    pub(crate) async fn take<F>(&self, operation: &'static str, connect: impl FnOnce() -> F) -> Result<Taken<C>, Fault>
    where
        F: Future<Output = Result<C, Fault>>,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|e| {
            Error::new(ErrorKind::Unavailable, operation, "the store's handle was dropped").with_source(e)
        })?;
        let (generation, idle) = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            (idle.generation, idle.connections.pop())
        };
        let reused = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            None => connect().await?,
        };
        let loan = Loan { generation, idle: Arc::clone(&self.idle), ended: false, _turn: turn };
        Ok(Taken { connection, loan, reused })
    }
}

/// A connection while it is used. Dropped, it is closed, and not trusted are those that are idle; [`give_back`](Self::give_back)
/// keeps it.
pub(crate) struct Taken<C> {
    connection: C,
    loan: Loan<C>,
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "PostgreSQL tries twice in any case"))]
    reused: bool,
}

struct Loan<C> {
    generation: u64,
    idle: Arc<Mutex<Idle<C>>>,
    /// Whether the connection's call came to its end.
    ended: bool,
    _turn: OwnedSemaphorePermit,
}

#[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "not every server needs all of it"))]
impl<C> Taken<C> {
    pub(crate) fn get(&mut self) -> &mut C {
        &mut self.connection
    }

    /// Whether it lay idle before: then the server may have closed it meanwhile.
    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    /// Keeps the connection for later: it is in no transaction, and nothing it was asked is unanswered.
    pub(crate) fn give_back(self) {
        let Self { connection, mut loan, .. } = self;
        loan.ended = true;
        let mut idle = loan.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.generation == loan.generation {
            idle.connections.push(connection);
        }
    }

    /// Closes the connection, of which nothing bad is known: the others stay.
    pub(crate) fn close(mut self) {
        self.loan.ended = true;
    }
}

impl<C> Drop for Loan<C> {
    fn drop(&mut self) {
        if !self.ended {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // Not twice for connections that went bad together.
            if idle.generation == self.generation {
                idle.generation += 1;
                idle.connections.clear();
            }
        }
    }
}

/// What a fault is of a call that was sent before, on a connection that broke: whatever is said of the second attempt, the first may
/// have been applied (law 3). What ends a handle does so all the same.
pub(crate) fn doubted(operation: &'static str, sent: bool, fault: Fault) -> Fault {
    let error = match fault {
        Fault::Busy(error) if sent => error,
        Fault::Failed(error) if sent && is_denial(error.kind()) => error,
        fault => return fault,
    };
    let message = format!("the connection broke under the call, and then: {error}. It may have been applied");
    Error::new(ErrorKind::Unknown, operation, message).with_source(error).into()
}

/// Whether it says that nothing was applied.
fn is_denial(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Full)
}

/// Of a call that finds nothing to do any more, when the same call, sent before, may have done it: the long way would not know.
pub(crate) fn perhaps_applied(operation: &'static str) -> Fault {
    let message =
        "the connection broke under the call, and then there was nothing left to do: it may have been applied";
    Error::new(ErrorKind::Unknown, operation, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(connections: &Connections<u32>, new: u32) -> Taken<u32> {
        connections.take("test", || async move { Ok(new) }).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_went_bad_takes_those_along_that_were_idle() {
        let connections = Connections::new(3);
        let (one, two, three) = (take(&connections, 1).await, take(&connections, 2).await, take(&connections, 3).await);
        one.give_back();
        drop(two);
        three.give_back();
        assert_eq!(take(&connections, 4).await.get(), &mut 4, "1 was idle and 3 in use when 2 went bad");
    }

    #[tokio::test]
    async fn a_connection_that_ended_well_is_used_again() {
        let connections = Connections::new(2);
        let one = take(&connections, 1).await;
        one.give_back();
        assert_eq!(take(&connections, 2).await.get(), &mut 1);
    }

    #[test]
    fn a_second_attempt_does_not_vouch_for_the_first() {
        let kind = |sent, fault| match doubted("test", sent, fault) {
            Fault::Failed(error) | Fault::Busy(error) => error.kind(),
        };
        let failed = |kind| Fault::Failed(Error::new(kind, "test", "it failed"));
        for denial in [ErrorKind::Unavailable, ErrorKind::Denied, ErrorKind::Full] {
            assert_eq!((kind(false, failed(denial)), kind(true, failed(denial))), (denial, ErrorKind::Unknown));
        }
        for end in [ErrorKind::StoreChanged, ErrorKind::TooNew, ErrorKind::Corrupt] {
            assert_eq!(kind(true, failed(end)), end, "the handle has to learn of it");
        }
        let busy = Fault::Busy(Error::new(ErrorKind::Unavailable, "test", "others were in the way"));
        assert_eq!(kind(true, busy), ErrorKind::Unknown);
    }
}
