//! What `status` shows, as the README documents it.

use std::time::Duration;

use failover::health::{Failure, Health};
use failover::heartbeat::{Heartbeat, News};
use failover::replica::Lag;
use failover::{Capacity, ClusterName, FailureName, Incarnation, Member, NodeId, Role, Term};
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
    assert_eq!(
        empty,
        json!({"cluster": "test", "topology": "ordered", "active": null, "standby": null, "open_incidents": 0, "nodes": [],
            "jobs": [job]})
    );
    let human = String::from_utf8(place.ctl(["status"]).stdout).unwrap();
    assert!(human.starts_with("cluster test: NO ACTIVE NODE, no standby\n\nno nodes; start one with"), "{human}");

    let mut a = place.node_with("a", &["--capacity", "7", "--weight", "9", "--label", "zone=eu", "--label", "rack=4"]);
    a.job("job_started", "one");
    let mut b = place.node("b");
    b.role("standby");
    let mut status = place.until_status("the load is told", |s| {
        s["nodes"][0]["load"] == 1
            && s["nodes"][1]["role"] == "standby"
            && s["nodes"].as_array().unwrap().iter().all(|node| node["reports"].is_null())
            && s["jobs"][0]["phase"] == "running"
            && s["standby"] == "b"
    });
    for node in status["nodes"].as_array_mut().unwrap() {
        let node = node.as_object_mut().unwrap();
        assert!(node.remove("age_ms").is_some_and(|age| age.is_u64()));
        assert!(node.remove("incarnation").is_some_and(|i| i.as_str().is_some_and(|i| i.len() == 36)));
    }
    let expected = json!({
        "cluster": "test", "topology": "ordered", "active": {"node": "a", "term": 1}, "standby": "b", "open_incidents": 0,
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
fn what_a_host_says_is_wrong_with_it_is_shown_with_its_node() {
    let place = Place::new();
    place.json(["job", "add", "one", "--", "true"]);
    let mut health = Health::default();
    health.hung = true;
    for (name, text, weight) in [("disk", "it is full", 10), ("line", "it is slow", 0)] {
        health.failures.insert(FailureName::new(name).unwrap(), Failure::new(text, weight).unwrap());
    }
    tell(&place, "a", News { health, ..News::new(Role::Inactive, Capacity::default()) });
    let status = place.status();
    let node = &status["nodes"][0];
    let failures = json!([
        {"name": "disk", "text": "it is full", "weight": 10},
        {"name": "line", "text": "it is slow", "weight": 0},
    ]);
    assert_eq!((&node["failures"], &node["hung"]), (&failures, &json!(true)));
    let human = String::from_utf8(place.ctl(["status"]).stdout).unwrap();
    for line in ["a: its host HANGS and does not", "a: disk: it is full (weight 10)", "a: line: it is slow (a warning)"]
    {
        assert!(human.contains(line), "{human}");
    }
}

/// Beats once as a node of this name would that has this to tell.
fn tell(place: &Place, node: &str, news: News) {
    let member = Member::new(NodeId::new(node).unwrap(), Incarnation::fresh());
    let heartbeat = Heartbeat { member, term: Term(1), seq: 1, news };
    let url = place.url();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let backend = failover::open(&url, &ClusterName::new("test").unwrap()).await.unwrap();
        backend.heartbeats.beat(&heartbeat).await.unwrap();
    });
}

#[test]
fn versions_are_shown_and_who_is_held_back_by_which_and_why() {
    let place = Place::new();
    let rule = place.path("rule.json");
    std::fs::write(&rule, "{\"versions\": \"exact\", \"version\": \"1.1.0\"}").unwrap();
    place.json(["config", "set", rule.to_str().unwrap(), "--expect", "0"]);
    for (node, version) in [("a", Some("1.1.0")), ("b", Some("1.0.0")), ("c", None)] {
        let version = version.map(str::to_owned);
        tell(&place, node, News { version, ..News::new(Role::Inactive, Capacity::default()) });
    }
    let status = place.status();
    let of = |field: &str| [0, 1, 2].map(|node| status["nodes"][node][field].clone());
    assert_eq!(of("version"), ["1.1.0".into(), "1.0.0".into(), Value::Null]);
    let why = |told: &str| Value::from(format!("{told}, where 1.1.0 is wanted: exact"));
    assert_eq!(of("held_back"), [Value::Null, why("1.0.0"), why("none")]);
    let human = String::from_utf8(place.ctl(["status"]).stdout).unwrap();
    let columns = ["NODE", "ROLE", "SEEN", "AGE", "LOAD", "VERSION", "LABELS"];
    let has = |line: &str, words: &[&str]| line.split_whitespace().eq(words.iter().copied());
    assert!(human.lines().any(|line| has(line, &columns)), "{human}");
    assert!(human.lines().any(|line| line.starts_with("b ") && line.ends_with(" 1.0.0")), "{human}");
    for (node, told) in [("b", "1.0.0"), ("c", "none")] {
        let line = format!("\n{node}: HELD BACK by its version: {told}, where 1.1.0 is wanted: exact\n");
        assert!(human.contains(&line), "{human}");
    }
}

#[test]
fn the_lag_of_replicas_is_shown_and_an_unknown_one_is_told_apart() {
    let place = Place::new();
    let mut behind = Lag::NONE;
    (behind.records, behind.behind) = (17, Some(Duration::from_millis(4200)));
    let mut unknown = Lag::NONE;
    unknown.behind = None;
    for (node, lag) in [("a", Some(Lag::NONE)), ("b", Some(behind)), ("c", Some(unknown)), ("d", None)] {
        tell(&place, node, News { lag, ..News::new(Role::Inactive, Capacity::default()) });
    }
    let status = place.status();
    let lags = [0, 1, 2, 3].map(|node| status["nodes"][node]["lag"].clone());
    let line = |records: u64, behind_ms: Value| json!({"records": records, "behind_ms": behind_ms});
    assert_eq!(lags, [line(0, 0.into()), line(17, 4200.into()), line(0, Value::Null), Value::Null]);
    let human = String::from_utf8(place.ctl(["status"]).stdout).unwrap();
    let told = ["a", "b", "c", "d"].map(|node| {
        let line = human.lines().find(|line| line.starts_with(&format!("{node} "))).unwrap_or_default();
        (line.contains("17 records and 4 s behind"), line.contains("lag unknown"))
    });
    assert_eq!(told, [(false, false), (true, false), (false, true), (false, false)], "{human}");
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
