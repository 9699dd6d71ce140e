//! A batch of moves in two round trips, where the database can and nobody is in the way: a look without any lock, and one statement that
//! writes what the rules made of it, unless a job or the fence has changed since. And a fence with no moves, in one.

use failover_core::job::Move;
use failover_core::rules::{self, Next};
use failover_core::time::Stamp;
use failover_core::{Lease, Result, Revision};

use super::row;
use crate::dialect::Lane;
use crate::hot::Hot;
use crate::store::SqlStore;
use crate::tx::REVISION;

impl SqlStore {
    /// The revision up to which the feed has all moves. `None` if nothing was touched: what is stale, fenced, gone by it or installs a
    /// fence is for the long way, and so is whatever somebody else was quicker with.
    pub(super) async fn assign_at_once(&self, fence: &Lease, moves: &[Move], at: Stamp) -> Result<Option<Revision>> {
        if moves.is_empty() {
            return self.install_at_once(fence).await;
        }
        if self.shared.words().save_jobs_and_revision.is_none() {
            return Ok(None);
        }
        let args = row::fence_and_jobs(self.cluster().as_str(), fence, moves.iter().map(|wanted| &wanted.job));
        let Some((_, rows)) = self.glance("assign", Lane::Durable, row::FENCE_AND_JOBS, args).await? else {
            return Ok(None);
        };
        let Some(first) = rows.first() else { return Ok(None) };
        let before = row::head(first)?;
        if row::installed(first)? != Some(fence.term.0) || before < self.seen("").revision {
            return Ok(None);
        }
        let there = row::jobs(&rows)?;
        let (mut after, mut puts) = (before, Vec::with_capacity(moves.len()));
        for wanted in moves {
            match there.get(&wanted.job).and_then(|there| rules::step(there, wanted, at)) {
                Some(Next::Put(record)) => {
                    after += 1;
                    puts.push(record.at_revision(Revision(after)));
                }
                Some(Next::Same) => {}
                Some(Next::Gone { .. }) | None => return Ok(None),
            }
        }
        let save = Hot::Assign { fence, rows: &row::rows_of(&puts), before, after };
        if puts.is_empty() || self.shortcut("assign", save).await?.is_none() {
            return Ok(None);
        }
        self.shown(REVISION.to_owned(), after);
        Ok(Some(Revision(after)))
    }

    /// The same of a fence alone, as whoever has just become active installs it.
    async fn install_at_once(&self, fence: &Lease) -> Result<Option<Revision>> {
        let installed = self.shortcut("assign", Hot::Install { fence, seen: self.seen("") }).await?;
        Ok(installed.map(|revision| {
            self.shown(REVISION.to_owned(), revision);
            Revision(revision)
        }))
    }
}
