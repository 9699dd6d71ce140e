//! What `status` shows, as the README documents it.

use serde_json::{Value, json};

use crate::common::{Place, Process};

#[test]
fn the_status_is_one_object_of_documented_fields() {
    let place = Place::new();
    place.json(["job", "add", "one", "--", "sleep", "1000"]);
    let empty = place.status();
    let job = json!({"job": "one", "node": null, "epoch": 0, "phase": "queued", "state": "queued",
        "reason": "it waits for a place: no node can take it now", "weight": 1, "priority": 0, "pins": [], "failures": 0,
        "retiring": false, "detail": ""});
    assert_eq!(empty, json!({"cluster": "test", "active": null, "standby": null, "nodes": [], "jobs": [job]}));
    let human = String::from_utf8(place.ctl(["status"]).stdout).unwrap();
    assert!(human.starts_with("cluster test: NO ACTIVE NODE, no standby\n\nno nodes; start one with"), "{human}");

    let mut a = place.node_with("a", &["--capacity", "7", "--weight", "9", "--label", "zone=eu", "--label", "rack=4"]);
    a.job("job_started", "one");
    let mut b = place.node("b");
    b.role("standby");
    let mut status = place.until_status("the load is told", |s| {
        s["nodes"][0]["load"] == 1
            && s["nodes"][1]["role"] == "standby"
            && s["jobs"][0]["phase"] == "running"
            && s["standby"] == "b"
    });
    for node in status["nodes"].as_array_mut().unwrap() {
        let node = node.as_object_mut().unwrap();
        assert!(node.remove("age_ms").is_some_and(|age| age.is_u64()));
        assert!(node.remove("incarnation").is_some_and(|i| i.as_str().is_some_and(|i| i.len() == 36)));
    }
    let expected = json!({
        "cluster": "test", "active": {"node": "a", "term": 1}, "standby": "b",
        "nodes": [
            {"node": "a", "role": "active", "alive": true, "load": 1, "capacity": 7, "weight": 9, "marks": [],
             "labels": {"zone": "eu", "rack": "4"}},
            {"node": "b", "role": "standby", "alive": true, "load": 0, "capacity": 50, "weight": 50, "marks": [],
             "labels": {}},
        ],
        "jobs": [{"job": "one", "node": "a", "epoch": 1, "phase": "running", "state": "running", "reason": "it runs on a",
            "weight": 1, "priority": 0, "pins": [], "failures": 0, "retiring": false, "detail": ""}],
    });
    assert_eq!(status, expected);
    let human = String::from_utf8(place.ctl(["status", "--missing", "2s"]).stdout).unwrap();
    assert!(
        human.starts_with("cluster test: active a (term 1), standby b\n\nNODE  ROLE     SEEN   AGE    LOAD  LABELS\n"),
        "{human}"
    );
    assert!(human.chars().all(|c| c == '\n' || !c.is_control()), "{human:?}");

    b.kill();
    place.until_status("b is missing", |s| s["nodes"][1]["alive"] == false && s["standby"].is_null());
}

#[test]
fn watching_shows_one_object_for_each_change() {
    let place = Place::new();
    place.json(["job", "add", "one", "--", "sleep", "1000"]);
    let mut command = place.command();
    command.args(["--json", "status", "--watch", "--missing", "2s"]);
    let mut watch = Process::start("watch", command);
    watch.wait("the start", |s| s["active"].is_null());
    let mut a = place.node("a");
    a.role("active");
    // Several changes may be one object, if they come quickly.
    watch.wait("the active and its job", |s| s["active"]["node"] == "a" && s["jobs"][0]["phase"] == "running");
    a.kill();
    watch.wait("its absence", |s| s["nodes"][0]["alive"] == false && s["active"].is_null());
    let mut shown: Vec<Value> = watch.all().to_vec();
    for status in &mut shown {
        for node in status["nodes"].as_array_mut().unwrap() {
            node["age_ms"].take();
        }
    }
    assert!(shown.windows(2).all(|two| two[0] != two[1]), "an object that tells nothing new: {shown:#?}");
}
