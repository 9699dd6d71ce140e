//! Nodes that are asked to leave.

use std::time::Duration;

use rustix::process::Signal;

use crate::common::{LIMIT, Place, Process, eventually, now};

/// A lease so long that waiting for it to lapse would show.
const LONG: [&str; 4] = ["--ttl", "60s", "--beat", "500ms"];

fn slow_pair(place: &Place) -> [Process; 2] {
    let mut a = place.node_with("a", &LONG);
    a.role("active");
    let mut b = place.node_with("b", &LONG);
    b.role("standby");
    [a, b]
}

#[test]
fn sigterm_stops_the_jobs_releases_the_leases_and_the_standby_has_them_at_once() {
    let place = Place::new();
    let [mut a, mut b] = slow_pair(&place);
    place.add_journal_job("one");
    place.until_journal("it runs on a", |j| j.runs_on("one", "a"));

    let asked = now();
    a.signal(Signal::TERM);
    assert_eq!(a.end().code(), Some(0));
    b.role("active");
    let journal = place.until_journal("it runs on b", |j| j.runs_on("one", "b"));
    assert!(now().since(asked) < Duration::from_secs(30), "half the lease: it was waited for");
    journal.assert_never_two_owners();
    let last = journal.0.iter().rfind(|e| e.node == "a").unwrap();
    assert_eq!(last.what, "stop", "the job was asked, not killed");
    let told: Vec<_> = a.rest().iter().map(|e| e["event"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(told.contains(&"job_stopped".to_owned()) && told.last().is_some_and(|e| e == "node_left"), "{told:?}");
    let status = place.status();
    assert!(!status["nodes"].to_string().contains(r#""node":"a""#), "it left no trace of being alive: {status}");
}

#[test]
fn sigint_is_the_same() {
    let place = Place::new();
    let mut a = place.node("a");
    a.role("active");
    a.signal(Signal::INT);
    assert_eq!(a.end().code(), Some(0));
}

#[test]
fn a_second_signal_stops_hard_and_leaves_no_job_behind() {
    let place = Place::new();
    let mut a = place.node_with("a", &["--ttl", "60s", "--grace", "50s"]);
    a.role("active");
    place.json([
        "job",
        "add",
        "deaf",
        "--",
        "sh",
        "-c",
        "trap '' TERM; touch $0; while :; do sleep 1; done",
        place.path("up").to_str().unwrap(),
    ]);
    eventually("the job", || place.path("up").exists().then_some(()));
    a.signal(Signal::TERM);
    a.role("inactive");
    a.signal(Signal::TERM);
    assert_eq!(a.end().code(), Some(1));
    eventually("the end of the job", || place.strays().is_empty().then_some(()));
    assert!(a.errors().contains("second signal"), "{}", a.errors());
}

#[test]
fn a_job_that_ignores_sigterm_is_killed_after_the_grace_and_then_runs_elsewhere() {
    let place = Place::new();
    let grace = Duration::from_millis(1500);
    let mut a = place.node_with("a", &["--ttl", "60s", "--grace", "1500ms"]);
    a.role("active");
    place.json([
        "job",
        "add",
        "deaf",
        "--",
        "sh",
        "-c",
        "trap '' TERM; echo $FAILOVER_NODE >> $0; while :; do sleep 1; done",
        place.path("runs").to_str().unwrap(),
    ]);
    let runs = || std::fs::read_to_string(place.path("runs")).unwrap_or_default();
    eventually("the job", || (runs() == "a\n").then_some(()));
    let mut b = place.node_with("b", &["--ttl", "60s"]);
    b.role("standby");

    let asked = now();
    a.signal(Signal::TERM);
    assert_eq!(a.end().code(), Some(0));
    let took = now().since(asked);
    assert!(took >= grace && took < LIMIT, "{took:?}");
    assert!(place.strays_of("a").is_empty());
    eventually("the job on b", || (runs() == "a\nb\n").then_some(()));
}

#[test]
fn a_second_process_of_the_same_name_is_refused_and_the_first_is_undisturbed() {
    let place = Place::new();
    let mut a = place.node("a");
    a.role("active");
    place.add_journal_job("one");
    place.until_journal("it runs", |j| j.runs_on("one", "a"));
    let mut double = place.node("a");
    assert_eq!(double.end().code(), Some(3));
    let refused = double.rest().last().unwrap().clone();
    assert_eq!(refused["event"], "node_refused");
    let said = double.errors();
    assert!(said.contains("another process runs node `a` of cluster `test`") && said.contains("next: "), "{said}");
    assert!(a.lives());
    assert!(a.all().iter().all(|e| e["event"] != "lease_lost" && e["event"] != "job_stopped"));
    assert_eq!(place.journal().tokens("one"), [1]);
}
