//! Whoever waits for a job is released.

use std::time::Duration;

use failover_core::admin::{WaitFor, Waited};
use failover_core::job::{JobStatus, Move, Outcome, Step};
use failover_core::memory::MemoryStore;
use failover_core::testkit::faults::{Fault, Faults, Faulty, Op};
use failover_core::time::ManualClock;
use failover_core::{Admin, Epoch, ErrorKind, JobAssigner, Lease};
use tokio::task::JoinHandle;

use crate::support::{node, pass};
use crate::{LONG, active, assign, id, job, member, place, policy, report, with};

const MOMENT: Duration = Duration::from_millis(600);

struct Stage {
    store: MemoryStore,
    clock: ManualClock,
    faults: Faults,
    admin: Admin,
    fence: Lease,
}

async fn stage() -> Stage {
    let clock = ManualClock::new();
    let store = MemoryStore::with_clock(clock.clone());
    let (backend, faults) = Faulty::wrap_on(store.backend(), clock.clone());
    let admin = Admin::new(backend).with_clock(std::sync::Arc::new(clock.clone()));
    let fence = active(&store, "a").await;
    admin.submit(&job("j")).await.unwrap();
    Stage { store, clock, faults, admin, fence }
}

impl Stage {
    /// Waits in a task of its own, which has looked once when this returns.
    async fn waits(&self, until: WaitFor) -> JoinHandle<Waited> {
        let admin = self.admin.clone();
        let waiting = tokio::spawn(async move { admin.wait(&id("j"), until).await.unwrap() });
        self.goes_on(&waiting).await;
        waiting
    }

    /// That it still waits after looking again.
    async fn goes_on<T>(&self, waiting: &JoinHandle<T>) {
        pass(&self.clock, MOMENT).await;
        assert!(!waiting.is_finished());
    }

    /// What came of it, once it has looked again.
    async fn released<T>(&self, waiting: JoinHandle<T>) -> T {
        pass(&self.clock, MOMENT).await;
        assert!(waiting.is_finished());
        waiting.await.unwrap()
    }
}

fn ended(waited: Waited) -> (u64, Outcome, String) {
    let Waited::Ended(run) = waited else { panic!("{waited:?}") };
    let end = run.end.unwrap();
    (run.epoch.0, end.outcome, end.detail)
}

#[tokio::test]
async fn a_run_that_is_lost_with_its_node_releases_who_waits_with_its_last_progress() {
    let stage = stage().await;
    let Stage { store, fence, .. } = &stage;
    place(store, fence, "j", "b").await;
    report(store, "j", "b", 1, JobStatus::Progress("row 7".into())).await;
    let run = stage.waits(WaitFor::RunEnds).await;
    let job = stage.waits(WaitFor::Done).await;
    let seize = Step::Seize { from: member("b"), to: Some(member("a")) };
    assign(store, fence, Move::new(id("j"), Epoch(1), seize)).await;
    assert_eq!(ended(stage.released(run).await), (1, Outcome::Lost, "row 7".into()));
    stage.goes_on(&job).await;
    report(store, "j", "a", 2, JobStatus::Completed).await;
    assert_eq!(ended(stage.released(job).await).1, Outcome::Completed);
}

#[tokio::test]
async fn without_a_run_the_next_one_is_waited_for() {
    let stage = stage().await;
    let Stage { store, fence, .. } = &stage;
    place(store, fence, "j", "a").await;
    report(store, "j", "a", 1, JobStatus::Stopped).await;
    let waiting = stage.waits(WaitFor::RunEnds).await;
    place(store, fence, "j", "b").await;
    report(store, "j", "b", 2, JobStatus::Failed("no disk".into())).await;
    assert_eq!(ended(stage.released(waiting).await), (2, Outcome::Failed, "no disk".into()));
}

#[tokio::test]
async fn a_job_is_over_when_it_is_completed_or_no_retry_is_left() {
    let stage = stage().await;
    let Stage { store, fence, admin, .. } = &stage;
    admin.revise(&with("j", policy(|policy| policy.retries = Some(1)))).await.unwrap();
    place(store, fence, "j", "a").await;
    let waiting = stage.waits(WaitFor::Done).await;
    report(store, "j", "a", 1, JobStatus::Failed("first".into())).await;
    stage.goes_on(&waiting).await;

    let mut again = Move::new(id("j"), Epoch(1), Step::Place { to: member("b") });
    again.course.retries = 1;
    assign(store, fence, again).await;
    report(store, "j", "b", 2, JobStatus::Failed("second".into())).await;
    assert_eq!(ended(stage.released(waiting).await), (2, Outcome::Failed, "second".into()));
    // Nothing more will come of it, so nobody waits for its next run either.
    assert_eq!(ended(admin.wait(&id("j"), WaitFor::RunEnds).await.unwrap()).0, 2);
}

#[tokio::test]
async fn a_job_that_is_removed_releases_who_waits_also_if_another_of_its_name_comes_at_once() {
    let stage = stage().await;
    let Stage { store, admin, .. } = &stage;
    let waiting = stage.waits(WaitFor::Done).await;
    store.remove(&id("j")).await.unwrap();
    store.submit(&job("j")).await.unwrap();
    assert_eq!(stage.released(waiting).await, Waited::Removed);
    assert_eq!(admin.wait(&id("nothing"), WaitFor::Done).await.unwrap(), Waited::Absent);
}

#[tokio::test]
async fn a_store_that_is_away_makes_it_take_longer_and_hints_that_fail_make_nobody_spin() {
    let stage = stage().await;
    let Stage { store, fence, faults, clock, admin } = &stage;
    place(store, fence, "j", "a").await;
    let waiting = stage.waits(WaitFor::RunEnds).await;
    faults.every(Op::Changed, Fault::Refuse(ErrorKind::Unavailable));
    faults.every(Op::Changes, Fault::Refuse(ErrorKind::Unavailable));
    report(store, "j", "a", 1, JobStatus::Completed).await;
    let before = faults.calls(Op::Changes);
    pass(clock, 10 * MOMENT).await;
    let looks = faults.calls(Op::Changes) - before;
    assert!((6..=13).contains(&looks), "about two a second: {looks}");
    assert!(!waiting.is_finished());
    faults.heal();
    assert_eq!(ended(stage.released(waiting).await).1, Outcome::Completed);

    faults.every(Op::Changes, Fault::Refuse(ErrorKind::Denied));
    let error = admin.wait(&id("j"), WaitFor::Done).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "what does not pass is not waited for");
}

#[tokio::test]
async fn a_node_is_empty_when_the_last_job_has_left_it() {
    let stage = stage().await;
    let Stage { store, fence, faults, admin, .. } = &stage;
    place(store, fence, "j", "b").await;
    let drained = |within| {
        let admin = admin.clone();
        tokio::spawn(async move { admin.drained(&node("b"), within).await })
    };
    let left = stage.released(drained(MOMENT / 2)).await.unwrap();
    assert_eq!(left.iter().map(|record| record.spec.id().clone()).collect::<Vec<_>>(), [id("j")]);
    let waiting = drained(LONG);
    stage.goes_on(&waiting).await;
    report(store, "j", "b", 1, JobStatus::Stopped).await;
    assert_eq!(stage.released(waiting).await.unwrap(), []);
    // A store that does not answer says nothing about what is left.
    faults.every(Op::Changes, Fault::Refuse(ErrorKind::Unavailable));
    assert!(stage.released(drained(MOMENT / 2)).await.is_err());
}
