//! Where jobs go: pins, labels, capacity, roster, strategy.

use serde_json::{Value, json};

use crate::common::{CALM, Place};

fn add(place: &Place, id: &str, options: &[&str]) {
    place.json([&["job", "add", id], options, &["--", "sleep", "1000"]].concat());
}

/// Where each job runs, by name; null for those that wait.
fn owners(status: &Value) -> Value {
    status["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["job"].as_str().unwrap().to_owned(), job["node"].clone()))
        .collect()
}

fn until_owners(place: &Place, wanted: &Value) {
    place.until_status(&wanted.to_string(), |status| owners(status) == *wanted);
}

#[test]
fn the_first_node_fills_up_then_the_next_then_jobs_wait_and_start_as_slots_free() {
    let place = Place::new();
    place.json(["roster", "set", "b,a"]);
    let _nodes = place.line_up([
        ("b", &[&CALM[..], &["--capacity", "2"]].concat()),
        ("a", &[&CALM[..], &["--capacity", "1"]].concat()),
    ]);
    for job in ["1", "2"] {
        add(&place, job, &[]);
    }
    until_owners(&place, &json!({"1": "b", "2": "b"}));
    for job in ["3", "4"] {
        add(&place, job, &[]);
        place.until_status("the next node has the third", |status| owners(status)["3"] == "a");
    }
    add(&place, "5", &["--priority", "9"]);
    until_owners(&place, &json!({"1": "b", "2": "b", "3": "a", "4": null, "5": null}));
    place.json(["job", "remove", "2"]);
    // The more important one, on the node of the higher rank.
    until_owners(&place, &json!({"1": "b", "3": "a", "4": null, "5": "b"}));

    assert_eq!(place.json(["capacity", "b", "3"])[0], json!({"node": "b", "jobs": 3, "weight": 3}));
    until_owners(&place, &json!({"1": "b", "3": "a", "4": "b", "5": "b"}));
    place.json(["capacity", "b", "--clear"]);
    place.until_status("what runs stays", |s| s["nodes"][1]["capacity"] == 2 && owners(s)["4"] == "b");
}

#[test]
fn pins_labels_and_groups_are_held_and_a_job_that_fits_nowhere_says_why_for_each_node() {
    let place = Place::new();
    let _nodes = place.line_up([
        ("a", &[&CALM[..], &["--label", "zone=eu", "--label", "disk=slow"]].concat()),
        ("b", &[&CALM[..], &["--label", "zone=us", "--label", "disk=fast"]].concat()),
        ("c", &[&CALM[..], &["--label", "zone=eu", "--label", "disk=fast"]].concat()),
    ]);
    // Nobody is pinned to a node that nobody has heard of.
    place.until_status("all three are known", |s| s["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3));
    add(&place, "pinned", &["--pin", "c,b"]);
    add(&place, "us", &["--require", "zone=us"]);
    add(&place, "fast", &["--prefer", "disk=fast"]);
    add(&place, "mirror-1", &["--apart", "mirror", "--pin", "a"]);
    add(&place, "mirror-2", &["--apart", "mirror"]);
    add(&place, "mirror-3", &["--apart", "mirror", "--require", "zone=eu", "--require", "disk=slow"]);
    let wanted = json!({"fast": "b", "mirror-1": "a", "mirror-2": "b", "mirror-3": null, "pinned": "c", "us": "b"});
    until_owners(&place, &wanted);

    let explained = place.json(["job", "explain", "mirror-3"]).remove(0);
    assert_eq!((&explained["state"], &explained["node"]), (&json!("queued"), &Value::Null));
    let verdicts: Vec<_> = explained["nodes"].as_array().unwrap().iter().map(|n| (&n["node"], &n["verdict"])).collect();
    let (a, b, c) = (json!("a"), json!("b"), json!("c"));
    let (apart, lacks) = (json!("apart"), json!("lacks_label"));
    assert_eq!(verdicts, [(&a, &apart), (&b, &lacks), (&c, &lacks)]);
    assert!(explained["nodes"][0]["reason"].as_str().unwrap().contains("mirror-1"), "{explained}");
    let human = String::from_utf8(place.ctl(["job", "explain", "mirror-3"]).stdout).unwrap();
    assert!(human.starts_with("job mirror-3: it waits for a place") && human.contains("it has not run yet"), "{human}");
}

#[test]
fn what_cannot_ever_run_is_refused_when_it_is_added() {
    let place = Place::new();
    let _a = place.line_up([("a", &[&CALM[..], &["--capacity", "5"]].concat())]);
    for (options, rule) in [
        (
            &["--pin", "a,x"][..],
            "pins is `x`: no such node is known: start it or put it on the roster first (known: a)",
        ),
        (&["--weight", "6"], "weight is `6`: no node takes more than 5 (`a`)"),
        (&["--class", "c"], "class is `c`: there is no such class"),
    ] {
        let output = place.ctl([&["job", "add", "bad"], options, &["--", "true"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(rule), "{said}");
    }
    assert_eq!(place.json(["job", "list"]), [Value::Null; 0]);
    place.json(["roster", "set", "x"]);
    add(&place, "good", &["--pin", "x,a"]);
    until_owners(&place, &json!({"good": "a"}));
}

#[test]
fn the_roster_and_the_strategy_are_edited_while_everything_runs() {
    let place = Place::new();
    let _nodes = place.calm_nodes(["a", "b", "c"]);
    add(&place, "1", &[]);
    until_owners(&place, &json!({"1": "a"}));
    assert_eq!(place.json(["roster", "set", "b,a"])[0], json!({"roster": ["b", "a"]}));
    assert_eq!(place.json(["roster", "promote", "c"])[0], json!({"roster": ["b", "a", "c"]}));
    assert_eq!(place.json(["roster", "promote", "c", "--first"])[0], json!({"roster": ["c", "b", "a"]}));
    assert_eq!(place.json(["roster", "demote", "c"])[0], json!({"roster": ["b", "c", "a"]}));
    assert_eq!(place.json(["roster", "show"])[0], json!({"roster": ["b", "c", "a"]}));
    let refused = place.ctl(["roster", "set", "a,b,a"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("roster is `a`: it must name each node once"), "{said}");
    assert_eq!(place.json(["roster", "show"])[0], json!({"roster": ["b", "c", "a"]}), "the last good one is in force");

    add(&place, "2", &[]);
    until_owners(&place, &json!({"1": "a", "2": "b"}));
    place.json(["settings", "strategy", "spread"]);
    add(&place, "3", &[]);
    until_owners(&place, &json!({"1": "a", "2": "b", "3": "c"}));
}
