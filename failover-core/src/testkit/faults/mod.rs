//! [`Faulty`]: any backend, with faults put between it and its caller.
//!
//! ```
//! # use failover_core::{Incarnation, LeaseName, Member, NodeId, memory::MemoryStore};
//! # use std::time::Duration;
//! use failover_core::testkit::faults::{Fault, Faulty, Op};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (backend, faults) = Faulty::wrap(MemoryStore::new().backend());
//! faults.next(Op::Acquire, Fault::LoseReply);
//!
//! let member = Member::new(NodeId::new("n1")?, Incarnation::fresh());
//! let asked = backend.leases.acquire(&LeaseName::active(), &member, Duration::from_secs(5)).await;
//! assert!(asked.unwrap_err().is_outcome_unknown(), "it was granted, and the grant was lost on its way");
//! # Ok(()) }
//! ```

mod wrapper;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::ErrorKind;

pub use wrapper::Faulty;

/// One operation of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as the methods they stand for")]
pub enum Op {
    Beat,
    Sightings,
    Forget,
    Acquire,
    Renew,
    Release,
    Current,
    RaiseFloor,
    Submit,
    Revise,
    Remove,
    Changes,
    Assign,
    Report,
    Get,
    List,
    Put,
    Delete,
    /// `changed` of all four traits.
    Changed,
}

/// What befalls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It reaches the store this much later.
    Delay(Duration),
    /// It is applied at once; its answer comes this much later.
    DelayReply(Duration),
    /// It fails in this way and is not applied.
    Refuse(ErrorKind),
    /// It never reaches the store, and its caller is told that the outcome is unknown.
    LoseRequest,
    /// It is applied, and its caller is told that the outcome is unknown.
    LoseReply,
    /// It never reaches the store and never returns.
    Hang,
    /// It is applied and never returns.
    HangReply,
}

/// The handle on a [`Faulty`] backend's faults. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    next: BTreeMap<Op, VecDeque<Fault>>,
    every: BTreeMap<Op, Fault>,
    outage: Option<Fault>,
    seeded: Option<Seeded>,
    calls: BTreeMap<Op, u64>,
}

#[derive(Debug)]
struct Seeded {
    state: u64,
    one_in: u64,
    faults: Vec<Fault>,
}

impl Seeded {
    fn draw(&mut self) -> Option<Fault> {
        let hit = self.number().is_multiple_of(self.one_in);
        let which = self.number() % self.faults.len() as u64;
        let fault = self.faults.get(usize::try_from(which).ok()?)?;
        hit.then_some(*fault)
    }

    /// `SplitMix64` (Steele, Lea, Flood, 2014): small, and the same everywhere.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Faults {
    /// The next call of `op` meets this fault; said several times, the calls after it too, in that order. Comes before
    /// every other rule.
    pub fn next(&self, op: Op, fault: Fault) {
        self.plan().next.entry(op).or_default().push_back(fault);
    }

    /// Every call of `op` meets this fault until [`heal`](Self::heal).
    pub fn every(&self, op: Op, fault: Fault) {
        self.plan().every.insert(op, fault);
    }

    /// Every call of any operation meets this fault until [`heal`](Self::heal).
    pub fn all(&self, fault: Fault) {
        self.plan().outage = Some(fault);
    }

    /// Until [`heal`](Self::heal), one in `one_in` calls meets one of these faults, by chance; the same seed and the same
    /// order of calls give the same faults. An empty list or zero is no fault at all.
    pub fn seeded(&self, seed: u64, one_in: u64, faults: &[Fault]) {
        let usable = one_in > 0 && !faults.is_empty();
        self.plan().seeded = usable.then(|| Seeded { state: seed, one_in, faults: faults.to_vec() });
    }

    /// No more faults from here on. A call that hangs goes on hanging.
    pub fn heal(&self) {
        let mut plan = self.plan();
        *plan = Plan { calls: std::mem::take(&mut plan.calls), ..Plan::default() };
    }

    /// How many calls of `op` there have been, those that met a fault included.
    pub fn calls(&self, op: Op) -> u64 {
        self.plan().calls.get(&op).copied().unwrap_or(0)
    }

    fn draw(&self, op: Op) -> Option<Fault> {
        let mut plan = self.plan();
        *plan.calls.entry(op).or_default() += 1;
        if let Some(fault) = plan.next.get_mut(&op).and_then(VecDeque::pop_front) {
            return Some(fault);
        }
        let planned = plan.every.get(&op).copied().or(plan.outage);
        planned.or_else(|| plan.seeded.as_mut().and_then(Seeded::draw))
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use crate::error::Result;
    use crate::ids::{Incarnation, LeaseName, Member, NodeId};
    use crate::lease::{Acquired, Tenant};
    use crate::memory::MemoryStore;
    use crate::time::ManualClock;

    const TTL: Duration = Duration::from_secs(5);

    fn wrapped() -> (Backend, Faults, ManualClock) {
        let clock = ManualClock::new();
        let (backend, faults) = Faulty::wrap_on(MemoryStore::with_clock(clock.clone()).backend(), clock.clone());
        (backend, faults, clock)
    }

    fn member() -> Member {
        Member::new(NodeId::new("n1").unwrap(), Incarnation::from_u128(1))
    }

    async fn acquire(backend: &Backend) -> Result<Acquired> {
        backend.leases.acquire(&LeaseName::active(), &member(), TTL).await
    }

    async fn is_held(backend: &Backend) -> bool {
        matches!(backend.leases.current(&LeaseName::active()).await.unwrap().tenant, Tenant::Held { .. })
    }

    /// Whether a call is still under way when everything that can run has run.
    async fn waits<T>(call: impl Future<Output = T>) -> bool {
        tokio::select! {
            biased;
            _ = call => false,
            () = async { for _ in 0..10 { tokio::task::yield_now().await } } => true,
        }
    }

    #[tokio::test]
    async fn a_refused_call_is_not_applied() {
        let (backend, faults, _) = wrapped();
        faults.next(Op::Acquire, Fault::Refuse(ErrorKind::Unavailable));
        assert_eq!(acquire(&backend).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(!is_held(&backend).await);
        assert!(acquire(&backend).await.is_ok(), "only the next call was to be refused");
    }

    #[tokio::test]
    async fn a_lost_request_is_not_applied_and_a_lost_reply_is() {
        for (fault, applied) in [(Fault::LoseRequest, false), (Fault::LoseReply, true)] {
            let (backend, faults, _) = wrapped();
            faults.next(Op::Acquire, fault);
            assert!(acquire(&backend).await.unwrap_err().is_outcome_unknown());
            assert_eq!(is_held(&backend).await, applied, "{fault:?}");
        }
    }

    #[tokio::test]
    async fn a_hung_call_never_returns_whether_it_was_applied_or_not() {
        for (fault, applied) in [(Fault::Hang, false), (Fault::HangReply, true)] {
            let (backend, faults, _) = wrapped();
            faults.every(Op::Acquire, fault);
            assert!(waits(acquire(&backend)).await, "{fault:?}");
            assert_eq!(is_held(&backend).await, applied, "{fault:?}");
        }
    }

    #[tokio::test]
    async fn a_delay_comes_before_the_store_or_after_it() {
        for (fault, applied) in [(Fault::Delay(TTL / 2), false), (Fault::DelayReply(TTL / 2), true)] {
            let (backend, faults, clock) = wrapped();
            faults.next(Op::Acquire, fault);
            let mut call = std::pin::pin!(acquire(&backend));
            assert!(waits(&mut call).await, "{fault:?}");
            assert_eq!(is_held(&backend).await, applied, "{fault:?}");
            clock.advance(TTL / 2);
            assert!(matches!(call.await, Ok(Acquired::Granted(_))), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn faults_come_in_order_and_end_with_heal() {
        let (backend, faults, _) = wrapped();
        faults.all(Fault::Refuse(ErrorKind::Unavailable));
        faults.every(Op::Acquire, Fault::Refuse(ErrorKind::Full));
        faults.next(Op::Acquire, Fault::Refuse(ErrorKind::Denied));
        faults.next(Op::Acquire, Fault::Refuse(ErrorKind::Corrupt));
        for kind in [ErrorKind::Denied, ErrorKind::Corrupt, ErrorKind::Full, ErrorKind::Full] {
            assert_eq!(acquire(&backend).await.unwrap_err().kind(), kind);
        }
        assert_eq!(backend.heartbeats.sightings().await.unwrap_err().kind(), ErrorKind::Unavailable);
        faults.heal();
        assert!(acquire(&backend).await.is_ok() && backend.heartbeats.sightings().await.is_ok());
        assert_eq!((faults.calls(Op::Acquire), faults.calls(Op::Sightings)), (5, 2), "every call is counted");
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_faults() {
        let run = async |seed| {
            let (backend, faults, _) = wrapped();
            faults.seeded(seed, 4, &[Fault::LoseReply, Fault::Refuse(ErrorKind::Unavailable)]);
            let mut outcomes = Vec::new();
            for _ in 0..200 {
                outcomes.push(acquire(&backend).await.err().map(|e| e.kind()));
            }
            outcomes
        };
        let first = run(7).await;
        assert_eq!(run(7).await, first, "the seed decides");
        assert_ne!(run(8).await, first, "and another one decides otherwise");
        let hit = |kind| first.iter().filter(|outcome| **outcome == kind).count();
        assert!((100..200).contains(&hit(None)), "about one in four fails: {first:?}");
        assert!(hit(Some(ErrorKind::Unknown)) > 5 && hit(Some(ErrorKind::Unavailable)) > 5, "in both ways: {first:?}");
    }
}
