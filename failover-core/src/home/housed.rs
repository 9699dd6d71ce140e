//! A backend in a home: each call is made there.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Home;
use crate::backend::Backend;
use crate::error::Result;
use crate::heartbeat::{Heartbeat, HeartbeatStore, Sighting};
use crate::ids::{JobId, LeaseName, Member, NodeId, Revision, StateKey, Term};
use crate::job::{Assigned, Changes, JobAssigner, JobReport, JobSpec, Move, Removed, Reported, Revised, Submitted};
use crate::lease::{Acquired, Durability, Lease, LeaseManager, LeaseView, Renewed};
use crate::state::{Deleted, Document, Expect, StateStore, Written};

pub(super) struct Housed {
    /// Taken when it is dropped.
    store: Option<Arc<Backend>>,
    home: Home,
}

impl Housed {
    pub(super) fn new(store: Backend, home: Home) -> Self {
        Self { store: Some(Arc::new(store)), home }
    }

    fn store(&self) -> &Arc<Backend> {
        let Some(store) = &self.store else { unreachable!("it is taken when nobody can call any more") };
        store
    }

    /// The store, for a caller who is there.
    fn here(&self) -> Option<&Backend> {
        self.home.is_here().then(|| &**self.store())
    }

    /// Has a call made there.
    async fn there<T, R>(&self, operation: &'static str, call: impl FnOnce(Arc<Backend>) -> R + Send) -> Result<T>
    where
        T: Send + 'static,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        let call = call(self.store().clone());
        self.home.carry(operation, call).await
    }
}

impl Drop for Housed {
    /// Its connections are closed where they belong.
    fn drop(&mut self) {
        let store = self.store.take();
        if !self.home.is_here() {
            self.home.spawn(async move { drop(store) });
        }
    }
}

#[async_trait]
impl HeartbeatStore for Housed {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        if let Some(store) = self.here() {
            return store.heartbeats.beat(heartbeat).await;
        }
        let heartbeat = heartbeat.clone();
        self.there("beat", |store| async move { store.heartbeats.beat(&heartbeat).await }).await
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        if let Some(store) = self.here() {
            return store.heartbeats.sightings().await;
        }
        self.there("sightings", |store| async move { store.heartbeats.sightings().await }).await
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        if let Some(store) = self.here() {
            return store.heartbeats.forget(member).await;
        }
        let member = member.clone();
        self.there("forget", |store| async move { store.heartbeats.forget(&member).await }).await
    }

    async fn changed(&self) -> Result<()> {
        if let Some(store) = self.here() {
            return store.heartbeats.changed().await;
        }
        self.there("changed", |store| async move { store.heartbeats.changed().await }).await
    }
}

#[async_trait]
impl LeaseManager for Housed {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        if let Some(store) = self.here() {
            return store.leases.acquire(name, member, ttl).await;
        }
        let (name, member) = (name.clone(), member.clone());
        self.there("acquire", move |store| async move { store.leases.acquire(&name, &member, ttl).await }).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        if let Some(store) = self.here() {
            return store.leases.renew(lease).await;
        }
        let lease = lease.clone();
        self.there("renew", |store| async move { store.leases.renew(&lease).await }).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        if let Some(store) = self.here() {
            return store.leases.release(lease, successor).await;
        }
        let (lease, successor) = (lease.clone(), successor.cloned());
        self.there("release", |store| async move { store.leases.release(&lease, successor.as_ref()).await }).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        if let Some(store) = self.here() {
            return store.leases.current(name).await;
        }
        let name = name.clone();
        self.there("current", |store| async move { store.leases.current(&name).await }).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        if let Some(store) = self.here() {
            return store.leases.raise_floor(floor).await;
        }
        self.there("raise_floor", move |store| async move { store.leases.raise_floor(floor).await }).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        if let Some(store) = self.here() {
            return store.leases.changed(name).await;
        }
        let name = name.clone();
        self.there("changed", |store| async move { store.leases.changed(&name).await }).await
    }

    fn durability(&self) -> Durability {
        self.store().leases.durability()
    }

    fn least_ttl(&self) -> Duration {
        self.store().leases.least_ttl()
    }

    fn slack(&self) -> Duration {
        self.store().leases.slack()
    }

    fn home(&self) -> Option<Home> {
        Some(self.home.clone())
    }
}

#[async_trait]
impl JobAssigner for Housed {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        if let Some(store) = self.here() {
            return store.jobs.submit(spec).await;
        }
        let spec = spec.clone();
        self.there("submit", |store| async move { store.jobs.submit(&spec).await }).await
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        if let Some(store) = self.here() {
            return store.jobs.revise(spec).await;
        }
        let spec = spec.clone();
        self.there("revise", |store| async move { store.jobs.revise(&spec).await }).await
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        if let Some(store) = self.here() {
            return store.jobs.remove(job).await;
        }
        let job = job.clone();
        self.there("remove", |store| async move { store.jobs.remove(&job).await }).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        if let Some(store) = self.here() {
            return store.jobs.changes(since, limit).await;
        }
        self.there("changes", move |store| async move { store.jobs.changes(since, limit).await }).await
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        if let Some(store) = self.here() {
            return store.jobs.assign(fence, moves).await;
        }
        let (fence, moves) = (fence.clone(), moves.to_vec());
        self.there("assign", |store| async move { store.jobs.assign(&fence, &moves).await }).await
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        if let Some(store) = self.here() {
            return store.jobs.report(reports).await;
        }
        let reports = reports.to_vec();
        self.there("report", |store| async move { store.jobs.report(&reports).await }).await
    }

    async fn changed(&self) -> Result<()> {
        if let Some(store) = self.here() {
            return store.jobs.changed().await;
        }
        self.there("changed", |store| async move { store.jobs.changed().await }).await
    }
}

#[async_trait]
impl StateStore for Housed {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        if let Some(store) = self.here() {
            return store.state.get(key).await;
        }
        let key = key.clone();
        self.there("get", |store| async move { store.state.get(&key).await }).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        if let Some(store) = self.here() {
            return store.state.list(prefix, after, limit).await;
        }
        let (prefix, after) = (prefix.clone(), after.cloned());
        self.there("list", move |store| async move { store.state.list(&prefix, after.as_ref(), limit).await }).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        if let Some(store) = self.here() {
            return store.state.put(key, value, expect, fence).await;
        }
        let (key, value, fence) = (key.clone(), value.to_vec(), fence.cloned());
        let put = move |store: Arc<Backend>| async move { store.state.put(&key, &value, expect, fence.as_ref()).await };
        self.there("put", put).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        if let Some(store) = self.here() {
            return store.state.delete(key, expect, fence).await;
        }
        let (key, fence) = (key.clone(), fence.cloned());
        let delete = move |store: Arc<Backend>| async move { store.state.delete(&key, expect, fence.as_ref()).await };
        self.there("delete", delete).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        if let Some(store) = self.here() {
            return store.state.changed(prefix).await;
        }
        let prefix = prefix.clone();
        self.there("changed", |store| async move { store.state.changed(&prefix).await }).await
    }
}
