use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, Watch, World};
use crate::error::Result;
use crate::ids::{LeaseName, Member, NodeId, Term};
use crate::lease::{Acquired, Durability, Lease, LeaseManager, LeaseView, Renewed, Tenant};
use crate::rules;
use crate::time::Time;
use crate::timing::Timing;

/// The shortest ttl that is more than rounding.
const LEAST_TTL: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Default)]
pub(super) struct Leases {
    /// A name is never dropped: its term must not begin again (law 2).
    slots: BTreeMap<LeaseName, Slot>,
    floor: Term,
    pub(super) wiped: u64,
}

#[derive(Debug, Clone)]
struct Slot {
    term: Term,
    tenant: Claim,
    stamp: u64,
}

/// A tenant with moments of the store's clock where [`Tenant`] has durations.
#[derive(Debug, Clone)]
enum Claim {
    Released,
    Held { holder: Member, ttl: Duration, until: Time },
    Reserved { successor: NodeId, until: Time },
}

impl Leases {
    pub(super) fn stamp(&self, name: &LeaseName) -> u64 {
        self.slots.get(name).map_or(self.wiped, |slot| slot.stamp)
    }

    /// The slot, if `lease` is what it holds now: same holder, same term, not lapsed.
    fn held_under(&mut self, now: Time, lease: &Lease) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&lease.name)?;
        let current = match &slot.tenant {
            Claim::Held { holder, until, .. } => *holder == lease.holder && slot.term == lease.term && now < *until,
            Claim::Released | Claim::Reserved { .. } => false,
        };
        current.then_some(slot)
    }
}

impl World {
    /// [`LeaseManager::acquire`] at the store's present moment.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a ttl below a millisecond.
    pub fn acquire(&mut self, now: Time, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        rules::check_ttl("acquire", ttl, LEAST_TTL)?;
        let view = self.current(now, name);
        let (term, stamp) = match &view.tenant {
            Tenant::Held { holder, .. } if holder == member => (view.term, self.leases.stamp(name)),
            Tenant::Reserved { successor, .. } if *successor != member.node => return Ok(Acquired::Refused(view)),
            Tenant::Held { .. } => return Ok(Acquired::Refused(view)),
            Tenant::Free | Tenant::Reserved { .. } => (view.term.max(self.leases.floor).next(), self.next_stamp()),
        };
        let tenant = Claim::Held { holder: member.clone(), ttl, until: now + ttl };
        self.leases.slots.insert(name.clone(), Slot { term, tenant, stamp });
        Ok(Acquired::Granted(Lease { name: name.clone(), holder: member.clone(), term, ttl }))
    }

    /// [`LeaseManager::renew`] at the store's present moment. The lease lasts the ttl that `lease` states, which is what its
    /// holder reckons with.
    pub fn renew(&mut self, now: Time, lease: &Lease) -> Renewed {
        let Some(slot) = self.leases.held_under(now, lease) else { return Renewed::Lost };
        slot.tenant = Claim::Held { holder: lease.holder.clone(), ttl: lease.ttl, until: now + lease.ttl };
        Renewed::Extended
    }

    /// [`LeaseManager::release`] at the store's present moment.
    pub fn release(&mut self, now: Time, lease: &Lease, successor: Option<&NodeId>) {
        let stamp = self.stamp + 1;
        let Some(slot) = self.leases.held_under(now, lease) else { return };
        let Claim::Held { ttl, .. } = &slot.tenant else { return };
        slot.tenant = successor.map_or(Claim::Released, |node| Claim::Reserved {
            successor: node.clone(),
            until: now + Timing::reservation(*ttl),
        });
        slot.stamp = stamp;
        self.stamp = stamp;
    }

    /// [`LeaseManager::current`] at the store's present moment.
    pub fn current(&self, now: Time, name: &LeaseName) -> LeaseView {
        let Some(slot) = self.leases.slots.get(name) else {
            return LeaseView { term: Term::ZERO, tenant: Tenant::Free };
        };
        let tenant = match &slot.tenant {
            Claim::Held { holder, until, .. } if now < *until => {
                Tenant::Held { holder: holder.clone(), remaining: until.since(now) }
            }
            Claim::Reserved { successor, until } if now < *until => {
                Tenant::Reserved { successor: successor.clone(), remaining: until.since(now) }
            }
            Claim::Released | Claim::Held { .. } | Claim::Reserved { .. } => Tenant::Free,
        };
        LeaseView { term: slot.term, tenant }
    }

    /// [`LeaseManager::raise_floor`].
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) above [`MAX_FLOOR`](crate::lease::MAX_FLOOR).
    pub fn raise_floor(&mut self, floor: Term) -> Result<()> {
        rules::check_floor("raise_floor", floor)?;
        self.leases.floor = self.leases.floor.max(floor);
        Ok(())
    }

    /// As [`raise_floor`](Self::raise_floor), and jobs that are new to the store begin above it too.
    ///
    /// # Errors
    /// As there.
    pub fn go_on_above(&mut self, floor: Term) -> Result<()> {
        self.raise_floor(floor)?;
        self.jobs.epoch_floor = self.jobs.epoch_floor.max(crate::ids::Epoch(floor.0));
        Ok(())
    }
}

#[async_trait]
impl LeaseManager for MemoryStore {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        self.with("acquire", |world, now| world.acquire(now, name, member, ttl))?
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        self.with("renew", |world, now| world.renew(now, lease))
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        self.with("release", |world, now| world.release(now, lease, successor))
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        self.with("current", |world, now| world.current(now, name))
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        self.with("raise_floor", |world, _| world.raise_floor(floor))?
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.changed("changed", Watch::Lease(name)).await
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn least_ttl(&self) -> Duration {
        LEAST_TTL
    }
}
