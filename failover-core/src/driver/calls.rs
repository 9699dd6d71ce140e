//! Store calls: each beside the decisions, each under a deadline, each with exactly one outcome.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Member;
use crate::lease::LeaseManager;
use crate::machine::{Call, Reply};
use crate::time::{Clock, Time};

/// Makes a call that is to come out by `deadline`. A hang, and a backend that panics, are an *unknown* outcome (law 3).
///
/// The deadline is looked at first: a process that was paused before it could send does not send any more.
pub(crate) async fn bounded<T>(
    clock: &dyn Clock,
    deadline: Time,
    operation: &'static str,
    call: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    tokio::select! {
        biased;
        () = clock.sleep_until(deadline) => {
            let message = "no answer within the call's deadline; it may have been applied, and will be asked again";
            Err(Error::new(ErrorKind::Unknown, operation, message))
        }
        outcome = AssertUnwindSafe(call).catch_unwind() => outcome.unwrap_or_else(|panic| {
            let message = format!("the backend panicked, which is a bug in it: {}", panic_text(&*panic));
            Err(Error::new(ErrorKind::Unknown, operation, message))
        }),
    }
}

/// The call by the machine's order.
pub(crate) async fn make(backend: Arc<Backend>, member: Arc<Member>, call: Call) -> Result<Reply> {
    let Backend { heartbeats, leases, jobs, state } = &*backend;
    Ok(match call {
        Call::Beat(heartbeat) => heartbeats.beat(&heartbeat).await.map(|()| Reply::Done)?,
        Call::Sightings => Reply::Sightings(heartbeats.sightings().await?),
        Call::Forget(whom) => heartbeats.forget(&whom).await.map(|()| Reply::Done)?,
        Call::Acquire { .. } | Call::Renew(_) | Call::Release { .. } | Call::Current(_) => {
            lease(&**leases, &member, call).await?
        }
        Call::Changes { since, limit } => Reply::Changes(jobs.changes(since, limit).await?),
        Call::Assign { fence, moves } => Reply::Assigned(jobs.assign(&fence, &moves).await?),
        Call::Report(reports) => Reply::Reported(jobs.report(&reports).await?),
        Call::List { prefix, after, limit } => Reply::Documents(state.list(&prefix, after.as_ref(), limit).await?),
        Call::Put { key, value, expect, fence } => Reply::Written(state.put(&key, &value, expect, Some(&fence)).await?),
        Call::Delete { key, expect, fence } => Reply::Deleted(state.delete(&key, expect, Some(&fence)).await?),
    })
}

/// A call that is about a lease, for whoever needs no other store.
pub(crate) async fn lease(leases: &dyn LeaseManager, member: &Member, call: Call) -> Result<Reply> {
    Ok(match call {
        Call::Acquire { name, ttl } => Reply::Acquired(leases.acquire(&name, member, ttl).await?),
        Call::Renew(lease) => Reply::Renewed(leases.renew(&lease).await?),
        Call::Release { lease, successor } => leases.release(&lease, successor.as_ref()).await.map(|()| Reply::Done)?,
        Call::Current(name) => Reply::View(leases.current(&name).await?),
        Call::Beat(_) | Call::Sightings | Call::Forget(_) => unreachable!("a call to the heartbeats"),
        Call::Changes { .. } | Call::Assign { .. } | Call::Report(_) => unreachable!("a call to the jobs"),
        Call::List { .. } | Call::Put { .. } | Call::Delete { .. } => unreachable!("a call to the documents"),
    })
}

/// The operation's name, as it is logged.
pub(crate) fn operation(call: &Call) -> &'static str {
    match call {
        Call::Beat(_) => "beat",
        Call::Sightings => "sightings",
        Call::Forget(_) => "forget",
        Call::Acquire { .. } => "acquire",
        Call::Renew(_) => "renew",
        Call::Release { .. } => "release",
        Call::Current(_) => "current",
        Call::Changes { .. } => "changes",
        Call::Assign { .. } => "assign",
        Call::Report(_) => "report",
        Call::List { .. } => "list",
        Call::Put { .. } => "put",
        Call::Delete { .. } => "delete",
    }
}

/// What a panic said, if it said it in words.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::ManualClock;

    #[tokio::test]
    async fn a_hung_call_is_unknown_at_its_deadline_and_not_before() {
        let clock = ManualClock::new();
        let deadline = clock.now() + Duration::from_secs(1);
        let mut call = Box::pin(bounded::<()>(&clock, deadline, "renew", std::future::pending()));
        clock.advance(Duration::from_millis(999));
        assert!(call.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        let error = call.await.unwrap_err();
        assert!(error.is_outcome_unknown() && error.operation() == "renew");
    }

    #[tokio::test]
    async fn a_backend_that_panics_is_an_unknown_outcome() {
        let clock = ManualClock::new();
        let deadline = clock.now() + Duration::from_secs(1);
        let error = bounded::<()>(&clock, deadline, "beat", async { panic!("oh no") }).await.unwrap_err();
        assert!(error.is_outcome_unknown() && error.to_string().contains("oh no"), "{error}");
    }

    #[tokio::test]
    async fn a_call_whose_deadline_has_passed_is_not_sent() {
        let clock = ManualClock::new();
        let call = async { unreachable!("it was sent") };
        assert!(bounded::<()>(&clock, clock.now(), "acquire", call).await.unwrap_err().is_outcome_unknown());
    }
}
