//! An operator's view of a cluster and hand in it, on the reference backend.

#[path = "../support/mod.rs"]
mod support;

mod apply;
mod config;
mod jobs;
mod maintenance;
mod orders;
mod outlook;
mod settings;
mod switchover;
mod wait;

use std::time::Duration;

use failover_core::heartbeat::News;
use failover_core::job::{Assigned, JobReport, JobStatus, Move, Reported, Step};
use failover_core::lease::Acquired;
use failover_core::memory::MemoryStore;
use failover_core::{
    Capacity, ClassName, Epoch, Error, Heartbeat, HeartbeatStore, Incarnation, JobAssigner, JobId, JobPolicy, JobSpec,
    Lease, LeaseManager, LeaseName, Member, Role, Term,
};

use support::node;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);

fn class(name: &str) -> ClassName {
    ClassName::new(name).unwrap()
}

fn id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

fn job(name: &str) -> JobSpec {
    JobSpec::new(id(name), "x").unwrap()
}

fn with(name: &str, policy: JobPolicy) -> JobSpec {
    job(name).with_policy(policy).unwrap()
}

/// A policy that differs from the default in what `change` does.
fn policy(change: impl FnOnce(&mut JobPolicy)) -> JobPolicy {
    let mut policy = JobPolicy::default();
    change(&mut policy);
    policy
}

fn pinned(nodes: &[&str]) -> JobPolicy {
    policy(|policy| policy.pins = nodes.iter().map(|name| node(name)).collect())
}

fn member(name: &str) -> Member {
    Member::new(node(name), Incarnation::from_u128(1))
}

/// Lets a node be seen that takes so many jobs.
async fn seen(store: &MemoryStore, name: &str, capacity: Capacity) {
    let news = News { ready: true, ..News::new(Role::Inactive, capacity) };
    store.beat(&Heartbeat { member: member(name), term: Term(1), seq: 1, news }).await.unwrap();
}

/// Makes `name` the active node, as far as the store knows.
async fn active(store: &MemoryStore, name: &str) -> Lease {
    match store.acquire(&LeaseName::active(), &member(name), LONG).await.unwrap() {
        Acquired::Granted(lease) => lease,
        Acquired::Refused(view) => panic!("{view:?}"),
    }
}

/// What broke which rule, as an operator reads it.
fn broken(error: &Error) -> String {
    let invalid = std::error::Error::source(error).and_then(|e| e.downcast_ref::<failover_core::Invalid>());
    invalid.unwrap_or_else(|| panic!("{error}")).to_string()
}

/// Moves a job as the active node would.
async fn assign(store: &MemoryStore, fence: &Lease, wanted: Move) {
    let assigned = store.assign(fence, &[wanted]).await.unwrap();
    assert!(matches!(assigned, Assigned::Applied(_)), "{assigned:?}");
}

/// Gives a job that nobody has to this node.
async fn place(store: &MemoryStore, fence: &Lease, job: &str, to: &str) {
    let jobs = failover_core::Admin::new(store.backend()).jobs().await.unwrap();
    let epoch = jobs.iter().find(|record| *record.spec.id() == id(job)).unwrap().epoch;
    assign(store, fence, Move::new(id(job), epoch, Step::Place { to: member(to) })).await;
}

/// Says of a job what its owner would.
async fn report(store: &MemoryStore, job: &str, by: &str, epoch: u64, status: JobStatus) {
    let report = JobReport { job: id(job), member: member(by), epoch: Epoch(epoch), status };
    assert_eq!(store.report(&[report]).await.unwrap(), [Reported::Accepted]);
}
