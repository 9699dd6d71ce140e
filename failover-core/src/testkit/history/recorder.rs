use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Answer, Call, History};
use crate::error::Result;
use crate::ids::{LeaseName, Member, NodeId, Term};
use crate::lease::{Acquired, Durability, Lease, LeaseManager, LeaseView, Renewed};

/// Leases, with every call written down.
pub(super) struct Recorded {
    leases: Arc<dyn LeaseManager>,
    history: History,
}

impl Recorded {
    pub(super) fn new(leases: Arc<dyn LeaseManager>, history: History) -> Self {
        Self { leases, history }
    }

    /// If this is dropped on the way, the call stays open, which is what its outcome then is.
    async fn record<T: Clone>(
        &self,
        call: Call,
        answer: impl FnOnce(T) -> Answer,
        asked: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let entry = self.history.ask(call);
        let outcome = asked.await;
        match &outcome {
            Ok(told) => self.history.answered(entry, answer(told.clone())),
            Err(error) if error.is_outcome_unknown() => {}
            Err(_) => self.history.not_applied(entry),
        }
        outcome
    }
}

#[async_trait]
impl LeaseManager for Recorded {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        let call = Call::Acquire { name: name.clone(), member: member.clone(), ttl };
        self.record(call, Answer::Acquired, self.leases.acquire(name, member, ttl)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        self.record(Call::Renew { lease: lease.clone() }, Answer::Renewed, self.leases.renew(lease)).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        let call = Call::Release { lease: lease.clone(), successor: successor.cloned() };
        self.record(call, |()| Answer::Released, self.leases.release(lease, successor)).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        self.record(Call::Current { name: name.clone() }, Answer::Current, self.leases.current(name)).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        self.leases.raise_floor(floor).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        self.leases.changed(name).await
    }

    fn durability(&self) -> Durability {
        self.leases.durability()
    }

    fn least_ttl(&self) -> Duration {
        self.leases.least_ttl()
    }

    fn slack(&self) -> Duration {
        self.leases.slack()
    }
}
