//! Machines that stand still, and a fencer that is a command: here the machine is a process, and its power switch SIGKILL.

use std::fs;

use crate::common::{Place, Process};

/// Leases far longer than a test has patience, and a silence well within it.
const PACE: [&str; 6] = ["--ttl", "120s", "--beat", "400ms", "--missing", "2s"];

/// An active node that stands still, and its standby, which has this fencer.
fn stands_still(place: &Place, fencer: impl FnOnce(&Process) -> String) -> [Process; 2] {
    // Its guard would be as dead as the rest of a machine that is off.
    let mut a = place.node_with("a", &[&PACE[..], &["--no-guard"]].concat());
    a.role("active");
    let fencer = fencer(&a);
    let mut b = place.node_with("b", &[&PACE[..], &["--fencer", &fencer]].concat());
    b.role("standby");
    place.stop(&a);
    [a, b]
}

#[test]
fn a_frozen_machine_is_switched_off_and_its_role_taken_long_before_its_lease_lapses() {
    let place = Place::new();
    let orders = place.path("orders");
    let [mut a, mut b] = stands_still(&place, |a| {
        format!("echo $FAILOVER_LOST_NODE $FAILOVER_LOST_INCARNATION >> {}; kill -KILL {}", orders.display(), a.pid())
    });
    assert_eq!(b.event("fencing_confirmed")["node"], "a");
    assert_eq!(b.role("active")["term"], 2);
    assert!(!a.end().success());
    let fenced = b.event("node_fenced");
    assert_eq!(fs::read_to_string(&orders).unwrap(), format!("a {}\n", fenced["detail"].as_str().unwrap()));
    assert!(fenced["reason"].as_str().unwrap().contains("switched off"), "{fenced}");
}

#[test]
fn where_the_fencer_refuses_nothing_is_taken_and_the_node_goes_on_when_it_can() {
    let place = Place::new();
    let [mut a, mut b] = stands_still(&place, |_| "echo no such outlet >&2; exit 3".into());
    let refused = b.event("fencing_refused");
    assert!(refused["detail"].as_str().unwrap().contains("no such outlet"), "{refused}");
    assert_eq!(place.status()["active"]["node"], "a");
    a.resume();
    place.until_status("it beats again", |s| s["nodes"][0]["age_ms"].as_u64() < Some(300));
    assert!(a.lives() && !a.all().iter().any(|event| event["event"] == "lease_lost"));
    assert!(!b.all().iter().any(|event| event["role"] == "active"));
}
