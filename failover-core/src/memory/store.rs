use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{StoreId, Watch, World};
use crate::Backend;
use crate::error::Result;
use crate::ids::{ClusterName, LeaseName, StateKey, Term};
use crate::time::{Clock, SystemClock, Time};

/// The reference backend's handle. A clone is a handle of its own on the same store and cluster, as another node has it.
pub struct MemoryStore {
    shared: Arc<Shared>,
    cluster: ClusterName,
    /// The store as this handle got to know it.
    known: StoreId,
    opened: u64,
    heard: Mutex<Heard>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    clusters: Mutex<Clusters>,
    /// The latest stamp of any cluster; every waiter then looks at its own.
    stir: watch::Sender<()>,
}

struct Clusters {
    /// The identity of the whole store, which every cluster in it shares.
    wipes: u64,
    newer: bool,
    worlds: BTreeMap<ClusterName, World>,
}

impl Clusters {
    fn world(&mut self, cluster: &ClusterName) -> &mut World {
        let (wipes, newer) = (self.wipes, self.newer);
        self.worlds.entry(cluster.clone()).or_insert_with(|| {
            let mut world = World::new(wipes);
            if newer {
                world.make_newer();
            }
            world
        })
    }
}

/// The stamps up to which this handle has been woken, so that a change between two waits is not slept through.
#[derive(Default)]
struct Heard {
    heartbeats: Option<u64>,
    leases: BTreeMap<LeaseName, u64>,
    jobs: Option<u64>,
    state: BTreeMap<StateKey, u64>,
}

impl Heard {
    fn upto(&self, watch: Watch<'_>) -> Option<u64> {
        match watch {
            Watch::Heartbeats => self.heartbeats,
            Watch::Lease(name) => self.leases.get(name).copied(),
            Watch::Jobs => self.jobs,
            Watch::State(prefix) => self.state.get(prefix).copied(),
        }
    }

    fn set(&mut self, watch: Watch<'_>, stamp: u64) {
        match watch {
            Watch::Heartbeats => self.heartbeats = Some(stamp),
            Watch::Lease(name) => drop(self.leases.insert(name.clone(), stamp)),
            Watch::Jobs => self.jobs = Some(stamp),
            Watch::State(prefix) => drop(self.state.insert(prefix.clone(), stamp)),
        }
    }
}

impl MemoryStore {
    /// An empty store on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemClock::new())
    }

    /// An empty store on this clock, for example a [`ManualClock`](crate::time::ManualClock) that a test moves.
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        let clusters = Clusters { wipes: 0, newer: false, worlds: BTreeMap::new() };
        let shared = Shared { clock: Arc::new(clock), clusters: Mutex::new(clusters), stir: watch::Sender::new(()) };
        let cluster = ClusterName::new("default").unwrap_or_else(|e| unreachable!("{e}"));
        Self::open(Arc::new(shared), cluster)
    }

    fn open(shared: Arc<Shared>, cluster: ClusterName) -> Self {
        let mut clusters = lock(&shared.clusters);
        let world = clusters.world(&cluster);
        let (known, opened) = (world.id(), world.latest_stamp());
        drop(clusters);
        Self { shared, cluster, known, opened, heard: Mutex::default() }
    }

    /// A handle on another cluster in the same store.
    pub fn cluster(&self, name: ClusterName) -> Self {
        Self::open(self.shared.clone(), name)
    }

    /// All four stores from this one, through a handle of their own.
    pub fn backend(&self) -> Backend {
        Backend::new(self.clone())
    }

    /// Loses everything in all clusters, as a mishap does. From then on this handle and every other that was opened before
    /// answers [`StoreChanged`](crate::ErrorKind::StoreChanged); [`reopen`](Self::reopen) gives one that goes on.
    pub fn wipe(&self) {
        let mut clusters = lock(&self.shared.clusters);
        clusters.wipes += 1;
        clusters.newer = false;
        clusters.worlds.values_mut().for_each(World::wipe);
        drop(clusters);
        self.shared.stir.send_replace(());
    }

    /// Marks every record as written by a build of a newer format: every handle answers [`TooNew`](crate::ErrorKind::TooNew) until a
    /// [`wipe`](Self::wipe).
    pub fn make_newer(&self) {
        let mut clusters = lock(&self.shared.clusters);
        clusters.newer = true;
        clusters.worlds.values_mut().for_each(World::make_newer);
    }

    /// What an operator does after a loss: opens the store as it is now, with a floor above every token known to have been in
    /// use: leases' terms and jobs' epochs go on above it.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the floor is above [`MAX_FLOOR`](crate::lease::MAX_FLOOR).
    pub fn reopen(&self, floor: Term) -> Result<Self> {
        let store = Self::open(self.shared.clone(), self.cluster.clone());
        store.with("reopen", |world, _| world.go_on_above(floor))??;
        Ok(store)
    }

    /// Runs one call on the cluster's world, if this handle still knows the store, and wakes who waits for what it changed.
    pub(super) fn with<T>(&self, operation: &'static str, call: impl FnOnce(&mut World, Time) -> T) -> Result<T> {
        let mut clusters = lock(&self.shared.clusters);
        let world = clusters.world(&self.cluster);
        world.admit(self.known, operation)?;
        let before = world.latest_stamp();
        // Read under the lock: the store's time must not go backwards from call to call.
        let answer = call(world, self.shared.clock.now());
        let stirred = world.latest_stamp() != before;
        drop(clusters);
        if stirred {
            self.shared.stir.send_replace(());
        }
        Ok(answer)
    }

    /// Waits until what is watched has changed since this handle was opened or last woken for it.
    pub(super) async fn changed(&self, operation: &'static str, watch: Watch<'_>) -> Result<()> {
        let since = lock(&self.heard).upto(watch).unwrap_or(self.opened);
        let mut stir = self.shared.stir.subscribe();
        loop {
            let stamp = self.with(operation, |world, _| world.stamp(watch))?;
            if stamp > since {
                lock(&self.heard).set(watch, stamp);
                return Ok(());
            }
            // `self` owns the sender, so the channel cannot close while this is awaited.
            let _open = stir.changed().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing behind these locks is left half-written by a panic: a call decides first and then writes.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        // Knows what its original knows, a lost store included.
        Self {
            shared: self.shared.clone(),
            cluster: self.cluster.clone(),
            known: self.known,
            opened: self.opened,
            heard: Mutex::default(),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::ids::{Epoch, Incarnation, JobId, Member, NodeId};
    use crate::job::{Assigned, JobAssigner, JobSpec, Move, Step};
    use crate::lease::{Acquired, LeaseManager};
    use crate::time::ManualClock;
    use std::time::Duration;

    #[tokio::test]
    async fn after_a_wipe_old_handles_fail_closed_and_a_reopened_one_grants_above_the_floor() {
        let old = MemoryStore::with_clock(ManualClock::new());
        let member = Member::new(NodeId::new("n1").unwrap(), Incarnation::from_u128(1));
        let ttl = Duration::from_secs(5);
        old.wipe();
        let refused = old.acquire(&LeaseName::active(), &member, ttl).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StoreChanged);
        assert_eq!(old.clone().current(&LeaseName::active()).await.unwrap_err().kind(), ErrorKind::StoreChanged);
        let new = old.reopen(Term(41)).unwrap();
        let Acquired::Granted(lease) = new.acquire(&LeaseName::active(), &member, ttl).await.unwrap() else {
            panic!("nobody holds it")
        };
        assert_eq!(lease.term, Term(42));
        let job = JobSpec::new(JobId::new("j").unwrap(), "").unwrap();
        new.submit(&job).await.unwrap();
        let step = Step::Place { to: member };
        let place = Move::new(job.id().clone(), Epoch(41), step);
        assert!(matches!(new.assign(&lease, &[place]).await.unwrap(), Assigned::Applied(_)));
    }

    #[tokio::test]
    async fn a_change_between_two_waits_is_not_slept_through() {
        let store = MemoryStore::with_clock(ManualClock::new());
        let member = Member::new(NodeId::new("n1").unwrap(), Incarnation::from_u128(1));
        let name = LeaseName::active();
        store.acquire(&name, &member, Duration::from_secs(5)).await.unwrap();
        LeaseManager::changed(&store, &name).await.unwrap();
        let once_told = tokio::time::timeout(Duration::from_millis(20), LeaseManager::changed(&store, &name)).await;
        assert!(once_told.is_err(), "nothing has changed since");
    }
}
