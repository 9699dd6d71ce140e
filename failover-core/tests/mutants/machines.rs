//! Machines that are taken for off.

use std::time::Duration;

use failover_core::machine::{Effect, EventKind, HostInput, Input};
use failover_core::testkit::sim::{self, Options, Tamper};
use failover_core::{Incarnation, Member};

/// A node that breaks leases without a confirmation: it takes every answer of its fencer for one.
struct Credulous;

impl Tamper for Credulous {
    fn input(&mut self, _member: &Member, _waited: Option<Duration>, input: &mut Input) {
        if let Input::Host(HostInput::SwitchedOff { outcome, .. }) = input {
            *outcome = Ok(String::new());
        }
    }
}

/// A node that has another machine switched off than the one it has found out about.
struct Aims(fn(me: &Member, target: &Member) -> Member);

impl Tamper for Aims {
    fn effect(&mut self, member: &Member, effect: &mut Effect) {
        if let Effect::SwitchOff { target, .. } = effect {
            *target = (self.0)(member, target);
        }
    }
}

/// A node that goes on with an order, or gives it once more, when it should not: in the place of an effect that is as given, which it omits.
struct Insists {
    given: Option<(Member, Effect)>,
    instead_of: fn(&Effect) -> bool,
}

impl Tamper for Insists {
    fn effect(&mut self, member: &Member, effect: &mut Effect) {
        if matches!(effect, Effect::SwitchOff { .. }) {
            self.given = Some((member.clone(), effect.clone()));
        } else if (self.instead_of)(effect)
            && let Some((_, order)) = self.given.take_if(|(by, _)| by == member)
        {
            *effect = order;
        }
    }
}

/// Runs schedules until the invariant breaks with these words. Other words of it may come first: where two hold, it says one.
fn caught_saying(words: &str, tamper: fn() -> Box<dyn Tamper>) {
    let said = (0..10_000).filter_map(|seed| sim::run(seed, Options::tampered(tamper)).err()).find(|violation| {
        assert_eq!(violation.invariant, "early-break", "{violation}");
        violation.what.contains(words)
    });
    assert!(said.is_some(), "10 000 schedules do not find the bug");
}

fn insists(instead_of: fn(&Effect) -> bool) -> Box<Insists> {
    Box::new(Insists { given: None, instead_of })
}

fn tells(effect: &Effect, kind: EventKind) -> bool {
    matches!(effect, Effect::Tell(event) if event.kind == kind)
}

#[test]
fn a_lease_that_is_broken_before_its_holders_machine_is_off_is_caught() {
    caught_saying(" back while ", || Box::new(Credulous));
}

#[test]
fn a_node_that_has_its_own_machine_switched_off_is_caught() {
    caught_saying("has its own machine switched off", || Box::new(Aims(|me, _| me.clone())));
}

#[test]
fn a_node_that_has_a_machine_switched_off_that_it_knows_nothing_of_is_caught() {
    caught_saying("has not just read that", || {
        Box::new(Aims(|_, target| Member::new(target.node.clone(), Incarnation::from_u128(7))))
    });
}

#[test]
fn an_order_that_is_given_twice_is_caught() {
    caught_saying("has two orders open", || insists(|effect| matches!(effect, Effect::CallOff { .. })));
}

#[test]
fn an_order_in_a_paused_cluster_is_caught() {
    caught_saying("in a paused cluster", || insists(|effect| tells(effect, EventKind::ClusterPaused)));
}

#[test]
fn an_order_of_a_node_that_is_cut_off_is_caught() {
    caught_saying("although it is cut off", || insists(|effect| tells(effect, EventKind::StoreSilent)));
}
