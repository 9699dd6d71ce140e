//! A home that stands still, because its store blocks it: the deadline of a right is kept by the host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::lease::{Acquired, LeaseView, Renewed};
use failover_core::machine::JobEnd;
use failover_core::memory::MemoryStore;
use failover_core::time::{Clock, Time};
use failover_core::{
    Admin, Backend, Durability, Election, JobId, JobRun, JobSpec, Lease, LeaseManager, LeaseName, Member, NodeId,
    Result, Role, Term, Timing,
};

use crate::stage::{BEAT, LONG, Story, TTL, at_home, host, node, now, role, soon, until};

/// Leases whose renewals block the thread they are asked on, for as long as they are told to.
struct Blocking {
    inner: Arc<dyn LeaseManager>,
    blocks: Arc<AtomicBool>,
}

#[async_trait]
impl LeaseManager for Blocking {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        self.inner.acquire(name, member, ttl).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        let end = now() + LONG;
        while self.blocks.load(Ordering::SeqCst) && now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        self.inner.renew(lease).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        self.inner.release(lease, successor).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        self.inner.current(name).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        self.inner.raise_floor(floor).await
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}

async fn blocking(store: &MemoryStore) -> (Backend, Arc<AtomicBool>) {
    let blocks = Arc::new(AtomicBool::new(false));
    let mut backend = store.backend();
    backend.leases = Arc::new(Blocking { inner: backend.leases.clone(), blocks: blocks.clone() });
    (Backend::on_own_thread(|| async { Ok(backend) }).await.unwrap(), blocks)
}

#[test]
fn work_is_told_to_stop_and_cut_off_in_time_and_the_role_comes_back() {
    host(async {
        let store = MemoryStore::new();
        let (backend, blocks) = blocking(&store).await;
        let (log, told) = (Story::default(), Story::default());
        let runs = told.clone();
        let a = node(&backend, "a").hooks(log.clone()).jobs(move |_: JobRun| {
            let told = runs.clone();
            async move {
                told.tell("begun");
                let _cut_off = Cut(told);
                std::future::pending::<JobEnd>().await
            }
        });
        let a = a.start().unwrap();
        role(&a, Role::Active).await;
        Admin::new(store.backend()).submit(&JobSpec::new(JobId::new("j").unwrap(), "").unwrap()).await.unwrap();
        soon("the job begins", async {
            while told.told("begun") == 0 {
                tokio::time::sleep(BEAT).await;
            }
        })
        .await;
        let right = a.active().unwrap();

        blocks.store(true, Ordering::SeqCst);
        soon("the work is told to stop", right.stopping().cancelled()).await;
        assert!(now() >= right.stop_at());
        soon("the job is cut off", async {
            while told.told("cut off") == 0 {
                tokio::time::sleep(BEAT / 10).await;
            }
        })
        .await;
        soon("it is over", async {
            while right.is_valid() {
                tokio::time::sleep(BEAT / 10).await;
            }
        })
        .await;
        assert_eq!((a.role(), log.told("demote")), (Role::Active, 0), "its home still stands");

        blocks.store(false, Ordering::SeqCst);
        soon("it is told so in the end", async {
            while log.told("demote") == 0 || log.told("promote") < 2 {
                tokio::time::sleep(BEAT).await;
            }
        })
        .await;
        role(&a, Role::Active).await;
        assert!(!right.is_valid() && a.active().unwrap().is_valid());
        a.shutdown().await;
    });
}

/// A clock that stands still for a while on every thread but the host's, and lags behind from then on: as if the driver were stopped just after it has looked at it.
#[derive(Debug)]
struct Lagging {
    host: ThreadId,
    /// Since when, and by how much at most.
    lag: OnceLock<(Time, Duration)>,
}

#[async_trait]
impl Clock for Lagging {
    fn now(&self) -> Time {
        let now = now();
        match self.lag.get() {
            Some((since, by)) if thread::current().id() != self.host => (now - *by).max(*since),
            _ => now,
        }
    }

    async fn sleep_until(&self, at: Time) {
        while self.now() < at {
            tokio::time::sleep(BEAT / 20).await;
        }
    }
}

#[test]
fn a_right_whose_work_was_told_to_stop_too_early_for_its_keeper_counts_as_lost() {
    host(async {
        let (backend, _, _) = at_home(&MemoryStore::new()).await;
        let clock = Arc::new(Lagging { host: thread::current().id(), lag: OnceLock::new() });
        let log = Story::default();
        let a = node(&backend, "a").hooks(log.clone()).clock(clock.clone()).start().unwrap();
        role(&a, Role::Active).await;
        let right = a.active().unwrap();
        soon("it is promoted", async {
            while log.told("promote") == 0 {
                tokio::time::sleep(BEAT).await;
            }
        })
        .await;
        // Longer than to its stop, shorter than the lease: the driver notices nothing.
        let by = right.stop_at().since(now()) + BEAT;
        assert!(by < TTL);
        clock.lag.set((now(), by)).unwrap();
        soon("the work is told to stop", right.stopping().cancelled()).await;
        soon("it gives the role up and has it again", async {
            while log.told("demote") == 0 || log.told("promote") < 2 {
                tokio::time::sleep(BEAT).await;
            }
        })
        .await;
        assert!(!right.is_valid());
    });
}

struct Cut(Story);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.tell("cut off");
    }
}

#[test]
fn a_leadership_is_over_in_time_and_another_can_be_won() {
    host(async {
        let (backend, blocks) = blocking(&MemoryStore::new()).await;
        let election = Election::builder(backend.leases.clone(), "x", NodeId::new("a").unwrap()).unwrap();
        let election = election.timing(Timing::new(BEAT, TTL).unwrap()).start().unwrap();
        let first = election.campaign().await.unwrap();
        blocks.store(true, Ordering::SeqCst);
        soon("it is told to stop", first.stopping().cancelled()).await;
        until("it is over", || !first.is_valid());
        blocks.store(false, Ordering::SeqCst);
        let second = soon("the next", election.campaign()).await.unwrap();
        assert!(second.token().number > first.token().number && second.is_valid() && !first.is_valid());
    });
}
