//! What the planner keeps of a job, counted by the allocator.

use std::alloc::System;

use failover_core::job::Phase;
use failover_core::plan::{Board, Place};
use failover_core::rules;
use failover_core::time::Time;
use failover_core::{Capacity, Epoch, Incarnation, JobId, JobSpec, Member, NodeId, Revision};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NODES: usize = 1_000;
/// The promise.
const MOST: usize = 300;

fn held() -> usize {
    let stats = COUNTED.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn member(node: usize) -> Member {
    Member::new(NodeId::new(format!("n{node}")).unwrap(), Incarnation::from_u128(1))
}

/// Bytes for each job, its name included: all wait, or all run.
fn bytes_a_job(jobs: usize, running: bool) -> usize {
    let before = held();
    let mut board = Board::new();
    board.set_places((0..NODES).map(|node| Place::open(member(node), Capacity::of(2_000).unwrap())).collect());
    let owners: Vec<_> = (0..NODES).map(member).collect();
    for job in 0..jobs {
        let payload = "not kept ".repeat(10);
        let spec = JobSpec::new(JobId::new(format!("job-{job:09}")).unwrap(), payload).unwrap();
        let mut record = rules::queued(&spec, Epoch::ZERO, Revision(u64::try_from(job).unwrap() + 1));
        if running {
            (record.phase, record.owner) = (Phase::Running, Some(owners[job % NODES].clone()));
        }
        board.put(Time::ZERO, &record);
    }
    let kept = held() - before;
    assert_eq!(board.len(), jobs);
    kept / jobs
}

#[test]
fn a_job_takes_at_most_300_bytes_of_the_board_whatever_its_payload() {
    // A million, and just after the tables have doubled, when they are emptiest.
    for jobs in [1_000_000, 460_000, 530_000] {
        for running in [false, true] {
            let bytes = bytes_a_job(jobs, running);
            println!("{jobs} jobs, running: {running}: {bytes} bytes a job");
            assert!(bytes <= MOST, "{jobs} jobs, running: {running}: {bytes} bytes a job, at most {MOST} are promised");
        }
    }
}
