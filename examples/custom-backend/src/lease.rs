use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use failover_core::lease::{Acquired, Durability, Lease, LeaseManager, LeaseView, Renewed, Tenant};
use failover_core::{Error, ErrorKind, LeaseName, Member, NodeId, Result, Term, Timing, rules};
use serde::{Deserialize, Serialize};

use crate::NatsStore;
use crate::keys::Topic;
use crate::table::{Area, Stamp, Table};

/// The shortest ttl that is more than rounding.
const LEAST_TTL: Duration = Duration::from_millis(1);

/// All leases. A name is never dropped: its term must not begin again (law 2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Leases {
    floor: Term,
    slots: BTreeMap<LeaseName, Slot>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slot {
    term: Term,
    tenant: Claim,
    /// When `tenant` was written; nothing in the message that brings it: the stamp of that message.
    since: Option<Stamp>,
    /// Only in the message that brings `tenant`: it counts only if it was stamped before this moment. The writer means "if
    /// the lease has not lapsed when this arrives", which it cannot know.
    if_before: Option<Stamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Claim {
    Free,
    Held { holder: Member, ttl: Duration },
    Reserved { successor: NodeId, time: Duration },
}

impl Slot {
    fn end(&self) -> Option<Stamp> {
        match self.tenant {
            Claim::Free => None,
            Claim::Held { ttl: time, .. } | Claim::Reserved { time, .. } => Some(self.since?.after(time)),
        }
    }

    /// Writes another tenant in the place of one that holds the lease, provided that it still does when this is stamped.
    fn replace(&mut self, tenant: Claim) {
        *self = Self { term: self.term, if_before: self.end(), tenant, since: None };
    }

    fn view(&self, now: Stamp) -> LeaseView {
        let remaining = self.end().map(|end| end.since(now)).unwrap_or_default();
        let tenant = match &self.tenant {
            _ if remaining.is_zero() => Tenant::Free,
            Claim::Free => Tenant::Free,
            // `now` may be a little older than the table.
            Claim::Held { holder, ttl } => Tenant::Held { holder: holder.clone(), remaining: remaining.min(*ttl) },
            Claim::Reserved { successor, time } => {
                Tenant::Reserved { successor: successor.clone(), remaining: remaining.min(*time) }
            }
        };
        LeaseView { term: self.term, tenant }
    }
}

impl Table for Leases {
    const AREA: Area = Area::Leases;

    fn stamped(&mut self, at: Stamp) {
        for slot in self.slots.values_mut().filter(|slot| slot.since.is_none()) {
            slot.since = Some(at);
            if slot.if_before.take().is_some_and(|end| at >= end) {
                // It came too late: what it would have replaced had lapsed by then.
                slot.tenant = Claim::Free;
            }
        }
    }
}

/// What became of an `acquire`.
enum Outcome {
    Granted(Lease),
    /// The member held it and holds it again, if that was written in time.
    Kept(Lease),
    Refused(LeaseView),
}

impl Leases {
    fn view(&self, now: Stamp, name: &LeaseName) -> LeaseView {
        let never = LeaseView { term: Term::ZERO, tenant: Tenant::Free };
        self.slots.get(name).map_or(never, |slot| slot.view(now))
    }

    fn acquire(&mut self, now: Stamp, name: &LeaseName, member: &Member, ttl: Duration) -> Outcome {
        let view = self.view(now, name);
        let lease = |term| Lease { name: name.clone(), holder: member.clone(), term, ttl };
        let tenant = Claim::Held { holder: member.clone(), ttl };
        match view.tenant {
            Tenant::Held { ref holder, .. } if holder == member => {
                self.slots.entry(name.clone()).and_modify(|slot| slot.replace(tenant));
                Outcome::Kept(lease(view.term))
            }
            Tenant::Held { .. } => Outcome::Refused(view),
            Tenant::Reserved { ref successor, .. } if *successor != member.node => Outcome::Refused(view),
            Tenant::Free | Tenant::Reserved { .. } => {
                let term = view.term.max(self.floor).next();
                self.slots.insert(name.clone(), Slot { term, tenant, since: None, if_before: None });
                Outcome::Granted(lease(term))
            }
        }
    }

    /// The slot, if `lease` is what it holds, lapsed or not.
    fn held_under(&mut self, lease: &Lease) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&lease.name)?;
        let theirs = matches!(&slot.tenant, Claim::Held { holder, .. } if *holder == lease.holder);
        (theirs && slot.term == lease.term).then_some(slot)
    }

    fn renew(&mut self, lease: &Lease) -> bool {
        let Some(slot) = self.held_under(lease) else { return false };
        slot.replace(Claim::Held { holder: lease.holder.clone(), ttl: lease.ttl });
        true
    }

    fn release(&mut self, lease: &Lease, successor: Option<&NodeId>) {
        let Some(slot) = self.held_under(lease) else { return };
        let Claim::Held { ttl, .. } = slot.tenant else { return };
        slot.replace(
            successor.map_or(Claim::Free, |node| Claim::Reserved {
                successor: node.clone(),
                time: Timing::reservation(ttl),
            }),
        );
    }

    pub(crate) fn raise_floor(&mut self, floor: Term) {
        self.floor = self.floor.max(floor);
    }
}

impl NatsStore {
    /// Whether what was just written under a condition counts: tells by the stamp that the server gave it.
    async fn counted(&self, operation: &'static str, lease: &Lease) -> Result<bool> {
        let read = self.load::<Leases>(operation).await;
        let unknown = |e: Error| {
            let kind = if e.kind() == ErrorKind::StoreChanged { e.kind() } else { ErrorKind::Unknown };
            Error::new(kind, operation, "it was written, and the server does not tell whether in time").with_source(e)
        };
        Ok(read.map_err(unknown)?.table.held_under(lease).is_some())
    }
}

#[async_trait]
impl LeaseManager for NatsStore {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        rules::check_ttl("acquire", ttl, LEAST_TTL)?;
        let acquire = async {
            loop {
                // That a lease has lapsed is shown by a stamp, never by a clock of ours. Its age does not matter: what has
                // lapsed stays so, and who changed the table since then makes the write fail.
                let now = self.now(Area::Leases, "acquire").await?;
                let change = |table: &mut Leases| table.acquire(now, name, member, ttl);
                match self.change("acquire", None, change).await?.0 {
                    Outcome::Refused(view) => return Ok(Acquired::Refused(view)),
                    Outcome::Granted(lease) => {
                        self.hint(&Topic::Lease(name.clone())).await;
                        return Ok(Acquired::Granted(lease));
                    }
                    Outcome::Kept(lease) if self.counted("acquire", &lease).await? => {
                        return Ok(Acquired::Granted(lease));
                    }
                    // It lapsed on the way: the next round acquires it anew.
                    Outcome::Kept(_) => {}
                }
            }
        };
        self.within("acquire", ErrorKind::Unknown, acquire).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        let renew = async {
            let change = |table: &mut Leases| table.renew(lease);
            let (written, _) = self.change("renew", None, change).await?;
            let extended = written && self.counted("renew", lease).await?;
            Ok(if extended { Renewed::Extended } else { Renewed::Lost })
        };
        self.within("renew", ErrorKind::Unknown, renew).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        let release = async {
            let change = |table: &mut Leases| table.release(lease, successor);
            let ((), written) = self.change("release", None, change).await?;
            if written {
                self.hint(&Topic::Lease(lease.name.clone())).await;
            }
            Ok(())
        };
        self.within("release", ErrorKind::Unknown, release).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        let look = async {
            // First the time, then the table: a lease that was renewed in between is not told to be free.
            let now = self.now(Area::Leases, "current").await?;
            Ok(self.load::<Leases>("current").await?.table.view(now, name))
        };
        self.within("current", ErrorKind::Unavailable, look).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        rules::check_floor("raise_floor", floor)?;
        let raise = async {
            self.change("raise_floor", None, |table: &mut Leases| table.raise_floor(floor)).await?;
            Ok(())
        };
        self.within("raise_floor", ErrorKind::Unknown, raise).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.hinted(&Topic::Lease(name.clone())).await
    }

    fn durability(&self) -> Durability {
        Durability::SingleNode
    }

    fn least_ttl(&self) -> Duration {
        LEAST_TTL
    }
}
