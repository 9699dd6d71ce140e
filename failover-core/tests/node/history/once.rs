//! A fault at every single call of the active node that concerns what the history tells, one after another: each thing is told once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::control::{self, Orders, Switchover};
use failover_core::incident::{ActionState, Deed, Entry, EntryId};
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{
    Backend, Error, ErrorKind, HeartbeatStore, Lease, Member, Node, ResponseRun, Result, Role, StateKey, StateStore,
    Term, Timing, record,
};

use crate::support::{node, pass, until};
use crate::world::{LONG, World};

/// A quick cluster: there are many runs.
const BEAT: Duration = Duration::from_millis(200);
const TTL: Duration = Duration::from_secs(1);

/// What befalls the one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The process dies there; the call is still done, or not.
    Death { done: bool },
    /// It is done, and its answer is lost.
    Lost,
    /// It is refused.
    Refused,
}

/// Documents, of which one call is struck: one that writes, or that reads what is to be told or was.
struct Brittle {
    inner: Arc<dyn StateStore>,
    /// Calls until then.
    left: AtomicUsize,
    blow: Blow,
}

impl Brittle {
    fn backend(world: &World, left: usize, blow: Blow) -> (Backend, Arc<Self>) {
        let mut backend = world.store.backend();
        let brittle = Arc::new(Self { inner: backend.state.clone(), left: AtomicUsize::new(left), blow });
        backend.state = brittle.clone();
        (backend, brittle)
    }

    /// Whether the call was reached.
    fn struck(&self) -> bool {
        self.left.load(Ordering::SeqCst) == usize::MAX
    }

    async fn call<T>(&self, counts: bool, call: impl Future<Output = Result<T>>) -> Result<T> {
        let died = matches!(self.blow, Blow::Death { .. });
        match self.left.load(Ordering::SeqCst) {
            usize::MAX if died => return std::future::pending().await,
            usize::MAX => return call.await,
            _ if !counts => return call.await,
            0 => self.left.store(usize::MAX, Ordering::SeqCst),
            left => {
                self.left.store(left - 1, Ordering::SeqCst);
                return call.await;
            }
        }
        let failed = |kind| Err(Error::new(kind, "call", "struck by a test"));
        if matches!(self.blow, Blow::Death { done: true } | Blow::Lost) {
            let _nobody_hears = call.await;
        }
        match self.blow {
            Blow::Death { .. } => std::future::pending().await,
            Blow::Lost => failed(ErrorKind::Unknown),
            Blow::Refused => failed(ErrorKind::Unavailable),
        }
    }
}

#[async_trait]
impl StateStore for Brittle {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.call(false, self.inner.get(key)).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.call(*prefix != control::control(), self.inner.list(prefix, after, limit)).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        self.call(true, self.inner.put(key, value, expect, fence)).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.call(true, self.inner.delete(key, expect, fence)).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.inner.changed(prefix).await
    }
}

fn start(world: &World, backend: Backend, name: &str) -> Node {
    let page = |_run: ResponseRun| async { Ok("told".to_owned()) };
    world.node_on(backend, name).timing(Timing::new(BEAT, TTL).unwrap()).response("page", page).start().unwrap()
}

/// A node that joins and is lost.
async fn lose(world: &World, name: &str) -> Member {
    let lost = start(world, world.store.backend(), name);
    let mut events = lost.events();
    world.event(&mut events, failover_core::machine::EventKind::NodeJoined).await;
    pass(&world.clock, BEAT).await;
    let member = lost.member().clone();
    drop(lost);
    member
}

/// Everything that there is to tell of happens while `b` is active, which is struck; `a` takes over from it.
async fn strike(at: usize, blow: Blow) -> bool {
    let world = World::new();
    let a = start(&world, world.store.backend(), "a");
    world.role(&a, Role::Active).await;
    let (backend, brittle) = Brittle::backend(&world, at, blow);
    let b = start(&world, backend, "b");
    world.role(&b, Role::Standby).await;
    pass(&world.clock, BEAT).await;

    let admin = &world.admin;
    let mut dying = Some(b);
    // What is asked for while nobody answers is asked for once more.
    let began = until(&world.clock, LONG, admin.switchover(Some(node("b")), LONG / 4)).await;
    // It may be known only from its heartbeat that it led.
    let told = world.store.sightings().await.unwrap().into_iter().filter_map(|seen| seen.heartbeat.news.lead);
    let mut led: BTreeSet<Term> = told.map(|lead| lead.term).collect();
    led.extend(began.ok().and_then(|done| done.term));
    bury(&brittle, &mut dying);
    admin.set_roster(vec![node("b"), node("a")]).await.unwrap();
    admin.set_roster(vec![node("a"), node("b")]).await.unwrap();
    let lost = lose(&world, "x").await;
    bury(&brittle, &mut dying);
    pass(&world.clock, TTL * 3).await;
    bury(&brittle, &mut dying);
    let _refused = until(&world.clock, LONG, admin.switchover(Some(node("nobody")), LONG / 4)).await;
    let _withdrawn = until(&world.clock, LONG, admin.ack(&lost, "seen", LONG / 4)).await;
    bury(&brittle, &mut dying);
    admin.set_roster(Vec::new()).await.unwrap();
    pass(&world.clock, BEAT).await;
    bury(&brittle, &mut dying);
    pass(&world.clock, TTL * 3).await;
    if let Some(b) = dying.take() {
        drop(b);
        world.role(&a, Role::Active).await;
        pass(&world.clock, TTL * 3).await;
    }
    until(&world.clock, LONG, admin.ack(&lost, "seen", LONG / 4)).await.unwrap();
    pass(&world.clock, TTL * 2).await;
    compare(&world, &format!("{blow:?} at call {at}"), led).await;
    brittle.struck()
}

/// Ends the process that was struck dead.
fn bury(brittle: &Brittle, dying: &mut Option<Node>) {
    if brittle.struck() && matches!(brittle.blow, Blow::Death { .. }) {
        drop(dying.take());
    }
}

async fn document<T: serde::de::DeserializeOwned>(world: &World, key: StateKey) -> Option<T> {
    let document = world.store.get(&key).await.unwrap()?;
    Some(record::decode("test", key.as_str(), &document.value).unwrap())
}

/// What the documents say against what the history tells.
async fn compare(world: &World, case: &str, led: BTreeSet<Term>) {
    let entries = world.admin.history(1_000).await.unwrap();
    let told = |deed: Deed| entries.iter().filter(move |entry| entry.deed == deed);
    let about = |deed: Deed| told(deed).map(|entry| entry.about.clone().unwrap()).collect::<Vec<_>>();
    let once = |id: &EntryId, deed: Deed| {
        let there = told(deed).filter(|entry| (entry.term, entry.number) == (id.term, id.number)).count();
        assert_eq!(there, 1, "{case}: {deed:?} {id:?}: {entries:#?}");
    };

    let mut versions: Vec<u64> = about(Deed::Settings).iter().map(|version| version.parse().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3], "{case}: {entries:#?}");

    let wish: Switchover = document(world, control::switchover_key()).await.unwrap();
    assert!(wish.phase.is_over(), "{case}: {wish:?}");
    let mut ids = about(Deed::Switchover);
    assert!(ids.contains(&wish.id), "{case}: {wish:?}");
    let before = wish.before.as_ref().map(|before| before.id.clone());
    assert!(before.is_none_or(|before| ids.contains(&before)), "{case}: {wish:?}");
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "{case}: {entries:#?}");

    let orders: Orders = document(world, control::orders_key()).await.unwrap();
    for order in orders.orders.values() {
        assert!(order.phase.is_over(), "{case}: {order:?}");
        once(&order.entry.unwrap(), Deed::Ack);
    }
    assert_eq!(told(Deed::Ack).count(), orders.orders.len(), "{case}: {entries:#?}");

    let incidents = world.admin.incidents().await.unwrap();
    for incident in &incidents {
        let claim = &incident.claim;
        let there = told(Deed::Incident).filter(|entry| entry.what.contains(&claim.incarnation.to_string())).count();
        assert_eq!(there, 1, "{case}: {claim:?}: {entries:#?}");
        for record in incident.actions.values() {
            if matches!(record.state, ActionState::Done | ActionState::Failed) {
                once(&record.entry.unwrap(), Deed::Action);
            }
        }
    }
    assert_eq!(told(Deed::Incident).count(), incidents.len(), "{case}: {entries:#?}");

    // Whoever did anything as the active node has become it.
    let became: Vec<Term> = told(Deed::Takeover).map(|entry| entry.term).collect();
    let terms: BTreeSet<Term> = entries.iter().map(|entry: &Entry| entry.term).chain(led).collect();
    let all: BTreeSet<Term> = became.iter().copied().collect();
    assert_eq!((became.len(), &all), (all.len(), &terms), "{case}: {entries:#?}");
    assert!(entries.is_sorted_by(|later, earlier| (later.term, later.number) > (earlier.term, earlier.number)));
}

async fn strike_all(blow: Blow) {
    let mut at = 0;
    while strike(at, blow).await {
        at += 1;
    }
    assert!(at > 20, "{blow:?}: only {at} calls");
}

#[tokio::test]
async fn an_active_node_that_dies_at_any_call_leaves_nothing_untold_and_nothing_is_told_twice() {
    strike_all(Blow::Death { done: false }).await;
    strike_all(Blow::Death { done: true }).await;
}

#[tokio::test]
async fn a_fault_at_any_call_of_the_active_node_leaves_nothing_untold_and_nothing_is_told_twice() {
    strike_all(Blow::Lost).await;
    strike_all(Blow::Refused).await;
}
