//! Where a job that waits is placed.

use std::sync::Arc;

use failover_core::job::{JobStatus, Phase};
use failover_core::plan::{Candidate, Demand, Gate, Shut, Spread, State, Strategy, Verdict, Why};
use failover_core::{Capacity, GroupName};

use crate::world::{World, id, kind, labelled, node, place, policy};

fn named(world: &World) -> Vec<(&str, &str)> {
    world.map().into_iter().collect()
}

#[test]
fn the_first_node_fills_up_before_the_next_and_the_rest_is_queued() {
    let mut world = World::new(vec![place("a", 2), place("b", 1)]);
    for job in ["1", "2", "3", "4"] {
        world.job(job);
    }
    let placed = world.step();
    assert_eq!(placed[0], ("1".to_owned(), Some("a".to_owned()), Why::Waited));
    assert_eq!(named(&world), [("1", "a"), ("2", "a"), ("3", "b")]);
    assert!(world.step().is_empty());
    assert_eq!(world.explain("4").state, State::Queued);
    assert_eq!(world.explain("1").verdicts[0], (node("a"), Verdict::Here));
}

#[test]
fn who_waits_is_placed_by_priority_then_by_submission_on_the_highest_place_that_frees() {
    let mut world = World::new(vec![place("a", 1), place("b", 1)]);
    world.job("z-first");
    world.job("second");
    world.settle();
    world.job("third");
    world.submit("a-urgent", 1, policy(|p| p.priority = 7));
    world.submit("also-urgent", 1, policy(|p| p.priority = 7));
    assert!(world.step().is_empty());
    world.report(&id("second"), JobStatus::Completed);
    assert_eq!(world.step(), [("a-urgent".to_owned(), Some("b".to_owned()), Why::Waited)]);
    world.report(&id("z-first"), JobStatus::Completed);
    assert_eq!(world.step(), [("also-urgent".to_owned(), Some("a".to_owned()), Why::Waited)]);
    assert_eq!(world.explain("second").state, State::Completed);
}

#[test]
fn a_job_that_does_not_fit_holds_up_nobody_and_is_placed_when_there_is_room() {
    let mut world = World::new(vec![place("a", 3)]);
    world.submit("small", 1, policy(|_| ()));
    world.submit("big", 3, policy(|p| p.priority = 1));
    world.step();
    assert_eq!(named(&world), [("big", "a")], "the one that matters more came first");
    world.submit("bigger", 4, policy(|p| p.priority = 9));
    world.report(&id("big"), JobStatus::Completed);
    world.submit("big2", 3, policy(|_| ()));
    world.step();
    assert_eq!(named(&world), [("small", "a")]);
    let verdicts = world.explain("big2").verdicts;
    let Verdict::Full { free, needs } = &verdicts[0].1 else { panic!("{verdicts:?}") };
    assert_eq!((free.jobs, free.weight, needs.weight), (2, 2, 3));
    let verdict = &world.explain("bigger").verdicts[0].1;
    assert_eq!(*verdict, Verdict::TooHeavy { capacity: Capacity::of(3).unwrap(), weight: 4 });
    world.report(&id("small"), JobStatus::Completed);
    world.step();
    assert_eq!(named(&world), [("big2", "a")]);
}

#[test]
fn jobs_count_besides_weight() {
    let mut world = World::new(vec![place("a", 1), place("b", 2)]);
    world.place_mut("a", |a| a.capacity = Capacity::of(1).unwrap().with_weight(100).unwrap());
    for job in ["1", "2"] {
        world.job(job);
    }
    world.step();
    assert_eq!(named(&world), [("1", "a"), ("2", "b")]);
}

#[test]
fn pins_are_the_only_nodes_and_in_their_order() {
    let mut world = World::new(vec![place("a", 9), place("b", 1), place("c", 1)]);
    for job in ["1", "2", "3"] {
        world.submit(job, 1, policy(|p| p.pins = vec![node("c"), node("unknown"), node("b")]));
    }
    world.step();
    assert_eq!(named(&world), [("1", "c"), ("2", "b")]);
    let why = world.explain("3");
    assert_eq!(why.state, State::Queued);
    assert_eq!(why.verdicts[0].1, Verdict::NotPinned);
    assert!(matches!(why.verdicts[1].1, Verdict::Full { .. }), "{why:?}");
}

#[test]
fn required_labels_bind_and_preferred_ones_only_order() {
    let eu = |name| labelled(place(name, 1), "zone", "eu");
    let fast = |p| labelled(p, "disk", "fast");
    let mut world = World::new(vec![place("a", 9), eu("b"), fast(eu("c")), fast(place("d", 1))]);
    let wants = policy(|p| {
        p.requires.insert("zone".to_owned(), "eu".to_owned());
        p.prefers.insert("disk".to_owned(), "fast".to_owned());
    });
    for job in ["1", "2", "3"] {
        world.submit(job, 1, wants.clone());
    }
    world.step();
    assert_eq!(named(&world), [("1", "c"), ("2", "b")]);
    let lacks = Verdict::LacksLabel { label: "zone".to_owned(), wanted: "eu".to_owned(), has: None };
    assert_eq!(world.explain("3").verdicts[0].1, lacks);
    assert_eq!(world.explain("3").verdicts[3].1, lacks);
}

#[test]
fn jobs_of_a_group_keep_apart_from_those_on_their_way_too() {
    let mut world = World::new(vec![place("a", 9), place("b", 9)]);
    for job in ["1", "2", "3"] {
        world.submit(job, 1, policy(|p| p.apart = Some(GroupName::new("db").unwrap())));
    }
    world.job("other");
    world.step();
    assert_eq!(named(&world), [("1", "a"), ("2", "b"), ("other", "a")]);
    assert_eq!(world.explain("3").verdicts[1].1, Verdict::Apart { from: id("2") });
    world.report(&id("1"), JobStatus::Completed);
    assert_eq!(world.step(), [("3".to_owned(), Some("a".to_owned()), Why::Waited)]);
}

#[test]
fn a_shut_node_is_given_nothing_and_says_why() {
    let mut world = World::new(vec![place("a", 9), place("b", 9)]);
    world.place_mut("a", |a| a.gate = Gate::Shut(Shut::Cordoned));
    world.job("1");
    world.step();
    assert_eq!(named(&world), [("1", "b")]);
    assert_eq!(world.explain("1").verdicts[0].1, Verdict::Shut(Shut::Cordoned));
    assert_eq!(Verdict::Shut(Shut::Cordoned).to_string(), "it is cordoned");
}

#[test]
fn capacity_that_is_lowered_below_what_runs_moves_nothing_and_takes_nothing() {
    let mut world = World::new(vec![place("a", 3)]);
    for job in ["1", "2", "3"] {
        world.job(job);
    }
    world.settle();
    world.place_mut("a", |a| a.capacity = Capacity::of(1).unwrap());
    world.job("4");
    assert!(world.step().is_empty());
    world.report(&id("1"), JobStatus::Completed);
    assert!(world.step().is_empty(), "two still run where one may");
    world.place_mut("a", |a| a.capacity = Capacity::of(3).unwrap());
    assert_eq!(world.step().len(), 1);
}

#[test]
fn spreading_chooses_the_least_loaded_by_weight_then_by_number() {
    let mut world = World::new(vec![place("a", 4), place("b", 8), place("c", 4)]);
    world.board.set_strategy(Arc::new(Spread));
    for job in ["1", "2", "3", "4"] {
        world.job(job);
    }
    world.step();
    assert_eq!(named(&world), [("1", "a"), ("2", "b"), ("3", "c"), ("4", "b")]);
    world.submit("big", 5, policy(|_| ()));
    world.step();
    assert_eq!(world.on("big"), Some("b"), "the only one with so much room");
}

#[derive(Debug)]
struct Backwards;

impl Strategy for Backwards {
    fn name(&self) -> &'static str {
        "backwards"
    }

    fn score(&self, _: &Demand<'_>, node: &Candidate<'_>) -> i64 {
        -i64::try_from(node.rank).unwrap()
    }
}

#[test]
fn a_strategy_of_ones_own_chooses_among_what_is_eligible_and_leaves_pins_alone() {
    let mut world = World::new(vec![place("a", 1), place("b", 1), place("c", 1)]);
    world.board.set_strategy(Arc::new(Backwards));
    world.submit("pinned", 1, policy(|p| p.pins = vec![node("b"), node("c")]));
    world.job("1");
    world.job("2");
    world.step();
    assert_eq!(named(&world), [("1", "c"), ("2", "a"), ("pinned", "b")]);
}

#[test]
fn a_better_place_that_opens_moves_nothing() {
    let mut world = World::new(vec![place("b", 9)]);
    world.job("1");
    world.settle();
    world.set_places(vec![place("a", 9), place("b", 9)]);
    assert!(world.step().is_empty());
    world.revise(&id("1"), |p| p.priority = 3);
    assert!(world.step().is_empty());
}

#[test]
fn no_more_is_decided_than_was_asked_for_and_the_rest_later() {
    let mut world = World::new(vec![place("a", 9)]);
    for job in ["1", "2", "3"] {
        world.job(job);
    }
    let plan = world.board.decide(world.now, 2);
    assert_eq!(plan.decisions.len(), 2);
    assert_eq!(world.board.decide(world.now, 2), plan, "nothing has come true yet");
    for decision in &plan.decisions {
        assert_eq!(kind(&decision.mv.step), "place");
        world.apply(&decision.mv);
    }
    assert_eq!(world.board.decide(world.now, 2).decisions.len(), 1);
    assert_eq!(world.board.outline(world.now), 1);
}

#[test]
fn a_move_that_did_not_come_true_leaves_its_room_to_others() {
    let mut world = World::new(vec![place("a", 1)]);
    world.job("1");
    world.job("2");
    assert_eq!(world.decide().len(), 1, "there is room for one");
    world.remove(&id("1"));
    assert_eq!(world.step(), [("2".to_owned(), Some("a".to_owned()), Why::Waited)]);
}

#[test]
fn every_owner_is_listed_with_the_moment_of_its_latest_news() {
    let mut world = World::new(vec![place("a", 1), place("b", 2)]);
    for job in ["1", "2", "3"] {
        world.job(job);
    }
    world.step();
    let early = world.now;
    world.now = early + std::time::Duration::from_secs(1);
    world.report(&id("3"), JobStatus::Running);
    let owners: Vec<_> = world.board.owners().map(|(member, at)| (member.node.as_str().to_owned(), at)).collect();
    assert_eq!(owners, [("a".to_owned(), early), ("b".to_owned(), world.now)]);
    world.report(&id("1"), JobStatus::Completed);
    assert_eq!(world.board.owners().count(), 1);
    let standing = world.board.get(&id("3")).unwrap();
    assert_eq!((standing.phase, standing.epoch.0), (Phase::Running, 1));
    world.board.clear();
    assert_eq!((world.board.len(), world.board.owners().count()), (0, 0));
    world.job("new");
    assert_eq!(world.step().len(), 1, "a board that was cleared counts anew");
}
