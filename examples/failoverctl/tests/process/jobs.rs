//! What a node does with its jobs.

use std::fs;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::common::{Place, Process, eventually};

fn active(place: &Place) -> Process {
    let mut a = place.node("a");
    a.role("active");
    a
}

fn phase(place: &Place, job: &str) -> Value {
    let jobs = place.json(["job", "list"]);
    jobs.into_iter().find(|j| j["job"] == job).map_or(Value::Null, |j| j["phase"].clone())
}

#[test]
fn a_job_is_told_who_it_is_and_its_output_is_not_mixed_with_events() {
    let place = Place::new();
    let mut a = active(&place);
    let script = r#"echo "$FAILOVER_CLUSTER/$FAILOVER_NODE/$FAILOVER_JOB/$FAILOVER_TOKEN"; echo oops >&2"#;
    place.json(["job", "add", "one", "--", "sh", "-c", script]);
    let completed = a.job("job_completed", "one");
    assert_eq!((&completed["node"], &completed["epoch"]), (&"a".into(), &1.into()));
    eventually("its output", || (a.errors().contains("test/a/one/1\n") && a.errors().contains("oops\n")).then_some(()));
    eventually("the record", || (phase(&place, "one") == "completed").then_some(()));
    assert!(place.guards().is_empty());
}

#[test]
fn a_job_that_fails_says_how_and_is_tried_again_ever_less_often() {
    let place = Place::new();
    let mut a = active(&place);
    let script = r#"echo x >> "$0"; exit 9"#;
    place.json(["job", "add", "bad", "--", "sh", "-c", script, place.path("tries").to_str().unwrap()]);
    for epoch in 1..=4 {
        let failed = a.job("job_failed", "bad");
        assert_eq!((&failed["epoch"], &failed["detail"]), (&epoch.into(), &"exit status 9".into()), "{failed}");
    }
    let tries = fs::read_to_string(place.path("tries")).unwrap();
    assert!(tries.lines().count() <= 5, "a beat, two beats, four beats: {tries}");
    eventually("the record", || {
        let job = place.json(["job", "list"]).remove(0);
        (job["failures"].as_u64() >= Some(4) && job["detail"] == "exit status 9").then_some(())
    });
}

#[test]
fn a_job_whose_program_is_missing_fails_with_a_clear_text() {
    let place = Place::new();
    let mut a = active(&place);
    place.json(["job", "add", "gone", "--", "/no/such/program"]);
    let failed = a.job("job_failed", "gone");
    assert!(failed["detail"].as_str().is_some_and(|d| d.contains("was not found on this node")), "{failed}");
}

#[test]
fn a_job_that_forks_and_daemonises_leaves_nothing_behind_when_its_node_is_killed() {
    let place = Place::new();
    let mut a = active(&place);
    let script = r#"
        trap "" TERM
        sh -c 'trap "" TERM; while :; do sleep 1; done' &
        (setsid sh -c 'trap "" TERM; touch "$0"; while :; do sleep 1; done' "$0" &)
        while :; do sleep 1; done"#;
    place.json(["job", "add", "hydra", "--", "sh", "-c", script, place.path("up").to_str().unwrap()]);
    eventually("its daemon", || place.path("up").exists().then_some(()));
    assert!(place.strays().len() >= 3);
    a.kill();
    eventually("the end of them all", || (place.strays().is_empty() && place.guards().is_empty()).then_some(()));
}

#[test]
fn a_job_whose_guard_is_killed_is_killed_and_runs_again() {
    let place = Place::new();
    let mut a = active(&place);
    let script = r#"(setsid sleep 1000 &) ; echo $FAILOVER_TOKEN >> "$0"; sleep 1000"#;
    place.json(["job", "add", "one", "--", "sh", "-c", script, place.path("runs").to_str().unwrap()]);
    let runs = || fs::read_to_string(place.path("runs")).unwrap_or_default();
    eventually("the first run", || (runs() == "1\n").then_some(()));
    let [guard] = &place.guards()[..] else { panic!("one guard") };
    kill_process(guard.pid, Signal::KILL).unwrap();
    let failed = a.job("job_failed", "one");
    assert!(failed["detail"].as_str().is_some_and(|d| d.contains("its guard was killed")), "{failed}");
    eventually("the second run", || (runs() == "1\n2\n").then_some(()));
    let old = place.strays_with("FAILOVER_TOKEN", "1");
    assert!(old.is_empty(), "{old:?}");
    assert!(a.lives());
}

#[test]
fn a_job_that_is_removed_is_stopped_first() {
    let place = Place::new();
    let mut a = active(&place);
    place.add_journal_job("one");
    place.until_journal("it runs", |j| j.runs_on("one", "a"));
    assert_eq!(place.json(["job", "remove", "one"])[0]["result"], "retiring");
    a.job("job_stopped", "one");
    eventually("its end", || place.json(["job", "list"]).is_empty().then_some(()));
    assert_eq!(place.journal().0.last().map(|e| e.what.clone()), Some("stop".into()));
    assert!(place.strays().is_empty());
}

#[test]
fn jobs_are_added_once_listed_and_removed() {
    let place = Place::new();
    let add = |args: &[&str]| place.ctl([&["--json", "job", "add"], args].concat());
    let result = |output: &std::process::Output| {
        let line: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), line["result"].clone())
    };
    assert_eq!(result(&add(&["one", "--weight", "3", "--", "echo", "a b"])), (Some(0), "created".into()));
    assert_eq!(result(&add(&["one", "--weight", "3", "--", "echo", "a b"])), (Some(0), "unchanged".into()));
    let other = add(&["one", "--", "echo", "something else"]);
    assert_eq!(other.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&other.stderr).contains("another job is named `one`"));

    let jobs = place.json(["job", "list"]);
    let expected = serde_json::json!([{"job": "one", "node": null, "epoch": 0, "phase": "queued", "state": "queued",
        "reason": "it waits for a place: no node can take it now", "weight": 3, "priority": 0, "pins": [], "failures": 0,
        "retiring": false, "detail": "", "command": ["echo", "a b"]}]);
    assert_eq!(Value::from(jobs), expected);
    let human = String::from_utf8(place.ctl(["job", "list"]).stdout).unwrap();
    assert!(human.contains("one  -     0      queued  3       echo 'a b'  it waits for a place"), "{human}");

    assert_eq!(place.json(["job", "remove", "one"])[0]["result"], "gone");
    let again = place.ctl(["job", "remove", "one"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&again.stderr).contains("there is no job `one` in cluster `test`"));
}
