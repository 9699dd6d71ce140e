//! The one modelled store: calls as values, applied to the reference backend.

use crate::error::Error;
use crate::ids::Member;
use crate::machine::{Call, Fault, Reply};
use crate::memory::{World, stamp};
use crate::time::Time;

/// Applies `call`, made by `member`, at the store's moment `now`.
pub(super) fn apply(world: &mut World, now: Time, member: &Member, call: &Call) -> Result<Reply, Fault> {
    let fault = |e: Error| Fault::from(e.kind());
    Ok(match call {
        Call::Beat(heartbeat) => {
            world.beat(now, heartbeat);
            Reply::Done
        }
        Call::Sightings => Reply::Sightings(world.sightings(now)),
        Call::Forget(member) => {
            world.forget(member);
            Reply::Done
        }
        Call::Acquire { name, ttl } => Reply::Acquired(world.acquire(now, name, member, *ttl).map_err(fault)?),
        Call::Renew(lease) => Reply::Renewed(world.renew(now, lease)),
        Call::Release { lease, successor } => {
            world.release(now, lease, successor.as_ref());
            Reply::Done
        }
        Call::Current(name) => Reply::View(world.current(now, name)),
        Call::Changes { since, limit } => Reply::Changes(world.changes(*since, *limit).map_err(fault)?),
        Call::Assign { fence, moves } => Reply::Assigned(world.assign(fence, moves, stamp(now)).map_err(fault)?),
        Call::Report(reports) => Reply::Reported(world.report(reports, stamp(now)).map_err(fault)?),
        Call::List { prefix, after, limit } => {
            Reply::Documents(world.list(prefix, after.as_ref(), *limit).map_err(fault)?)
        }
        Call::Put { key, value, expect, fence } => {
            Reply::Written(world.put(key, value, *expect, Some(fence)).map_err(fault)?)
        }
        Call::Delete { key, expect, fence } => Reply::Deleted(world.delete(key, *expect, Some(fence)).map_err(fault)?),
    })
}

/// The call's name, for traces and for scenarios that name one.
pub(super) const fn verb(call: &Call) -> &'static str {
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
