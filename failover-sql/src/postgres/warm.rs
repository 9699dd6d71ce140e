//! Statements are made ready before they are needed.
//!
//! A session parses and plans a statement when it first has to run it, and that takes longer than to run it. What a takeover consists of is run when one happens, and
//! hardly ever before: so a handle that holds a lease, or has, runs all of it once on each connection that it would go over, on behalf of a cluster that cannot exist. That touches nothing and
//! locks nothing.

use std::sync::Arc;
use std::time::Duration;

use failover_core::{Incarnation, Lease, LeaseName, Member, NodeId, StateKey, Term, Version};

use super::connection::Link;
use super::row::{self, Prepare};
use super::session::Database;
use super::shortcut::statement;
use crate::dialect::Lane;
use crate::hot::{Hot, Seen};
use crate::lanes::Taken;

/// No cluster is called that.
const NOBODY: &str = "";

impl Database {
    /// Gives a connection back that has done what it was taken for.
    pub(super) fn keep(self: &Arc<Self>, lane: Lane, mut taken: Taken<Link>) {
        let link = taken.get();
        if lane == Lane::Pulse || link.pooled || link.warm || !self.holds() {
            return taken.give_back();
        }
        link.warm = true;
        let database = Arc::clone(self);
        // Beside the call, which is over. Whoever comes meanwhile takes another.
        tokio::spawn(async move {
            // As long as a call may take: a connection that is dead must not keep its turn.
            let limit = database.server.options.common.timeout;
            let warmed = tokio::time::timeout(limit, database.warm(taken.get())).await;
            // What a server refuses to run, whoever has to run it is told.
            if matches!(warmed, Ok(Ok(()) | Err(sqlx::Error::Database(_)))) {
                taken.give_back();
            }
        });
    }

    async fn warm(&self, link: &mut Link) -> Result<(), sqlx::Error> {
        let Some((lease, key)) = nothing() else { return Ok(()) };
        let (fence, seen) = (&lease, Seen { term: 0, revision: 0, state_version: 0 });
        let put = |over, fence| Hot::Put { key: &key, value: &[], over, fence, seen };
        let all = [
            Hot::Release { lease: &lease, successor: None, lasts: 0, reserved: 0 },
            Hot::Acquire { name: &lease.name, member: &lease.holder, lasts: 0, seen },
            Hot::Install { fence, seen },
            put(Some(Version(0)), Some(fence)),
            put(None, Some(fence)),
            Hot::Assign { fence, rows: "[]", before: 0, after: 0 },
        ];
        for of in all {
            let (template, args) = statement(&of, NOBODY, &self.identity, &self.channel);
            row::rows(&mut link.connection, Prepare::Once, self.shortcut(template, false), args).await?;
        }
        Ok(())
    }
}

/// Names for statements that find nothing.
fn nothing() -> Option<(Lease, StateKey)> {
    let holder = Member::new(NodeId::new("warm").ok()?, Incarnation::from_u128(0));
    let lease = Lease { name: LeaseName::new("warm").ok()?, holder, term: Term::ZERO, ttl: Duration::ZERO };
    Some((lease, StateKey::new("warm").ok()?))
}
