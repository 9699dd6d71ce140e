//! [`LeaseManager`] on SQL: one row for each name, which keeps the highest term for ever.

use std::time::Duration;

use async_trait::async_trait;
use failover_core::lease::{Acquired, LeaseView, Renewed, Tenant};
use failover_core::{
    Durability, Error, ErrorKind, Lease, LeaseManager, LeaseName, Member, NodeId, Result, Term, Timing, record, rules,
};

use crate::dialect::{Fault, Lane, Row, args};
use crate::hot::Hot;
use crate::keys::lease_area;
use crate::store::SqlStore;
use crate::tx::Tx;

const LEASE: &str = "SELECT format, term, holder, incarnation, successor, ends, lasts FROM {leases} WHERE cluster = ? AND name = ? {lock}";

#[async_trait]
impl LeaseManager for SqlStore {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        rules::check_ttl("acquire", ttl, self.least_ttl())?;
        let (counter, lasts) = (term_of(name), nanos(ttl));
        let hot = Hot::Acquire { name, member, lasts, seen: self.seen(&counter) };
        if let Some(term) = self.shortcut("acquire", hot).await? {
            self.shown(counter, term);
            self.holds(name, true);
            return Ok(Acquired::Granted(Lease { name: name.clone(), holder: member.clone(), term: Term(term), ttl }));
        }
        if let Some(view) = self.refusal(name, member).await? {
            return Ok(Acquired::Refused(view));
        }
        let acquired = self.write("acquire", Lane::Durable, move |tx| {
            Box::pin(async move {
                let floor = tx.counters().await?.term_floor;
                let mut row = tx.lease_locked(name).await?;
                let now = tx.now().await?;
                if row.ends.saturating_sub(row.lasts) > now {
                    // Given by a clock that was set back since: its whole time again, from now, is longer than it had; and it
                    // does not have to wait until the clock is there again.
                    row.ends = now.saturating_add(row.lasts);
                    tx.run("UPDATE {leases} SET ends = ? WHERE cluster = ? AND name = ?", args![row.ends, tx.cluster(), name])
                        .await?;
                }
                let view = row.view(now);
                let term = match &view.tenant {
                    Tenant::Held { holder, .. } if holder == member => row.term,
                    Tenant::Reserved { successor, .. } if *successor == member.node => row.term.max(floor) + 1,
                    Tenant::Free => row.term.max(floor) + 1,
                    Tenant::Held { .. } | Tenant::Reserved { .. } => return Ok(Acquired::Refused(view)),
                };
                tx.run(
                    "UPDATE {leases} SET format = ?, term = ?, holder = ?, incarnation = ?, successor = NULL, ends = ?, lasts = ? \
                     WHERE cluster = ? AND name = ?",
                    args![
                        record::FORMAT, term, &member.node, member.incarnation.to_string(),
                        now.saturating_add(lasts), lasts, tx.cluster(), name,
                    ],
                )
                .await?;
                if term != row.term {
                    tx.raised(&term_of(name), term);
                    tx.hint(lease_area(name));
                }
                Ok(Acquired::Granted(Lease { name: name.clone(), holder: member.clone(), term: Term(term), ttl }))
            })
        })
        .await?;
        self.holds(name, matches!(acquired, Acquired::Granted(_)));
        Ok(acquired)
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        rules::check_ttl("renew", lease.ttl, self.least_ttl())?;
        let lasts = nanos(lease.ttl);
        // A term below one this handle has seen is none that a store could extend without having gone back.
        let goes_on = self.seen(&term_of(&lease.name)).term <= lease.term.0;
        if goes_on && self.shortcut("renew", Hot::Renew { lease, lasts }).await?.is_some() {
            self.shown(term_of(&lease.name), lease.term.0);
            return Ok(Renewed::Extended);
        }
        let renewed = self
            .write("renew", Lane::Pulse, move |tx| {
                Box::pin(async move {
                    let row = tx.lease(&lease.name).await?;
                    let now = tx.now().await?;
                    let Some(row) = row.filter(|row| row.is_current(lease, now)) else { return Ok(Renewed::Lost) };
                    tx.run(
                        "UPDATE {leases} SET ends = ?, lasts = ? WHERE cluster = ? AND name = ? AND term = ?",
                        args![now.saturating_add(lasts), lasts, tx.cluster(), &lease.name, row.term],
                    )
                    .await?;
                    Ok(Renewed::Extended)
                })
            })
            .await?;
        self.holds(&lease.name, renewed == Renewed::Extended);
        Ok(renewed)
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        let reserved = successor.map_or(0, |_| nanos(Timing::reservation(lease.ttl)));
        let hot = Hot::Release { lease, successor, lasts: nanos(lease.ttl), reserved };
        let goes_on = self.seen(&term_of(&lease.name)).term <= lease.term.0;
        if goes_on && self.shortcut("release", hot).await?.is_some() {
            self.shown(term_of(&lease.name), lease.term.0);
            self.holds(&lease.name, false);
            return Ok(());
        }
        let released = self
            .write("release", Lane::Durable, move |tx| {
                Box::pin(async move {
                    let row = tx.lease(&lease.name).await?;
                    let now = tx.now().await?;
                    let Some(row) = row.filter(|row| row.is_current(lease, now)) else { return Ok(()) };
                    let reserved = successor.map_or(0, |_| nanos(Timing::reservation(row.lasts())));
                    tx.run(
                        "UPDATE {leases} SET holder = NULL, incarnation = NULL, successor = ?, ends = ?, lasts = ? \
                     WHERE cluster = ? AND name = ?",
                        args![successor, now.saturating_add(reserved), reserved, tx.cluster(), &lease.name],
                    )
                    .await?;
                    tx.hint(lease_area(&lease.name));
                    Ok(())
                })
            })
            .await;
        if released.is_ok() {
            self.holds(&lease.name, false);
        }
        released
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        if let Some((now, row)) = self.look("current", name).await? {
            return Ok(row.map_or(LeaseView { term: Term::ZERO, tenant: Tenant::Free }, |row| row.view(now)));
        }
        self.read("current", Lane::Pulse, move |tx| {
            Box::pin(async move {
                let row = tx.lease(name).await?;
                let now = tx.now().await?;
                Ok(row.map_or(LeaseView { term: Term::ZERO, tenant: Tenant::Free }, |row| row.view(now)))
            })
        })
        .await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        rules::check_floor("raise_floor", floor)?;
        self.write("raise_floor", Lane::Durable, move |tx| {
            Box::pin(async move {
                let counters = tx.counters().await?;
                if counters.term_floor < floor.0 {
                    tx.run("UPDATE {clusters} SET term_floor = ? WHERE cluster = ?", args![floor.0, tx.cluster()])
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.changed_in(&lease_area(name)).await
    }

    fn durability(&self) -> Durability {
        self.declared()
    }
}

impl SqlStore {
    /// The store's clock and how the lease stands, by a look that takes no lock. `None` where the database has no such look, and of a term that went back: both
    /// are for the long way.
    async fn look(&self, operation: &'static str, name: &LeaseName) -> Result<Option<(i64, Option<LeaseRow>)>> {
        let seen = self.seen(&term_of(name)).term;
        let args = args![self.cluster().as_str(), name];
        let Some((now, rows)) = self.glance(operation, Lane::Pulse, LEASE, args).await? else { return Ok(None) };
        let row = rows.first().map(|row| LeaseRow::parse(row, name)).transpose()?;
        let term = row.as_ref().map_or(0, |row| row.term);
        if term < seen {
            return Ok(None);
        }
        self.shown(term_of(name), term);
        Ok(Some((now, row)))
    }

    /// Who else has the lease, if a look tells: to be refused it is to change nothing, so that nobody who asks in vain is in the way of those who do not.
    async fn refusal(&self, name: &LeaseName, member: &Member) -> Result<Option<LeaseView>> {
        let Some((now, Some(row))) = self.look("acquire", name).await? else { return Ok(None) };
        // Given by a clock that was set back since: that is to be mended.
        let is_of_the_future = row.ends.saturating_sub(row.lasts) > now;
        let view = row.view(now);
        Ok(match &view.tenant {
            _ if is_of_the_future => None,
            Tenant::Held { holder, .. } if holder != member => Some(view),
            Tenant::Reserved { successor, .. } if *successor != member.node => Some(view),
            Tenant::Free | Tenant::Held { .. } | Tenant::Reserved { .. } => None,
        })
    }
}

/// The name under which a handle remembers the highest term of a lease.
fn term_of(name: &LeaseName) -> String {
    format!("the term of lease {name}")
}

/// At most seventy years, so that no sum with a moment overflows, also not one in a statement.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// A lease as its row has it. Moments are the store's, in nanoseconds.
struct LeaseRow {
    term: u64,
    holder: Option<Member>,
    successor: Option<NodeId>,
    ends: i64,
    lasts: i64,
}

impl LeaseRow {
    fn parse(row: &Row, name: &LeaseName) -> Result<Self> {
        row.check_format(0, || format!("lease {name}"))?;
        let (term, ends, lasts) = (row.number(1)?, row.int(5)?, row.int(6)?);
        Ok(Self { term, holder: row.optional_member(2)?, successor: row.optional_id(4)?, ends, lasts })
    }

    fn remaining(&self, now: i64) -> Duration {
        Duration::from_nanos(u64::try_from(self.ends.saturating_sub(now)).unwrap_or(0))
    }

    fn lasts(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.lasts).unwrap_or(0))
    }

    fn view(&self, now: i64) -> LeaseView {
        let remaining = self.remaining(now);
        let tenant = match (&self.holder, &self.successor) {
            _ if remaining.is_zero() => Tenant::Free,
            (Some(holder), _) => Tenant::Held { holder: holder.clone(), remaining },
            (None, Some(successor)) => Tenant::Reserved { successor: successor.clone(), remaining },
            (None, None) => Tenant::Free,
        };
        LeaseView { term: Term(self.term), tenant }
    }

    fn is_current(&self, lease: &Lease, now: i64) -> bool {
        self.term == lease.term.0 && self.holder.as_ref() == Some(&lease.holder) && self.ends > now
    }
}

impl Tx<'_> {
    async fn lease(&mut self, name: &LeaseName) -> Result<Option<LeaseRow>, Fault> {
        let row = self.row(LEASE, args![self.cluster(), name]).await?;
        let row = row.map(|row| LeaseRow::parse(&row, name)).transpose()?;
        self.never_falls(&term_of(name), row.as_ref().map_or(0, |row| row.term))?;
        Ok(row)
    }

    async fn lease_locked(&mut self, name: &LeaseName) -> Result<LeaseRow, Fault> {
        self.run(
            "INSERT INTO {leases} (cluster, name, format, term, ends, lasts) VALUES (?, ?, ?, 0, 0, 0) {or_ignore}",
            args![self.cluster(), name, record::FORMAT],
        )
        .await?;
        let row = self.lease(name).await?;
        row.ok_or_else(|| Error::new(ErrorKind::Corrupt, self.operation(), "a lease's row cannot be kept").into())
    }
}
