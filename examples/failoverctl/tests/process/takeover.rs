//! Nodes killed with SIGKILL.

use crate::common::Place;

#[test]
fn kill_9_of_the_active_moves_its_role_and_its_jobs() {
    let place = Place::new();
    let [mut a, mut b, _c] = place.nodes(["a", "b", "c"]);
    place.add_journal_job("one");
    place.add_journal_job("two");
    a.job("job_started", "one");
    place.until_journal("both run on a", |j| j.runs_on("one", "a") && j.runs_on("two", "a"));
    let before = place.status();
    assert_eq!(before["active"]["node"], "a");

    a.kill();
    let fenced = b.event("node_fenced");
    assert_eq!(fenced["node"], "a");
    let left = place.strays_of("a");
    assert!(left.is_empty(), "the lease was taken while {left:?} lived");
    let journal = place.until_journal("both run on b", |j| j.runs_on("one", "b") && j.runs_on("two", "b"));
    journal.assert_never_two_owners();
    assert_eq!(journal.tokens("one"), [1, 2]);

    let after = place.until_status("c is the next in line", |s| s["active"]["node"] == "b" && s["standby"] == "c");
    assert!(after["active"]["term"].as_u64() > before["active"]["term"].as_u64());
}

#[test]
fn kill_9_of_a_standby_leaves_the_active_and_its_jobs_alone() {
    let place = Place::new();
    let [mut a, mut b, _c] = place.nodes(["a", "b", "c"]);
    place.add_journal_job("one");
    place.until_journal("it runs on a", |j| j.runs_on("one", "a"));

    b.kill();
    a.wait("c standby", |e| e["event"] == "standby_appointed" && e["node"] == "c");
    a.wait("b fenced", |e| e["event"] == "node_fenced" && e["node"] == "b");
    let changed = a.all().iter().any(|e| e["event"] == "role_changed" && e["node"] == "a" && e["role"] != "active");
    assert!(!changed, "the active one changed its role");
    assert_eq!(place.journal().tokens("one"), [1]);
    let status = place.until_status("c is standby", |s| s["standby"] == "c");
    assert_eq!(status["active"]["node"], "a");
}

#[test]
fn kill_9_of_a_node_with_jobs_moves_them_and_no_others() {
    let place = Place::new();
    let mut a = place.node_with("a", &["--capacity", "1"]);
    a.role("active");
    place.add_journal_job("one");
    a.job("job_started", "one");
    let mut b = place.node("b");
    b.event("node_joined");
    place.add_journal_job("two");
    place.until_journal("it runs on b", |j| j.runs_on("two", "b"));
    let mut c = place.node("c");
    c.event("node_joined");

    b.kill();
    let fenced = a.wait("b fenced", |e| e["event"] == "node_fenced" && e["node"] == "b");
    assert_eq!(fenced["by"], "a");
    c.job("job_started", "two");
    let journal = place.until_journal("it runs on c", |j| j.runs_on("two", "c"));
    journal.assert_never_two_owners();
    assert_eq!(journal.tokens("one"), [1]);
    // It is queued in between where the active node has not heard of c yet when b is gone.
    assert!(matches!(journal.tokens("two")[..], [1, 2 | 3]), "{:?}", journal.tokens("two"));
}

#[test]
fn a_node_that_was_killed_comes_back_as_a_new_one_of_its_name() {
    let place = Place::new();
    let [mut a, _b] = place.nodes(["a", "b"]);
    let before = place.status();
    a.kill();
    // It has to wait for its former self's lease to lapse, like everybody else.
    let mut again = place.node("a");
    again.event("node_joined");
    let after = place.until_status("both have a role", |s| !s["active"].is_null() && !s["standby"].is_null());
    assert_ne!(after["nodes"][0]["incarnation"], before["nodes"][0]["incarnation"]);
    assert!(after["active"]["term"].as_u64() > before["active"]["term"].as_u64(), "it has inherited nothing: {after}");
    assert!(again.all().iter().all(|e| e["event"] != "node_refused"));
}
