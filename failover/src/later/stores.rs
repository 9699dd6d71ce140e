//! The four traits: each call goes to the store once it is open.

use std::time::Duration;

use async_trait::async_trait;
use failover_core::job::{Assigned, Changes, JobReport, Move, Removed, Reported, Revised, Submitted};
use failover_core::lease::{Acquired, Durability, LeaseView, Renewed};
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{
    Heartbeat, HeartbeatStore, JobAssigner, JobId, JobSpec, Lease, LeaseManager, LeaseName, Member, NodeId, Result,
    Revision, Sighting, StateKey, StateStore, Term,
};

use super::Later;

#[async_trait]
impl HeartbeatStore for Later {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        self.opening.store("beat").await?.heartbeats.beat(heartbeat).await
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        self.opening.store("sightings").await?.heartbeats.sightings().await
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        self.opening.store("forget").await?.heartbeats.forget(member).await
    }

    async fn changed(&self) -> Result<()> {
        match self.opening.opened() {
            Some(backend) => backend.heartbeats.changed().await,
            None => self.opens().await,
        }
    }
}

#[async_trait]
impl LeaseManager for Later {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        self.opening.store("acquire").await?.leases.acquire(name, member, ttl).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        self.opening.store("renew").await?.leases.renew(lease).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        self.opening.store("release").await?.leases.release(lease, successor).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        self.opening.store("current").await?.leases.current(name).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        self.opening.store("raise_floor").await?.leases.raise_floor(floor).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        match self.opening.opened() {
            Some(backend) => backend.leases.changed(name).await,
            None => self.opens().await,
        }
    }

    fn durability(&self) -> Durability {
        self.opening.opened().map_or(Durability::Volatile, |backend| backend.leases.durability())
    }

    fn least_ttl(&self) -> Duration {
        self.opening.opened().map_or(self.usual.least_ttl, |backend| backend.leases.least_ttl())
    }

    fn slack(&self) -> Duration {
        self.opening.opened().map_or(self.usual.slack, |backend| backend.leases.slack())
    }
}

#[async_trait]
impl JobAssigner for Later {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        self.opening.store("submit").await?.jobs.submit(spec).await
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        self.opening.store("revise").await?.jobs.revise(spec).await
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        self.opening.store("remove").await?.jobs.remove(job).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        self.opening.store("changes").await?.jobs.changes(since, limit).await
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        self.opening.store("assign").await?.jobs.assign(fence, moves).await
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        self.opening.store("report").await?.jobs.report(reports).await
    }

    async fn changed(&self) -> Result<()> {
        match self.opening.opened() {
            Some(backend) => backend.jobs.changed().await,
            None => self.opens().await,
        }
    }
}

#[async_trait]
impl StateStore for Later {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.opening.store("get").await?.state.get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.opening.store("list").await?.state.list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        self.opening.store("put").await?.state.put(key, value, expect, fence).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.opening.store("delete").await?.state.delete(key, expect, fence).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        match self.opening.opened() {
            Some(backend) => backend.state.changed(prefix).await,
            None => self.opens().await,
        }
    }
}

impl Later {
    /// That the store is there now is a change like any other: whoever waits for one looks.
    async fn opens(&self) -> Result<()> {
        self.opening.open().await;
        Ok(())
    }
}
