//! Releases: one transaction, if this handle saw the hold last.
//!
//! A reservation hangs on what the hold hung on: so the successor does not wait until another etcd lease is granted. Afterwards
//! it is given a shorter one, unless it has been taken up by then. Whoever dies in between leaves it until the hold would
//! have lapsed.

use std::sync::Arc;

use failover_core::{Lease, NodeId, Result, Timing};

use super::record::{Standing, reserve_value};
use super::{TIDY, new_id};
use crate::classify::What;
use crate::connection::Call;
use crate::store::Shared;
use crate::txn::{Commit, Op};

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
        while let Some(held) = standing.held_under(lease) {
            let mut ops = vec![Op::Delete { key: self.keys.hold(name) }];
            if let Some(node) = successor {
                ops.push(Op::Put { key: self.keys.reserve(name), value: reserve_value(node), lease: held });
            }
            match self.commit(call, &self.durable, &view, ops).await {
                Ok(done) => match done? {
                    Commit::Applied { .. } => {
                        self.holds.close(name);
                        match successor {
                            // If this fails, it is kept for the successor a little longer.
                            Some(node) => {
                                drop(tokio::time::timeout(TIDY, self.shorten(call, lease, node, held)).await);
                            }
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
