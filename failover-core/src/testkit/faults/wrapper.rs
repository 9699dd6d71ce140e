use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Fault, Faults, Op};
use crate::error::{Error, ErrorKind, Result};
use crate::heartbeat::{Heartbeat, Sighting};
use crate::ids::{JobId, LeaseName, Member, NodeId, Revision, StateKey, Term};
use crate::job::{Assigned, Changes, JobReport, JobSpec, Move, Removed, Reported, Revised, Submitted};
use crate::lease::{Acquired, Durability, Lease, LeaseView, Renewed};
use crate::state::{Deleted, Document, Expect, Written};
use crate::time::{Clock, SystemClock};
use crate::{Backend, HeartbeatStore, Home, JobAssigner, LeaseManager, StateStore};

/// A backend whose calls meet the faults its [`Faults`] plan for them. Without any it is the backend it wraps.
#[derive(Debug)]
pub struct Faulty {
    backend: Backend,
    faults: Faults,
    clock: Arc<dyn Clock>,
}

impl Faulty {
    /// Wraps a backend. Delays run by the machine's clock.
    pub fn wrap(backend: Backend) -> (Backend, Faults) {
        Self::wrap_on(backend, SystemClock::new())
    }

    /// Wraps a backend, with delays that run by this clock.
    pub fn wrap_on(backend: Backend, clock: impl Clock + 'static) -> (Backend, Faults) {
        let faults = Faults::default();
        (Backend::new(Self { backend, faults: faults.clone(), clock: Arc::new(clock) }), faults)
    }

    async fn call<T: Send>(
        &self,
        op: Op,
        name: &'static str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let unknown =
            |what| Err(Error::new(ErrorKind::Unknown, name, format!("{what}, by an injected fault: look again")));
        match self.faults.draw(op) {
            None => call.await,
            Some(Fault::Delay(by)) => {
                self.sleep(by).await;
                call.await
            }
            Some(Fault::DelayReply(by)) => {
                let answer = call.await;
                self.sleep(by).await;
                answer
            }
            Some(Fault::Refuse(kind)) => {
                Err(Error::new(kind, name, "refused by an injected fault: nothing was applied"))
            }
            Some(Fault::LoseRequest) => unknown("the request was lost"),
            Some(Fault::LoseReply) => {
                call.await?;
                unknown("the reply was lost")
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::HangReply) => {
                let _lost = call.await;
                std::future::pending().await
            }
        }
    }

    async fn sleep(&self, by: Duration) {
        self.clock.sleep_until(self.clock.now() + by).await;
    }
}

#[async_trait]
impl HeartbeatStore for Faulty {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        self.call(Op::Beat, "beat", self.backend.heartbeats.beat(heartbeat)).await
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        self.call(Op::Sightings, "sightings", self.backend.heartbeats.sightings()).await
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        self.call(Op::Forget, "forget", self.backend.heartbeats.forget(member)).await
    }

    async fn changed(&self) -> Result<()> {
        self.call(Op::Changed, "changed", self.backend.heartbeats.changed()).await
    }
}

#[async_trait]
impl LeaseManager for Faulty {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        self.call(Op::Acquire, "acquire", self.backend.leases.acquire(name, member, ttl)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        self.call(Op::Renew, "renew", self.backend.leases.renew(lease)).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        self.call(Op::Release, "release", self.backend.leases.release(lease, successor)).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        self.call(Op::Current, "current", self.backend.leases.current(name)).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        self.call(Op::RaiseFloor, "raise_floor", self.backend.leases.raise_floor(floor)).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.call(Op::Changed, "changed", self.backend.leases.changed(name)).await
    }

    fn durability(&self) -> Durability {
        self.backend.leases.durability()
    }

    fn least_ttl(&self) -> Duration {
        self.backend.leases.least_ttl()
    }

    fn slack(&self) -> Duration {
        self.backend.leases.slack()
    }

    fn home(&self) -> Option<Home> {
        self.backend.leases.home()
    }
}

#[async_trait]
impl JobAssigner for Faulty {
    async fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        self.call(Op::Submit, "submit", self.backend.jobs.submit(spec)).await
    }

    async fn revise(&self, spec: &JobSpec) -> Result<Revised> {
        self.call(Op::Revise, "revise", self.backend.jobs.revise(spec)).await
    }

    async fn remove(&self, job: &JobId) -> Result<Removed> {
        self.call(Op::Remove, "remove", self.backend.jobs.remove(job)).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<Changes> {
        self.call(Op::Changes, "changes", self.backend.jobs.changes(since, limit)).await
    }

    async fn assign(&self, fence: &Lease, moves: &[Move]) -> Result<Assigned> {
        self.call(Op::Assign, "assign", self.backend.jobs.assign(fence, moves)).await
    }

    async fn report(&self, reports: &[JobReport]) -> Result<Vec<Reported>> {
        self.call(Op::Report, "report", self.backend.jobs.report(reports)).await
    }

    async fn changed(&self) -> Result<()> {
        self.call(Op::Changed, "changed", self.backend.jobs.changed()).await
    }
}

#[async_trait]
impl StateStore for Faulty {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.call(Op::Get, "get", self.backend.state.get(key)).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.call(Op::List, "list", self.backend.state.list(prefix, after, limit)).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        self.call(Op::Put, "put", self.backend.state.put(key, value, expect, fence)).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.call(Op::Delete, "delete", self.backend.state.delete(key, expect, fence)).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.call(Op::Changed, "changed", self.backend.state.changed(prefix)).await
    }
}
