//! Renewals: what it takes for the answer to a keep-alive to be a proof.
//!
//! A keep-alive does not go through the servers' agreement. A leader that was deposed and does not know it yet, because it was paused
//! or cut off, answers one like any other, while the real leader lets the lease lapse. Reading the key does not help by
//! itself: it may still be there for a moment. What helps are the terms of the servers' own elections (not to be confused with those of
//! our leases), which every answer tells. Let *s* be the moment before the call, from which its caller counts:
//!
//! 1. A server puts its election term *k* into the answer to a keep-alive *before* it renews. Whoever renewed did so as the leader of
//!    an election *e* with `e ≥ k`, and after *s*.
//! 2. A linearizable read, made at the same time, tells *r*. A leader that had taken the leases over before *s* had first written
//!    an entry of its own election with a majority. Whatever is asked after that and agreed on shows that entry, so the elections of all
//!    leaders until *s* are at most *r*. The same holds for a transaction.
//! 3. If `k = r`, then no leader until *s* was later than `r = k ≤ e`: the lease was renewed by the last of them or by a later one. And a
//!    leader that takes over after *s* begins every lease's time anew. So it lasts until *s* and its time to live, whoever leads.
//!
//! So a renewal is a keep-alive and, beside it, a read that shows that the key is still ours: one round trip. Where the terms
//! differ, both are made again. Neither touches a disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper};
use failover_core::lease::Renewed;
use failover_core::time::Time;
use failover_core::{Error, ErrorKind, Lease, LeaseName, Member, Result, Term};

use super::new_id;
use super::record::{Standing, hold_value};
use crate::classify::{Fault, What};
use crate::connection::{Access, Call, Connection};
use crate::store::{Shared, lock};
use crate::txn::{Commit, Op};

/// How often a renewal is tried that proves nothing, before its caller is told. Elections take longer than all of them.
const TRIES: u32 = 6;

/// A pause for what is on its way: the deletion of a key whose lease has lapsed, or the news of an election.
const MOMENT: Duration = Duration::from_millis(30);

/// What this handle knows of the etcd leases it renews and has asked for.
#[derive(Default)]
pub(crate) struct Holds {
    /// Asked for by calls that were given up: perhaps granted, and of no use to anybody.
    left: Mutex<HashMap<(LeaseName, Member), Vec<i64>>>,
    slots: Mutex<HashMap<LeaseName, Arc<Slot>>>,
    /// Until when the holds last at least by what this handle was told.
    lasting: Mutex<HashMap<LeaseName, (Member, Term, Time)>>,
}

/// One renewal of a lease at a time, over a stream that is kept open in between. The client has one for each etcd lease.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<Keeper>>);

/// A stream of keep-alives of one etcd lease.
pub(super) struct Keeper {
    id: i64,
    /// The connection it runs over.
    connection: u64,
    sender: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

/// The answer to a keep-alive.
pub(super) struct Kept {
    pub(super) ttl: Duration,
    /// The servers' election as the one that answered knew it before it renewed.
    pub(super) election: u64,
}

/// An etcd lease that was asked for and is not in use yet. Its id is known before it is asked for: if the call is given up, the
/// next one for the same lease by the same member gives it back.
pub(super) struct Asked<'h> {
    holds: &'h Holds,
    who: (LeaseName, Member),
    pub(super) id: i64,
    settled: bool,
}

impl Asked<'_> {
    /// It is in use, or given back.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.settled {
            lock(&self.holds.left).entry(self.who.clone()).or_default().push(self.id);
        }
    }
}

impl Holds {
    pub(super) fn ask(&self, who: &(LeaseName, Member), id: i64) -> Asked<'_> {
        Asked { holds: self, who: who.clone(), id, settled: false }
    }

    /// What calls that were given up have left behind.
    pub(super) fn left(&self, who: &(LeaseName, Member)) -> Vec<i64> {
        lock(&self.left).remove(who).unwrap_or_default()
    }

    fn slot(&self, name: &LeaseName) -> Arc<Slot> {
        Arc::clone(lock(&self.slots).entry(name.clone()).or_default())
    }

    /// Keeps a stream for the renewals of what was acquired, unless one is being made.
    pub(super) fn hand_over(&self, name: &LeaseName, keeper: Keeper) {
        if let Ok(mut slot) = self.slot(name).0.try_lock() {
            *slot = Some(keeper);
        }
    }

    /// A lease was granted or renewed by a call that began then.
    pub(super) fn begun_anew(&self, lease: &Lease, sent: Time) {
        let until = (lease.holder.clone(), lease.term, sent + lease.ttl);
        lock(&self.lasting).insert(lease.name.clone(), until);
    }

    /// Until when what a lease hangs on lasts at least, if this handle knows.
    pub(super) fn lasts_until(&self, lease: &Lease) -> Option<Time> {
        let lasting = lock(&self.lasting);
        let (holder, term, until) = lasting.get(&lease.name)?;
        (*holder == lease.holder && *term == lease.term).then_some(*until)
    }

    /// Forgets a lease that was released.
    pub(super) fn close(&self, name: &LeaseName) {
        lock(&self.slots).remove(name);
        lock(&self.lasting).remove(name);
    }
}

impl Shared {
    pub(super) async fn renew(self: &Arc<Self>, call: &Call, lease: &Lease) -> Result<Renewed> {
        let slot = self.holds.slot(&lease.name);
        let mut slot = slot.0.lock().await;
        let guess = slot.as_ref().map(|keeper| keeper.id).or_else(|| self.seen_held(call, lease));
        let mut id = match guess {
            Some(id) => id,
            None => match self.stand(call, &lease.name).await?.1.held_under(lease) {
                Some(id) => id,
                None => return Ok(Renewed::Lost),
            },
        };
        for _ in 0..TRIES {
            // Taken out, so that a stream whose answer nobody waited for is never used again.
            let keeper = slot.take();
            let (kept, stood) = tokio::join!(self.keep_alive(call, keeper, id), self.stand(call, &lease.name));
            let (view, standing) = stood?;
            let Some(held) = standing.held_under(lease) else { return Ok(Renewed::Lost) };
            let kept = match kept {
                Ok((keeper, kept)) => {
                    *slot = Some(keeper);
                    Some(kept)
                }
                // Time to live zero: there is no such lease, or it has lapsed and is being revoked.
                Err(fault) if fault.what == What::LeaseGone => None,
                Err(fault) => return Err(call.error(fault)),
            };
            match kept {
                // Acquired again meanwhile, by another call of the same member.
                _ if held != id => {
                    id = held;
                    *slot = None;
                }
                Some(kept) if kept.ttl < lease.ttl => return self.attach_anew(call, lease, held).await,
                Some(kept) if kept.election == view.raft_term => return Ok(Renewed::Extended),
                Some(_) | None => tokio::time::sleep(MOMENT).await,
            }
        }
        *slot = None;
        let message = "the servers are changing their leader, and the renewal is not proved; try again";
        Err(Error::new(ErrorKind::Unknown, call.operation, message))
    }

    /// The etcd lease that a lease hangs on, as far as this handle has seen.
    fn seen_held(&self, call: &Call, lease: &Lease) -> Option<i64> {
        self.seen(call, &lease.name)?.1.held_under(lease)
    }

    /// Makes one keep-alive, over the stream there is or a new one.
    pub(super) async fn keep_alive(
        &self,
        call: &Call,
        keeper: Option<Keeper>,
        id: i64,
    ) -> Result<(Keeper, Kept), Fault> {
        let keeper = Mutex::new(keeper);
        let ask = |connection: Connection| {
            // Only the first attempt has it; one that failed is over.
            let old = lock(&keeper).take().filter(|old| old.id == id && old.connection == connection.number);
            async move {
                let mut keeper = if let Some(keeper) = old {
                    keeper
                } else {
                    let (sender, answers) = connection.client.lease_client().keep_alive(id).await?;
                    Keeper { id, connection: connection.number, sender, answers }
                };
                keeper.sender.keep_alive().await?;
                let Some(answer) = keeper.answers.message().await? else {
                    return Err(Fault::new(What::Lost, "the stream of keep-alives has ended"));
                };
                let ttl = u64::try_from(answer.ttl()).unwrap_or(0);
                if ttl == 0 || answer.id() != id {
                    return Err(Fault::new(What::LeaseGone, "time to live zero"));
                }
                let election = answer.header().map_or(0, etcd_client::ResponseHeader::raft_term);
                Ok((keeper, Kept { ttl: Duration::from_secs(ttl), election }))
            }
        };
        // Keeping alive twice is harmless.
        self.pulse.run(call, Access::Read, ask).await
    }

    /// Gives a hold another etcd lease, because the one it has is too short for what its holder reckons with.
    async fn attach_anew(self: &Arc<Self>, call: &Call, lease: &Lease, old: i64) -> Result<Renewed> {
        let id = new_id();
        self.grant(call, id, self.seconds(lease.ttl)).await?;
        loop {
            let (view, standing): (_, Standing) = self.stand(call, &lease.name).await?;
            let held = standing.held_under(lease);
            if held != Some(old) {
                self.let_go(id);
                if held.is_none() {
                    return Ok(Renewed::Lost);
                }
                let message = "it was acquired again meanwhile; try again";
                return Err(Error::new(ErrorKind::Unavailable, call.operation, message));
            }
            let Term(term) = lease.term;
            let op = Op::Put { key: self.keys.hold(&lease.name), value: hold_value(term, &lease.holder), lease: id };
            let done = self.commit(call, &self.durable, &view, vec![op]).await.map_err(|fault| call.error(fault))??;
            if let Commit::Applied { .. } = done {
                self.let_go(old);
                return Ok(Renewed::Extended);
            }
        }
    }
}
