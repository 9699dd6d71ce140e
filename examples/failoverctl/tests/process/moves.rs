//! Jobs moved, returned and rehearsed by an operator.

use serde_json::{Value, json};

use crate::common::{CALM, Place};

fn refused(place: &Place, args: &[&str], expected: &str) {
    let output = place.ctl(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
    assert!(said.contains(expected), "{args:?}: {said}\nwithout {expected}");
}

fn owner(status: &Value, job: &str) -> Value {
    status["jobs"].as_array().unwrap().iter().find(|j| j["job"] == job).map_or(Value::Null, |j| j["node"].clone())
}

#[test]
fn a_job_is_moved_by_handover_and_with_no_double_run() {
    let place = Place::new();
    let _nodes = place.calm_nodes(["a", "b"]);
    place.add_journal_job("one");
    place.until_journal("it runs on a", |j| j.runs_on("one", "a"));
    let moved = place.json(["job", "move", "one", "--to", "b"]).remove(0);
    assert_eq!((&moved["job"], &moved["node"], &moved["result"]), (&json!("one"), &json!("b"), &json!("moved")));
    let journal = place.until_journal("it runs on b", |j| j.runs_on("one", "b"));
    journal.assert_never_two_owners();
    let last = journal.0.iter().rfind(|entry| entry.node == "a").unwrap();
    assert_eq!(last.what, "stop", "a was asked and has answered");

    let explained = place.json(["job", "explain", "one"]).remove(0);
    let runs: Vec<_> =
        explained["runs"].as_array().unwrap().iter().map(|r| json!([r["epoch"], r["node"], r["outcome"]])).collect();
    assert_eq!(runs, [json!([1, "a", "stopped"]), json!([2, "b", null])]);
    assert_eq!(explained["home"], Value::Null, "that is where it belongs now");
}

#[test]
fn a_move_that_cannot_be_is_refused_and_says_what_to_do() {
    let place = Place::new();
    place.json(["job", "add", "one", "--", "sleep", "1000"]);
    refused(&place, &["job", "move", "one", "--to", "a"], "no such node is known");
    let [_a, mut b] = place.calm_nodes(["a", "b"]);
    place.json(["job", "add", "never", "--failover", "never", "--", "sleep", "1000"]);
    place.json(["job", "add", "pinned", "--pin", "a", "--", "sleep", "1000"]);
    refused(&place, &["job", "move", "nothing", "--to", "b"], "there is no job `nothing`");
    refused(&place, &["job", "move", "one", "--to", "x"], "no such node is known: start it");
    refused(&place, &["job", "move", "never", "--to", "b"], "change its failover policy first");
    refused(&place, &["job", "move", "pinned", "--to", "b"], "change its pins first");
    place.json(["cordon", "b"]);
    place.until_status("it is seen to be cordoned", |s| s["nodes"][1]["marks"] == json!(["cordoned"]));
    refused(&place, &["job", "move", "one", "--to", "b"], "it is cordoned");
    refused(&place, &["failback", "x"], "no such node is known");
    assert!(b.lives());
}

#[test]
fn what_was_moved_from_a_lost_node_is_returned_by_an_operator() {
    let place = Place::new();
    place.json(["roster", "set", "b", "a"]);
    let [mut b, mut a] = place.nodes(["b", "a"]);
    for job in ["one", "two"] {
        place.add_journal_job(job);
    }
    place.until_journal("they run on b", |j| j.runs_on("one", "b") && j.runs_on("two", "b"));
    b.kill();
    a.event("node_fenced");
    place.until_journal("they run on a", |j| j.runs_on("one", "a") && j.runs_on("two", "a"));
    let explained = place.json(["job", "explain", "one"]).remove(0);
    assert_eq!((&explained["home"], &explained["runs"][0]["outcome"]), (&json!("b"), &json!("lost")));

    let mut again = place.node("b");
    again.event("node_joined");
    let status =
        place.until_status("b is alive", |s| s["nodes"][1]["alive"] == true && s["nodes"][1]["role"] != "active");
    assert_eq!(owner(&status, "one"), "a", "nothing returns by itself");
    let returned = place.json(["failback", "b"]).remove(0);
    assert_eq!((&returned["node"], &returned["result"]), (&json!("b"), &json!("returned")));
    let back = |j: &crate::common::Journal| ["one", "two"].iter().all(|job| j.tokens(job).len() == 3);
    place.until_journal("they run on b again", back).assert_never_two_owners();
    let status = place.status();
    assert_eq!((owner(&status, "one"), owner(&status, "two")), (json!("b"), json!("b")));
}

#[test]
fn a_plan_tells_what_would_follow_and_makes_nothing_of_it() {
    let place = Place::new();
    let start = |name, capacity| place.node_with(name, &[&CALM[..], &["--capacity", capacity]].concat());
    let _nodes = [start("a", "2"), start("b", "1")];
    for job in ["1", "2", "3", "4"] {
        place.json(["job", "add", job, "--", "sleep", "1000"]);
    }
    let before = place.until_status("all that can run do", |s| {
        s["jobs"].as_array().unwrap().iter().filter(|job| job["phase"] == "running").count() == 3
    });
    let waits = before["jobs"].as_array().unwrap().iter().find(|job| job["node"].is_null()).unwrap()["job"].clone();
    let jobs_of = |plan: &Value, part: &str| -> Vec<Value> {
        plan[part].as_array().unwrap().iter().map(|line| json!([line["job"], line["from"], line["to"]])).collect()
    };
    let lost = place.json(["plan", "--if-lost", "a", "--missing", "15s"]).remove(0);
    let moves = jobs_of(&lost, "moves");
    assert_eq!((moves.len(), lost["waiting"].as_array().unwrap().len()), (2, 2), "b is full: {lost}");
    assert!(moves.iter().all(|m| m[1] == "a" && m[2].is_null()), "{lost}");

    let added = place.json(["plan", "--if-added", "c", "--capacity", "9", "--missing", "15s"]).remove(0);
    assert_eq!(jobs_of(&added, "moves"), [json!([waits, null, "c"])]);
    let roster = place.json(["plan", "--roster", "b,a", "--missing", "15s"]).remove(0);
    assert_eq!(roster["moves"], json!([]), "what runs is not moved for beauty");
    let human = String::from_utf8(place.ctl(["plan", "--if-added", "c", "--missing", "15s"]).stdout).unwrap();
    assert!(human.starts_with("JOB  FROM  TO  WHY\n"), "{human}");
    let refused = place.ctl(["plan", "--if-lost", "x"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("node is `x`: no such node has been seen"));
    assert_eq!(place.status()["jobs"], before["jobs"]);
}
