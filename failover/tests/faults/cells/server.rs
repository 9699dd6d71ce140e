//! Servers that are killed, started again, and paused.

use failover::job::{Assigned, JobChange, Move, Step};
use failover::lease::Acquired;
use failover::{Incarnation, JobId, JobSpec, LeaseName, Member, NodeId, Revision};

use crate::stage::{KEEPING, LAPSING, PATIENCE, Stage, tokens};
use crate::stores::Served;

pub(crate) async fn a_server_restarted_within_the_lease_costs_nobody_a_right<S: Served>() {
    let mut stage = Stage::<S>::set(KEEPING).await;
    let before = stage.holds("a").await;
    stage.server(|server| {
        server.kill();
        server.start_again();
    });
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

pub(crate) async fn a_server_away_longer_than_the_lease_leaves_nobody_a_right_and_then_all_goes_on<S: Served>() {
    let mut stage = Stage::<S>::set(LAPSING).await;
    let before = stage.holds("a").await;
    let bound = stage.bound().await;
    stage.server(S::kill);
    stage.are_over(&before).await;
    stage.server(S::start_again);
    stage.anybody_holds_above(bound, tokens(&before)).await;
    stage.judge();
}

pub(crate) async fn a_server_paused_within_the_lease_costs_nobody_a_right<S: Served>() {
    let mut stage = Stage::<S>::set(KEEPING).await;
    let before = stage.holds("a").await;
    stage.server(S::pause);
    stage.a_few_calls().await;
    stage.server(S::resume);
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

pub(crate) async fn a_server_paused_longer_than_the_lease_leaves_nobody_a_right_and_then_all_goes_on<S: Served>() {
    let mut stage = Stage::<S>::set(LAPSING).await;
    let before = stage.holds("a").await;
    let bound = stage.bound().await;
    stage.server(S::pause);
    stage.are_over(&before).await;
    stage.server(S::resume);
    stage.anybody_holds_above(bound, tokens(&before)).await;
    stage.judge();
}

/// Eighty jobs are placed in one batch while the server is killed, again and again: each batch is there wholly or not at all,
/// and one that was acknowledged is there.
pub(crate) async fn a_server_killed_in_the_middle_of_a_batch_leaves_all_of_it_or_nothing<S: Served>() {
    const BATCH: usize = 80;
    let mut stage = Stage::<S>::empty(KEEPING).await;
    let backend = stage.open().await;
    let (name, me) = (LeaseName::active(), Member::new(node("x"), Incarnation::from_u128(1)));
    let granted = backend.leases.acquire(&name, &me, KEEPING.ttl * 100).await.expect("a grant");
    let Acquired::Granted(lease) = granted else { panic!("nobody else asks: {granted:?}") };
    for round in 0..4_u32 {
        let jobs: Vec<JobId> = (0..BATCH).map(|i| JobId::new(format!("r{round}-{i}")).expect("a name")).collect();
        for job in &jobs {
            backend.jobs.submit(&JobSpec::new(job.clone(), "x").expect("a job")).await.expect("a submission");
        }
        let moves: Vec<Move> = jobs
            .iter()
            .map(|job| Move::new(job.clone(), failover::Epoch::ZERO, Step::Place { to: me.clone() }))
            .collect();
        let placing = tokio::spawn({
            let (backend, lease) = (backend.clone(), lease.clone());
            async move { backend.jobs.assign(&lease, &moves).await }
        });
        // Sooner or later in each round: when exactly it dies is left to chance.
        tokio::time::sleep(std::time::Duration::from_millis(3) * round).await;
        stage.server(S::kill);
        let answer = tokio::time::timeout(PATIENCE, placing).await;
        stage.server(S::start_again);
        let fresh = stage.open().await;
        let all = fresh.jobs.changes(Revision::ZERO, 10_000).await.expect("a full read");
        let placed = all.changes.iter().filter(|change| match change {
            JobChange::Put(record) => jobs.contains(record.spec.id()) && record.owner.is_some(),
            JobChange::Removed { .. } => false,
        });
        let placed = placed.count();
        assert!(placed == 0 || placed == BATCH, "{placed} of {BATCH} moves of one batch were applied");
        if let Ok(Ok(Ok(Assigned::Applied(_)))) = &answer {
            assert_eq!(placed, BATCH, "what was acknowledged is there");
        }
        // Its connections are made anew, whatever it was doing when they broke.
        let again = async {
            while backend.jobs.changes(Revision::ZERO, 1).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("the old handle works again");
    }
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a valid name")
}
