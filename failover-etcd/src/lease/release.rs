//! Releases: one transaction, if this handle saw the hold last.
//!
//! A reservation hangs on what the hold hung on: so the successor does not wait until another etcd lease is granted. A successor that lives takes it up at once, which the
//! watch tells; one that does not is given a shorter one, and nothing is written beside what the successor writes. Whoever dies in between leaves it until the hold would
//! have lapsed. A hold that may lapse too soon for that, by what this handle knows, is kept alive once more before.

use std::sync::Arc;
use std::time::Duration;

use failover_core::{Lease, LeaseName, NodeId, Result, Timing};

use super::record::{Standing, reserve_value};
use super::{TIDY, new_id};
use crate::classify::What;
use crate::connection::Call;
use crate::keys::lease_area;
use crate::store::Shared;
use crate::txn::{Commit, Op};

/// How long a successor may take to ask, before what is kept for it is kept for less.
const PATIENCE: Duration = Duration::from_millis(100);

impl Shared {
    pub(super) async fn release(
        self: &Arc<Self>,
        call: &Call,
        lease: &Lease,
        successor: Option<&NodeId>,
    ) -> Result<()> {
        let name = &lease.name;
        let seen = self.seen(call, name).filter(|(_, standing)| standing.held_under(lease).is_some());
        let (mut view, mut standing) = match seen {
            Some(seen) => seen,
            None => self.stand(call, name).await?,
        };
        let reservation = Timing::reservation(lease.ttl);
        while let Some(held) = standing.held_under(lease) {
            let known = self.holds.lasts_until(lease).filter(|until| self.now() + reservation + PATIENCE <= *until);
            let until = match (known, successor) {
                (Some(until), _) => until,
                (None, None) => self.now(),
                (None, Some(_)) => {
                    let sent = self.now();
                    match self.keep_alive(call, None, held).await {
                        Ok((_, kept)) => sent + kept.ttl,
                        // It lapses just now, unless the hold was given another one that this handle has not seen.
                        Err(fault) if fault.what == What::LeaseGone && view.fresh => return Ok(()),
                        Err(fault) if fault.what == What::LeaseGone => {
                            (view, standing) = self.stand(call, name).await?;
                            continue;
                        }
                        Err(fault) => return Err(call.error(fault)),
                    }
                }
            };
            let mut ops = vec![Op::Delete { key: self.keys.hold(name) }];
            if let Some(node) = successor {
                ops.push(Op::Put { key: self.keys.reserve(name), value: reserve_value(node), lease: held });
            }
            match self.commit(call, &self.durable, &view, ops).await {
                Ok(done) => match done? {
                    Commit::Applied { .. } => {
                        self.holds.close(name);
                        let patience = until.since(self.now() + reservation).min(PATIENCE);
                        match successor {
                            Some(node) if tokio::time::timeout(patience, self.taken_up(name, held)).await.is_err() => {
                                // If this fails, it is kept for the successor a little longer.
                                drop(tokio::time::timeout(TIDY, self.shorten(call, lease, node, held)).await);
                            }
                            Some(_) => {}
                            None => self.let_go(held),
                        }
                        return Ok(());
                    }
                    Commit::Moved(fresh) => {
                        standing = Standing::parse(call, name, &fresh)?;
                        view = fresh;
                    }
                },
                // It lapses just now: there is nothing to hang a reservation on any more, nor to release.
                Err(fault) if fault.what == What::LeaseGone => return Ok(()),
                Err(fault) => return Err(call.error(fault)),
            }
        }
        Ok(())
    }

    /// Waits until a reservation that hangs on this etcd lease is there no more, as far as this handle is told.
    async fn taken_up(&self, name: &LeaseName, old: i64) {
        let (key, area) = ([self.keys.reserve(name)], lease_area(name));
        let mut told = 0;
        while self.guess(&key).is_some_and(|view| view.at(0).is_some_and(|entry| entry.lease == old)) {
            told = self.hints.changed(&area, told).await;
        }
    }

    /// Gives a reservation an etcd lease of its own, which lasts a third of the ttl, unless it was taken up by now.
    async fn shorten(self: &Arc<Self>, call: &Call, lease: &Lease, node: &NodeId, old: i64) -> Result<()> {
        let key = self.keys.reserve(&lease.name);
        let Some(view) = self.guess(std::slice::from_ref(&key)) else { return Ok(()) };
        if view.at(0).is_none_or(|entry| entry.lease != old) {
            return Ok(());
        }
        let id = new_id();
        self.grant(call, id, self.seconds(Timing::reservation(lease.ttl))).await?;
        let op = Op::Put { key, value: reserve_value(node), lease: id };
        match self.commit(call, &self.durable, &view, vec![op]).await {
            Ok(Ok(Commit::Applied { .. })) => self.let_go(old),
            _ => self.let_go(id),
        }
        Ok(())
    }
}
