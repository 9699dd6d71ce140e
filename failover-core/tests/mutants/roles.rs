//! Bugs about who is active and who is standby: hosts that cannot be promoted, fences above the terms, two standbys.

use std::collections::BTreeSet;
use std::time::Duration;

use failover_core::job::Assigned;
use failover_core::machine::{Call, Effect, HostInput, Input, Reply};
use failover_core::state::Written;
use failover_core::testkit::sim::Tamper;
use failover_core::{LeaseName, Member, Term};

use super::caught;

/// Nodes that take a host which cannot be promoted for one that was.
struct Deaf;

impl Tamper for Deaf {
    fn input(&mut self, _member: &Member, _waited: Option<Duration>, input: &mut Input) {
        if let Input::Host(host @ HostInput::PromotionRefused { .. }) = input {
            *host = HostInput::Promoted;
        }
    }
}

#[test]
fn a_node_that_ignores_its_hosts_refusal_is_caught() {
    assert_eq!(caught(|| Box::new(Deaf)).invariant, "refusal");
}

/// A wrapper that makes other calls than the node wants, once its host could not be promoted.
struct Contrary {
    refused: BTreeSet<Member>,
    instead: fn(&Call) -> Option<Call>,
}

impl Contrary {
    fn boxed(instead: fn(&Call) -> Option<Call>) -> Box<dyn Tamper> {
        Box::new(Self { refused: BTreeSet::new(), instead })
    }
}

impl Tamper for Contrary {
    fn effect(&mut self, member: &Member, effect: &mut Effect) {
        if let Effect::Call { call, .. } = effect
            && self.refused.contains(member)
            && let Some(other) = (self.instead)(call)
        {
            *call = other;
        }
    }

    fn input(&mut self, member: &Member, _waited: Option<Duration>, input: &mut Input) {
        if let Input::Host(HostInput::PromotionRefused { .. }) = input {
            self.refused.insert(member.clone());
        }
    }
}

#[test]
fn a_node_that_leaves_the_others_no_time_after_a_refusal_is_caught() {
    let violation = caught(|| {
        Contrary::boxed(|call| match call {
            Call::Sightings => Some(Call::Acquire { name: LeaseName::active(), ttl: Duration::from_secs(5) }),
            _ => None,
        })
    });
    assert_eq!(violation.invariant, "refusal");
}

#[test]
fn a_node_that_keeps_the_lease_after_a_refusal_is_caught() {
    let violation = caught(|| {
        Contrary::boxed(|call| match call {
            Call::Release { lease, .. } if lease.name == LeaseName::active() => {
                Some(Call::Current(LeaseName::active()))
            }
            _ => None,
        })
    });
    assert_eq!(violation.invariant, "refusal");
}

/// Nodes that pay no heed to how high the fence is that they run into.
struct Heedless;

impl Tamper for Heedless {
    fn input(&mut self, _member: &Member, _waited: Option<Duration>, input: &mut Input) {
        if let Input::Outcome {
            outcome: Ok(Reply::Assigned(Assigned::Fenced { current }) | Reply::Written(Written::Fenced { current })),
            ..
        } = input
        {
            *current = Term::ZERO;
        }
    }
}

#[test]
fn nodes_that_are_elected_again_and_again_in_vain_are_caught() {
    assert_eq!(caught(|| Box::new(Heedless)).invariant, "bounded-load");
}

/// Nodes that take whatever standby is appointed for themselves.
struct Vain;

impl Tamper for Vain {
    fn input(&mut self, member: &Member, _waited: Option<Duration>, input: &mut Input) {
        let Input::Outcome { outcome: Ok(Reply::Sightings(sightings)), .. } = input else { return };
        for lead in sightings.iter_mut().filter_map(|sighting| sighting.heartbeat.news.lead.as_mut()) {
            lead.standby = lead.standby.take().map(|_| member.clone());
        }
    }
}

#[test]
fn a_second_standby_is_caught() {
    assert_eq!(caught(|| Box::new(Vain)).invariant, "one-standby");
}
