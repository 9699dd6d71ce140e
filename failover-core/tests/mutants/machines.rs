//! Machines that are taken for off.

use std::time::Duration;

use failover_core::Member;
use failover_core::machine::{HostInput, Input};
use failover_core::testkit::sim::Tamper;

use crate::caught;

/// A node that breaks leases without a confirmation: it takes every answer of its fencer for one.
struct Credulous;

impl Tamper for Credulous {
    fn input(&mut self, _member: &Member, _waited: Option<Duration>, input: &mut Input) {
        if let Input::Host(HostInput::SwitchedOff { outcome, .. }) = input {
            *outcome = Ok(String::new());
        }
    }
}

#[test]
fn a_lease_that_is_broken_before_its_holders_machine_is_off_is_caught() {
    assert_eq!(caught(|| Box::new(Credulous)).invariant, "early-break");
}
