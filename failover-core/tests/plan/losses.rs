//! What becomes of jobs whose node is lost, and of jobs that fail.

use std::time::Duration;

use failover_core::job::{FailoverPolicy, JobStatus, Phase};
use failover_core::plan::{Gate, Rules, Shut, State, Verdict, Why};

use crate::world::{World, id, node, place, policy};

fn lost(jobs: &[(&str, u32)], places: &[(&str, u32)]) -> World {
    let mut world = World::new(places.iter().map(|(name, jobs)| place(name, *jobs)).collect());
    for (job, weight) in jobs {
        world.submit(job, *weight, policy(|_| ()));
    }
    world.settle();
    world
}

#[test]
fn a_lost_node_s_jobs_go_to_the_best_place_and_note_where_they_were() {
    let mut world = lost(&[("1", 1), ("2", 1), ("3", 1)], &[("a", 2), ("b", 2), ("c", 2)]);
    world.lose("a");
    assert_eq!(world.explain("1").state, State::Orphaned { on: node("a") });
    let moved = world.step();
    let to = |job: &str, to: &str| (job.to_owned(), Some(to.to_owned()), Why::FailedOver);
    assert_eq!(moved, [to("1", "b"), to("2", "c")], "one lost node moves its own jobs, no others");
    assert_eq!((world.course("1").home.clone(), world.course("1").retries), (Some(node("a")), 1));
    assert_eq!(world.course("3").home, None);
    world.lose("b");
    world.step();
    assert_eq!(world.course("1").home, Some(node("a")), "where it belongs does not change with each loss");
    assert_eq!((world.on("1"), world.course("1").retries), (Some("c"), 2));
}

#[test]
fn without_a_place_it_is_lost_and_queued_and_a_try_counts_when_it_is_placed() {
    let mut world = lost(&[("1", 1)], &[("a", 1), ("b", 1)]);
    world.place_mut("b", |b| b.gate = Gate::Shut(Shut::Maintenance));
    world.lose("a");
    assert_eq!(world.step(), [("1".to_owned(), None, Why::LostNowhere)]);
    assert_eq!((world.records[&id("1")].phase, world.course("1").retries), (Phase::Lost, 0));
    assert_eq!(world.explain("1").state, State::Queued);
    world.place_mut("b", |b| b.gate = Gate::Open);
    assert_eq!(world.step(), [("1".to_owned(), Some("b".to_owned()), Why::Recovered)]);
    assert_eq!((world.course("1").home.clone(), world.course("1").retries), (Some(node("a")), 1));
}

#[test]
fn a_job_that_was_removed_goes_with_its_node() {
    let mut world = lost(&[("1", 1)], &[("a", 1), ("b", 1)]);
    world.remove(&id("1"));
    assert_eq!(world.explain("1").state, State::Retiring { on: node("a") });
    world.lose("a");
    assert_eq!(world.step(), [("1".to_owned(), None, Why::Removed)]);
    assert!(world.records.is_empty() && world.board.is_empty());
}

/// An operator may move the one, and not the other.
fn waits_for_a(failover: FailoverPolicy) -> State {
    if failover == FailoverPolicy::Manual { State::Held { to: node("a") } } else { State::Bound { to: node("a") } }
}

#[test]
fn manual_and_never_wait_for_their_node_and_nothing_else() {
    for failover in [FailoverPolicy::Manual, FailoverPolicy::Never] {
        let mut world = World::new(vec![place("a", 1), place("b", 9)]);
        world.submit("1", 1, policy(|p| p.failover = failover));
        world.settle();
        world.lose("a");
        assert_eq!(world.step(), [("1".to_owned(), None, Why::LostBound)]);
        assert!(world.step().is_empty());
        let why = world.explain("1");
        assert_eq!(why.state, waits_for_a(failover));
        assert_eq!(why.verdicts[0].1, Verdict::Shut(Shut::Missing));
        assert_eq!(why.verdicts[1].1, Verdict::HeldElsewhere { node: node("a") });
        world.back("a", 2);
        assert_eq!(world.step(), [("1".to_owned(), Some("a".to_owned()), Why::Recovered)]);
        assert_eq!(world.course("1").home, None, "it is home");
        // Handed back unstarted, or failed: still its node only.
        world.report(&id("1"), JobStatus::Stopped);
        world.place_mut("a", |a| a.gate = Gate::Shut(Shut::Cordoned));
        assert!(world.step().is_empty());
        world.place_mut("a", |a| a.gate = Gate::Open);
        assert_eq!(world.step().len(), 1);
        assert_eq!(world.on("1"), Some("a"));
    }
}

#[test]
fn an_operator_moves_a_job_that_waits_for_its_node() {
    let mut world = World::new(vec![place("a", 1), place("b", 9)]);
    world.submit("1", 1, policy(|p| p.failover = FailoverPolicy::Manual));
    world.settle();
    world.lose("a");
    world.board.set_wanted([(id("1"), node("b"))].into());
    assert_eq!(world.step(), [("1".to_owned(), Some("b".to_owned()), Why::Asked)]);
    assert_eq!((world.course("1").home.clone(), world.course("1").retries), (None, 0));
}

#[test]
fn a_job_with_one_pin_waits_for_it_and_says_so() {
    let mut world = World::new(vec![place("a", 1), place("b", 9)]);
    world.submit("1", 1, policy(|p| p.pins = vec![node("a")]));
    world.settle();
    world.lose("a");
    assert_eq!(world.step(), [("1".to_owned(), None, Why::LostBound)]);
    assert_eq!(world.explain("1").state, State::Bound { to: node("a") });
    world.back("a", 2);
    assert_eq!(world.step(), [("1".to_owned(), Some("a".to_owned()), Why::Recovered)]);
}

#[test]
fn a_dead_incarnation_takes_no_room_from_the_next() {
    let mut world = lost(&[("1", 1), ("2", 1)], &[("a", 2)]);
    world.lose("a");
    world.back("a", 2);
    let moved = world.step();
    assert_eq!(moved.len(), 2);
    assert!(moved.iter().all(|(_, to, why)| to.as_deref() == Some("a") && *why == Why::FailedOver), "{moved:?}");
    assert_eq!(world.course("1").home, None);
}

#[test]
fn after_so_many_tries_a_job_waits_for_an_operator() {
    let mut world = World::new(vec![place("a", 1), place("b", 1), place("c", 1)]);
    world.submit("1", 1, policy(|p| p.retries = Some(1)));
    world.settle();
    world.lose("a");
    world.step();
    assert_eq!(world.on("1"), Some("b"));
    world.obey();
    world.lose("b");
    assert_eq!(world.step(), [("1".to_owned(), None, Why::GaveUp)]);
    assert!(world.step().is_empty());
    assert_eq!(world.explain("1").state, State::GaveUp { retries: 1 });
    world.board.set_wanted([(id("1"), node("c"))].into());
    assert_eq!(world.step(), [("1".to_owned(), Some("c".to_owned()), Why::Asked)]);
    assert_eq!(world.course("1").retries, 0);
}

#[test]
fn a_failed_job_waits_longer_each_time_then_is_tried_again_and_given_up() {
    let mut world = World::new(vec![place("a", 1)]);
    let second = Duration::from_secs(1);
    world.submit("1", 1, policy(|p| (p.retries, p.backoff) = (Some(3), Some(second))));
    for wait in [1, 2, 4] {
        world.settle();
        world.report(&id("1"), JobStatus::Failed("no".to_owned()));
        let due = world.now + second * wait;
        assert_eq!(world.explain("1").state, State::BackingOff { until: due });
        let plan = world.board.decide(world.now, 9);
        assert_eq!((plan.decisions.len(), plan.wake_at), (0, Some(due)));
        // Read again for another reason: the wait goes on.
        world.now = world.now + second / 2;
        world.revise(&id("1"), |p| p.priority += 1);
        assert_eq!(world.board.decide(world.now, 9).wake_at, Some(due));
        world.now = due;
        assert_eq!(world.step(), [("1".to_owned(), Some("a".to_owned()), Why::Restarted)]);
    }
    world.report(&id("1"), JobStatus::Failed("no".to_owned()));
    world.now = world.now + second * 1000;
    assert!(world.step().is_empty());
    assert_eq!(world.explain("1").state, State::GaveUp { retries: 3 });
}

#[test]
fn the_cluster_s_wait_holds_for_jobs_that_do_not_say_and_can_be_changed() {
    let mut world = World::new(vec![place("a", 1)]);
    world.job("1");
    world.settle();
    world.report(&id("1"), JobStatus::Failed(String::new()));
    assert_eq!(world.board.decide(world.now, 9).wake_at, Some(world.now + Rules::default().backoff));
    let rules = Rules::new(failover_core::job::Failback::Manual, Rules::default().damping, Duration::from_secs(1));
    world.board.set_rules(rules);
    assert_eq!(world.board.decide(world.now, 9).wake_at, Some(world.now + Duration::from_secs(1)));
    world.now = world.now + Duration::from_secs(1);
    assert_eq!(world.step().len(), 1);
}

#[test]
fn a_job_that_may_hang_is_tried_elsewhere_if_there_is_an_elsewhere() {
    let mut world = World::new(vec![place("a", 1), place("b", 1)]);
    world.submit("1", 1, policy(|p| p.progress = Some(Duration::from_secs(45))));
    world.settle();
    let fail = |world: &mut World| {
        world.report(&id("1"), JobStatus::Failed("it hung".to_owned()));
        world.now = world.now + Duration::from_hours(1);
        world.step()
    };
    assert_eq!(fail(&mut world), [("1".to_owned(), Some("b".to_owned()), Why::Restarted)]);
    world.place_mut("a", |a| a.gate = Gate::Shut(Shut::Cordoned));
    assert_eq!(fail(&mut world), [("1".to_owned(), Some("b".to_owned()), Why::Restarted)]);
}
