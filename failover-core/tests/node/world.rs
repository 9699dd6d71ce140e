//! What the tests of nodes share: a store and a clock moved by hand, and hosts that tell what they did.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Unruly, node, until};
use async_trait::async_trait;
use failover_core::heartbeat::{Heartbeat, HeartbeatStore, Sighting};
use failover_core::machine::{EventKind, JobEnd};
use failover_core::memory::MemoryStore;
use failover_core::time::{Clock, ManualClock, Time};
use failover_core::{
    Admin, Backend, Events, JobId, JobRecord, JobRun, JobSpec, Node, NodeBuilder, Right, Role, RoleHooks, StampedEvent,
    Timing,
};

pub(crate) const TTL: Duration = Duration::from_secs(5);
pub(crate) const BEAT: Duration = Duration::from_secs(1);
pub(crate) const LONG: Duration = Duration::from_mins(1);

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) store: MemoryStore,
    pub(crate) admin: Admin,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let store = MemoryStore::with_clock(clock.clone());
        let admin = Admin::new(store.backend()).with_clock(Arc::new(clock.clone()));
        Self { clock, store, admin }
    }

    pub(crate) fn node(&self, name: &str) -> NodeBuilder {
        self.node_on(self.store.backend(), name)
    }

    pub(crate) fn node_on(&self, backend: Backend, name: &str) -> NodeBuilder {
        let timing = Timing::new(BEAT, TTL).unwrap();
        Node::builder(backend, node(name)).timing(timing).clock(Arc::new(self.clock.clone()))
    }

    /// A backend whose leases can be made to misbehave.
    pub(crate) fn unruly(&self) -> (Arc<Unruly>, Backend) {
        let mut backend = self.store.backend();
        let leases = Unruly::new(backend.leases.clone());
        backend.leases = leases.clone();
        (leases, backend)
    }

    pub(crate) async fn role(&self, node: &Node, role: Role) {
        let mut roles = node.roles();
        until(&self.clock, LONG, roles.wait_for(|now| *now == role)).await.unwrap();
    }

    pub(crate) async fn event(&self, events: &mut Events, kind: EventKind) -> StampedEvent {
        until(&self.clock, LONG, async {
            loop {
                let event = events.next().await.expect("the node ended before that");
                if event.event.kind == kind {
                    return event;
                }
            }
        })
        .await
    }

    pub(crate) async fn submit(&self, id: &str, payload: &str) {
        self.admin.submit(&JobSpec::new(job(id), payload).unwrap()).await.unwrap();
    }

    pub(crate) async fn job(&self, id: &str) -> JobRecord {
        self.admin.jobs().await.unwrap().into_iter().find(|record| *record.spec.id() == job(id)).unwrap()
    }

    /// Waits until the store says this of the job.
    pub(crate) async fn job_until(&self, id: &str, is: impl Fn(&JobRecord) -> bool) -> JobRecord {
        until(&self.clock, LONG, async {
            loop {
                let record = self.job(id).await;
                if is(&record) {
                    return record;
                }
                self.clock.sleep_until(self.clock.now() + crate::support::STEP).await;
            }
        })
        .await
    }
}

pub(crate) fn job(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

/// Runs until it is told to stop.
pub(crate) async fn obedient(run: JobRun) -> JobEnd {
    run.stop().cancelled().await;
    JobEnd::Stopped
}

/// Waits for the end of a right and tells when it was.
pub(crate) async fn end_of(clock: &ManualClock, right: &Right) -> Time {
    while right.is_valid() {
        clock.sleep_until(right.ends_at()).await;
    }
    clock.now()
}

/// What the hooks of all nodes did, in order.
#[derive(Clone, Default)]
pub(crate) struct Story(pub(crate) Arc<Mutex<Vec<String>>>);

impl Story {
    pub(crate) fn tell(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Hooks that write down what they are asked.
pub(crate) struct Writer(pub(crate) &'static str, pub(crate) Story);

#[async_trait]
impl RoleHooks for Writer {
    async fn prepare(&self) {
        self.1.tell(format!("{} prepare", self.0));
    }

    async fn promote(&self, right: Right) {
        assert!(right.is_valid());
        self.1.tell(format!("{} promote {}", self.0, right.token().number));
    }

    async fn demote(&self) {
        self.1.tell(format!("{} demote", self.0));
    }
}

/// Heartbeats that can be made to vanish: every call succeeds, and no beat arrives.
pub(crate) struct Mute(Arc<dyn HeartbeatStore>, AtomicBool);

impl Mute {
    pub(crate) fn new(inner: Arc<dyn HeartbeatStore>) -> Arc<Self> {
        Arc::new(Self(inner, AtomicBool::new(false)))
    }

    pub(crate) fn mute(&self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl HeartbeatStore for Mute {
    async fn beat(&self, heartbeat: &Heartbeat) -> failover_core::Result<()> {
        if self.1.load(Ordering::SeqCst) { Ok(()) } else { self.0.beat(heartbeat).await }
    }

    async fn sightings(&self) -> failover_core::Result<Vec<Sighting>> {
        self.0.sightings().await
    }

    async fn forget(&self, member: &failover_core::Member) -> failover_core::Result<()> {
        self.0.forget(member).await
    }
}
