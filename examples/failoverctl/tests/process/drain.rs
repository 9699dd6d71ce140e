//! Nodes kept free of jobs, and emptied.

use serde_json::{Value, json};

use crate::common::Place;

fn marks(status: &Value, node: usize) -> &Value {
    &status["nodes"][node]["marks"]
}

#[test]
fn a_cordoned_node_keeps_what_it_has_and_is_given_nothing() {
    let place = Place::new();
    let [_a, _b] = place.calm_nodes(["a", "b"]);
    place.add_journal_job("one");
    place.until_journal("it runs on a", |j| j.runs_on("one", "a"));
    assert_eq!(place.json(["cordon", "a"])[0], json!({"node": "a", "result": "cordoned"}));
    place.add_journal_job("two");
    place.until_journal("the next goes elsewhere", |j| j.runs_on("two", "b"));
    assert_eq!(marks(&place.status(), 0), &json!(["cordoned"]));
    assert!(!place.journal().runs_on("two", "a"));
    assert_eq!(place.json(["uncordon", "a"])[0], json!({"node": "a", "result": "uncordoned"}));
    place.add_journal_job("three");
    let journal = place.until_journal("a is given jobs again", |j| j.runs_on("three", "a"));
    assert_eq!(journal.tokens("one"), [1], "what ran was left alone");
    let refused = place.ctl(["cordon", "x"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("node is `x`: no such node is known"));
}

#[test]
fn a_drained_node_is_empty_when_the_command_returns_and_nothing_ran_twice() {
    let place = Place::new();
    let [mut a, _b] = place.calm_nodes(["a", "b"]);
    for job in ["one", "two", "three"] {
        place.add_journal_job(job);
    }
    place.until_journal("they run on a", |j| ["one", "two", "three"].iter().all(|job| j.runs_on(job, "a")));
    assert_eq!(place.json(["drain", "a"])[0], json!({"node": "a", "result": "drained"}));
    assert!(place.strays_of("a").is_empty());
    let journal =
        place.until_journal("they run on b", |j| ["one", "two", "three"].iter().all(|job| j.runs_on(job, "b")));
    journal.assert_never_two_owners();
    let status = place.status();
    assert_eq!((marks(&status, 0), &status["active"]["node"]), (&json!(["draining"]), &json!("a")));
    place.json(["uncordon", "a"]);
    assert_eq!(marks(&place.status(), 0), &json!([]));
    assert!(a.lives());
}

#[test]
fn a_drain_stops_nothing_without_a_successor_and_says_what_is_left() {
    let place = Place::new();
    let [_a] = place.calm_nodes(["a"]);
    place.add_journal_job("one");
    place.until_journal("it runs", |j| j.runs_on("one", "a"));
    let output = place.ctl(["--json", "drain", "a", "--within", "1s"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, json!({"node": "a", "result": "left", "left": ["one"]}));
    assert!(String::from_utf8_lossy(&output.stderr).contains("next: `failoverctl job explain one` tells why"));
    let journal = place.journal();
    assert!(journal.tokens("one") == [1] && journal.0.iter().all(|entry| entry.what != "stop"), "it was left alone");

    // By choice it stops at the deadline, place or not, and waits.
    assert_eq!(place.json(["drain", "a", "--within", "1s", "--then", "force"])[0]["result"], "drained");
    assert_eq!(place.journal().0.last().map(|entry| entry.what.clone()), Some("stop".into()));
    let job = place.json(["job", "list"]).remove(0);
    assert_eq!((&job["node"], &job["state"]), (&Value::Null, &json!("queued")));
    place.json(["uncordon", "a"]);
    place.until_journal("it goes on", |j| j.tokens("one") == [1, 2]);

    assert_eq!(place.json(["drain", "a", "--at-once"])[0]["result"], "drained");
    assert!(place.strays_of("a").is_empty());
}
