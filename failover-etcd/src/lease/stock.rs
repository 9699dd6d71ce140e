//! One etcd lease in stock, so that an acquisition is one transaction.
//!
//! To have an etcd lease granted takes the servers' agreement, as does the transaction that hangs a hold on it. So one is
//! granted ahead, for the time to live that was asked for last, and kept alive with the renewals that this handle makes anyway: no
//! task of its own, and nothing where nobody renews.
//!
//! What hangs on it has to last its whole time from the acquisition on, not from when it was put in stock. So it is kept alive once
//! more at the same time as the transaction is made, and the two together have to prove what a renewal proves (see
//! [`keep`](super::keep)). It may have lapsed by then, or be gone: then the servers refuse the transaction, or the
//! proof fails, and another one is granted as if there had been none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::time::Time;
use failover_core::{LeaseName, Member, Result};

use super::keep::{Asked, Keeper, Kept};
use super::new_id;
use crate::classify::Fault;
use crate::connection::Call;
use crate::store::{Shared, lock};

/// What this handle has in stock.
#[derive(Default)]
pub(crate) struct Stock(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    /// The time to live that was asked for last, in seconds; zero before the first acquisition.
    wanted: i64,
    spare: Option<Spare>,
    /// What nothing hangs on any more, to be given back with the next renewal.
    left: Vec<i64>,
    /// It is being seen to.
    busy: bool,
}

/// An etcd lease that nothing hangs on.
pub(super) struct Spare {
    pub(super) id: i64,
    /// What was asked for, in seconds.
    seconds: i64,
    /// What was granted.
    pub(super) lasts: Duration,
    pub(super) keeper: Option<Keeper>,
    /// Before it was kept alive last.
    kept: Time,
}

/// The etcd lease that a grant is to hang on.
pub(super) struct Hook<'h> {
    pub(super) asked: Asked<'h>,
    pub(super) lasts: Duration,
    pub(super) keeper: Option<Keeper>,
    pub(super) whole: Whole,
}

/// What is known of the time that an etcd lease lasts from the beginning of a call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// It was granted since.
    Granted,
    /// It was kept alive since, by a leader of this election or a later one.
    Kept(u64),
    /// Nothing.
    Unknown,
}

impl Hook<'_> {
    /// Takes in what came of keeping it alive.
    pub(super) fn heard(&mut self, answer: Result<(Keeper, Kept), Fault>) {
        if let Ok((keeper, kept)) = answer {
            self.keeper = Some(keeper);
            if kept.ttl >= self.lasts {
                self.whole = Whole::Kept(kept.election);
            }
        }
    }
}

impl Whole {
    /// Whether it lasts its whole time, if the servers were in this election when what hangs on it was written.
    pub(super) fn in_election(self, election: u64) -> bool {
        match self {
            Self::Granted => true,
            Self::Kept(before) => before == election,
            Self::Unknown => false,
        }
    }
}

impl Stock {
    /// What is to be in stock from now on.
    pub(super) fn want(&self, seconds: i64) {
        lock(&self.0).wanted = seconds;
    }

    /// Leaves an etcd lease to be given back with the next renewal. If there is none it lapses.
    pub(super) fn leave(&self, id: i64) {
        lock(&self.0).left.push(id);
    }

    /// Takes what is in stock, if it is for this time to live and does not seem to have lapsed.
    pub(super) fn take(&self, seconds: i64, now: Time) -> Option<Spare> {
        let mut there = lock(&self.0);
        let fits = |spare: &mut Spare| spare.seconds == seconds && now.since(spare.kept) < spare.lasts / 4 * 3;
        there.spare.take_if(fits)
    }

    /// Begins to see to what is in stock, if that is due and nobody does.
    fn begin(&self, now: Time) -> Option<(i64, Option<Spare>)> {
        let mut there = lock(&self.0);
        let wanted = there.wanted;
        let fresh = |spare: &Spare| spare.seconds == wanted && now.since(spare.kept) < spare.lasts / 3;
        if wanted == 0 || there.busy || there.spare.as_ref().is_some_and(fresh) {
            return None;
        }
        there.busy = true;
        Some((wanted, there.spare.take()))
    }
}

/// Sees to what is in stock, until it is dropped.
struct Seeing(Arc<Shared>);

impl Drop for Seeing {
    fn drop(&mut self) {
        lock(&self.0.stock.0).busy = false;
    }
}

impl Shared {
    /// Sees to it, in the background, that there is something in stock.
    pub(super) fn tend(self: &Arc<Self>) {
        let left = std::mem::take(&mut lock(&self.stock.0).left);
        for id in left {
            self.let_go(id);
        }
        let Some((wanted, spare)) = self.stock.begin(self.now()) else { return };
        let seeing = Seeing(Arc::clone(self));
        tokio::spawn(async move {
            let shared = &seeing.0;
            // What fails is tried again with the next renewal.
            if let Ok(Some(spare)) = tokio::time::timeout(shared.timeout, shared.restock(wanted, spare)).await {
                lock(&shared.stock.0).spare = Some(spare);
            }
        });
    }

    /// An etcd lease to hang a grant on: the one in stock, or a new one.
    pub(super) async fn hook(&self, call: &Call, who: &(LeaseName, Member), ttl: Duration) -> Result<Hook<'_>> {
        let seconds = self.seconds(ttl);
        if let Some(spare) = self.stock.take(seconds, self.now()) {
            let asked = self.holds.ask(who, spare.id);
            return Ok(Hook { asked, lasts: spare.lasts, keeper: spare.keeper, whole: Whole::Unknown });
        }
        let asked = self.holds.ask(who, new_id());
        let lasts = self.grant(call, asked.id, seconds).await?;
        Ok(Hook { asked, lasts, keeper: None, whole: Whole::Granted })
    }

    async fn restock(&self, seconds: i64, old: Option<Spare>) -> Option<Spare> {
        let call = Call::new("acquire");
        let now = self.now();
        if let Some(mut spare) = old {
            let fits = spare.seconds == seconds;
            let kept = if fits { self.keep_alive(&call, spare.keeper.take(), spare.id).await.ok() } else { None };
            match kept {
                Some((keeper, kept)) if kept.ttl >= spare.lasts => {
                    return Some(Spare { keeper: Some(keeper), kept: now, ..spare });
                }
                _ => self.revoke(&call, spare.id).await,
            }
        }
        let (id, now) = (new_id(), self.now());
        let lasts = self.grant(&call, id, seconds).await.ok()?;
        // Opens the stream.
        let keeper = self.keep_alive(&call, None, id).await.ok().map(|(keeper, _)| keeper);
        Some(Spare { id, seconds, lasts, keeper, kept: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_stock_lasts_its_time_only_if_the_election_it_was_kept_alive_in_goes_on() {
        assert!(Whole::Granted.in_election(7), "a grant is agreed on");
        assert!(Whole::Kept(7).in_election(7));
        assert!(!Whole::Kept(6).in_election(7), "a leader of the former election may have kept it alive, in vain");
        assert!(!Whole::Kept(8).in_election(7));
        assert!(!Whole::Unknown.in_election(7), "no answer is no proof");
    }

    #[test]
    fn what_is_in_stock_is_taken_once_and_only_for_its_ttl_and_before_it_may_have_lapsed() {
        let at = |seconds: u64| Time::from_nanos(seconds * 1_000_000_000);
        let stock = Stock::default();
        let put = || {
            let spare = Spare { id: 1, seconds: 8, lasts: Duration::from_secs(8), keeper: None, kept: at(100) };
            lock(&stock.0).spare = Some(spare);
        };
        put();
        assert!(stock.take(9, at(100)).is_none() && stock.take(7, at(100)).is_none());
        assert!(stock.take(8, at(106)).is_none(), "it may have lapsed before it is used");
        assert!(stock.take(8, at(105)).is_some());
        assert!(stock.take(8, at(105)).is_none());

        assert!(stock.begin(at(100)).is_none(), "nobody has acquired anything");
        stock.want(8);
        put();
        assert!(stock.begin(at(102)).is_none(), "it is fresh");
        assert!(matches!(stock.begin(at(103)), Some((8, Some(_)))));
        assert!(stock.begin(at(103)).is_none(), "one at a time");
    }
}
