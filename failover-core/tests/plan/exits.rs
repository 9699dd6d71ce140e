//! Jobs that run and are to run elsewhere: nodes that are emptied, operators' moves, and returns.

use std::time::Duration;

use failover_core::job::{Failback, FailoverPolicy, JobStatus, Phase};
use failover_core::plan::{Exit, Gate, Rules, Shut, State, Verdict, Why};

use crate::world::{World, id, node, place, policy};

const MINUTE: Duration = Duration::from_mins(1);

fn to(job: &str, to: &str, why: Why) -> (String, Option<String>, Why) {
    (job.to_owned(), Some(to.to_owned()), why)
}

/// Two jobs on a, room for one on b.
fn emptied(exit: Exit) -> World {
    let mut world = World::new(vec![place("a", 2), place("b", 1)]);
    world.job("1");
    world.job("2");
    world.settle();
    world.place_mut("a", |a| (a.gate, a.exit) = (Gate::Shut(Shut::Draining), exit));
    world
}

#[test]
fn an_emptied_node_stops_a_job_only_when_room_is_reserved_for_it() {
    let mut world = emptied(Exit::WhenReady);
    assert_eq!(world.step(), [to("1", "b", Why::Drained)]);
    assert_eq!((world.course("1").home.clone(), world.course("1").target.clone()), (Some(node("a")), Some(node("b"))));
    assert_eq!(world.explain("1").state, State::Moving { from: node("a"), to: Some(node("b")) });
    world.submit("urgent", 1, policy(|p| p.priority = 9));
    assert!(world.step().is_empty(), "the room on b is reserved");
    world.report(&id("1"), JobStatus::Stopped);
    assert_eq!(world.step(), [to("1", "b", Why::Arrives)]);
    assert_eq!((world.on("2"), world.records[&id("2")].phase), (Some("a"), Phase::Running));
    assert_eq!(world.course("1").target, None);
}

#[test]
fn an_emptied_node_stops_everything_when_it_is_to_be_at_once() {
    let mut world = emptied(Exit::AtOnce);
    assert_eq!(world.step(), [to("1", "b", Why::Drained), ("2".to_owned(), None, Why::DrainedNowhere)]);
    world.obey();
    world.settle();
    assert_eq!(world.on("1"), Some("b"));
    assert_eq!((world.on("2"), world.course("2").home.clone()), (None, Some(node("a"))));
    assert_eq!(world.explain("2").state, State::Queued);
}

#[test]
fn a_job_that_follows_a_switchover_does_not_return() {
    let mut world = emptied(Exit::Follow);
    assert_eq!(world.step(), [to("1", "b", Why::Followed)]);
    assert_eq!(world.course("1").home, None);
}

#[test]
fn jobs_bound_to_a_node_leave_it_only_when_it_is_emptied_at_once_and_then_go_nowhere_else() {
    for failover in [FailoverPolicy::Manual, FailoverPolicy::Never] {
        let mut world = World::new(vec![place("a", 2), place("b", 9)]);
        world.submit("1", 1, policy(|p| p.failover = failover));
        world.settle();
        world.place_mut("a", |a| a.exit = Exit::WhenReady);
        assert!(world.step().is_empty());
        world.place_mut("a", |a| a.exit = Exit::AtOnce);
        assert_eq!(world.step(), [("1".to_owned(), None, Why::DrainedNowhere)]);
        world.obey();
        world.settle();
        assert!(matches!(world.explain("1").state, State::Bound { to } | State::Held { to } if to == node("a")));
        world.place_mut("a", |a| a.exit = Exit::Stay);
        assert_eq!(world.step(), [to("1", "a", Why::Waited)]);
    }
}

#[test]
fn a_target_that_shuts_is_replaced_by_another_place() {
    let mut world = emptied(Exit::WhenReady);
    world.step();
    world.place_mut("b", |b| b.gate = Gate::Shut(Shut::Leaving));
    world.report(&id("1"), JobStatus::Stopped);
    assert!(world.step().is_empty());
    world.place_mut("a", |a| (a.gate, a.exit) = (Gate::Open, Exit::Stay));
    assert_eq!(world.step(), [to("1", "a", Why::Waited)]);
    assert_eq!(world.course("1").home, None, "it is home again");
}

#[test]
fn the_owner_dies_while_its_job_is_on_its_way() {
    let mut world = emptied(Exit::WhenReady);
    world.step();
    world.lose("a");
    assert_eq!(world.step(), [to("1", "b", Why::FailedOver), ("2".to_owned(), None, Why::LostNowhere)]);
    assert_eq!(world.course("1").target, None);
}

#[test]
fn an_operator_s_move_goes_through_the_owner_and_forgets_home() {
    let mut world = World::new(vec![place("a", 2), place("b", 1)]);
    world.job("1");
    world.job("2");
    world.settle();
    world.board.set_wanted([(id("2"), node("b"))].into());
    assert_eq!(world.step(), [to("2", "b", Why::Asked)]);
    assert!(world.step().is_empty(), "it is on its way");
    assert_eq!(world.board.blocked(&id("2"), &node("b")), None);
    world.obey();
    assert_eq!(world.step(), [to("2", "b", Why::Asked)]);
    assert!(world.step().is_empty());
    assert_eq!(world.course("2").home, None);
    world.board.set_wanted([(id("1"), node("b"))].into());
    assert!(world.step().is_empty());
    assert!(matches!(world.board.blocked(&id("1"), &node("b")), Some(Verdict::Full { .. })));
    assert_eq!(world.board.blocked(&id("1"), &node("x")), Some(Verdict::Shut(Shut::Unknown)));
    world.report(&id("2"), JobStatus::Completed);
    assert_eq!(world.step(), [to("1", "b", Why::Asked)]);
}

#[test]
fn an_operator_cannot_move_a_pinned_job_past_its_pins() {
    let mut world = World::new(vec![place("a", 2), place("b", 1)]);
    world.submit("1", 1, policy(|p| p.pins = vec![node("a")]));
    world.settle();
    world.board.set_wanted([(id("1"), node("b"))].into());
    assert!(world.step().is_empty());
    assert_eq!(world.board.blocked(&id("1"), &node("b")), Some(Verdict::NotPinned));
}

/// Two jobs that were moved from a to b, and a is back.
fn moved(failback: Failback) -> World {
    let mut world = World::new(vec![place("a", 2), place("b", 2)]);
    world.board.set_rules(Rules::new(failback, Rules::default().damping, Duration::from_secs(5)));
    world.job("1");
    world.submit("2", 1, policy(|p| p.priority = 1));
    world.settle();
    world.lose("a");
    world.settle();
    assert_eq!((world.on("1"), world.on("2")), (Some("b"), Some("b")));
    world.back("a", 2);
    world
}

#[test]
fn jobs_return_by_themselves_once_their_node_is_stable_and_in_order() {
    let mut world = moved(Failback::Automatic { stable_for: MINUTE });
    let plan = world.board.decide(world.now, 9);
    assert_eq!((plan.decisions.len(), plan.wake_at), (0, Some(world.now + MINUTE)));
    world.now = world.now + MINUTE;
    assert_eq!(world.step(), [to("2", "a", Why::ReturnedByItself), to("1", "a", Why::ReturnedByItself)]);
    assert_eq!(world.course("1").home, Some(node("a")), "until it is there");
    world.obey();
    assert_eq!(world.step(), [to("2", "a", Why::Arrives), to("1", "a", Why::Arrives)]);
    assert_eq!((world.course("1").home.clone(), world.course("1").retries), (None, 0));
    world.obey();
    assert!(world.step().is_empty());
}

#[test]
fn jobs_return_later_to_a_node_that_flaps_and_not_while_it_is_unstable() {
    let mut world = moved(Failback::Automatic { stable_for: MINUTE });
    world.place_mut("a", |a| a.falls = 4);
    assert_eq!(world.board.decide(world.now, 9).wake_at, Some(world.now + MINUTE * 4));
    world.place_mut("a", |a| a.stable_since = None);
    world.now = world.now + MINUTE * 100;
    let plan = world.board.decide(world.now, 9);
    assert_eq!((plan.decisions.len(), plan.wake_at), (0, None));
}

#[test]
fn jobs_return_when_an_operator_asks_as_far_as_there_is_room() {
    let mut world = moved(Failback::Manual);
    world.now = world.now + MINUTE * 100;
    assert!(world.step().is_empty());
    world.place_mut("a", |a| a.capacity = failover_core::Capacity::of(1).unwrap());
    world.board.set_returning([node("a")].into());
    assert_eq!(world.step(), [to("2", "a", Why::ReturnAsked)]);
    world.settle();
    assert_eq!((world.on("1"), world.on("2")), (Some("b"), Some("a")));
}

#[test]
fn a_job_whose_failback_is_never_stays_whatever_is_asked_of_all() {
    let mut world = moved(Failback::Automatic { stable_for: MINUTE });
    world.revise(&id("1"), |p| p.failback = Some(Failback::Never));
    world.now = world.now + MINUTE;
    world.board.set_returning([node("a")].into());
    assert_eq!(world.step(), [to("2", "a", Why::ReturnAsked)]);
    world.settle();
    assert_eq!(world.on("1"), Some("b"));
}

#[test]
fn the_cluster_s_failback_can_be_changed_while_jobs_are_away() {
    let mut world = moved(Failback::Never);
    world.now = world.now + MINUTE;
    assert!(world.step().is_empty());
    world.board.set_rules(Rules::new(
        Failback::Automatic { stable_for: MINUTE },
        Rules::default().damping,
        Duration::from_secs(5),
    ));
    assert_eq!(world.step().len(), 2);
}

#[test]
fn a_rehearsal_tells_the_whole_way_and_ends() {
    let mut world = moved(Failback::Automatic { stable_for: Duration::from_millis(1) });
    world.now = world.now + MINUTE;
    world.job("3");
    let mut board = world.board.clone();
    let told = board.rehearse(world.now);
    let steps: Vec<_> =
        told.iter().map(|d| (d.mv.job.as_str(), d.to.as_ref().map(failover_core::NodeId::as_str), d.why)).collect();
    let (back, arrives) = (Why::ReturnedByItself, Why::Arrives);
    assert_eq!(
        steps,
        [("3", Some("a"), Why::Waited), ("2", Some("a"), back), ("2", Some("a"), arrives)],
        "there is room for one more on a, and the more important one has it"
    );
    assert!(board.decide(world.now, 9).decisions.is_empty());
    assert_eq!(world.on("2"), Some("b"), "nothing was done");
    world.settle();
    assert_eq!(world.map()["2"], "a");
}
