//! The cluster's configuration as one document: set, edited, taken back, and followed by nodes at once.

use std::fs;

use failover_testing::etcd::Etcd;
use failover_testing::postgres::Postgres;
use failover_testing::redis::Redis;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::Place;

fn refused(place: &Place, args: &[&str], code: i32, expected: &str) {
    let output = place.ctl(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(expected) && said.contains("next: "), "{args:?}: {said}\nwithout {expected}");
}

/// Everything there is to do with it, on one store.
fn is_configured(place: &Place) {
    let [mut a] = place.calm_nodes(["a"]);
    let file = |name: &str, text: &str| {
        fs::write(place.path(name), text).unwrap();
        place.path(name).to_str().unwrap().to_owned()
    };
    let good = file("good.toml", "roster = [\"b\", \"a\"]\nversions = \"exact\"\n");
    let set = place.json(["config", "set", &good, "--expect", "0", "--why", "b is bigger"]).remove(0);
    assert_eq!(set["version"], 1);
    let seen = a.event("settings_changed");
    assert!(seen["detail"].as_str().is_some_and(|detail| detail.starts_with("version 1 by ")), "{seen}");

    assert_eq!(place.json(["config", "set", &good, "--expect", "0"]).remove(0)["version"], 1, "it is safe to repeat");
    let other = file("other.json", "{\"roster\": [\"a\"]}");
    refused(place, &["config", "set", &other, "--expect", "0"], 3, "has changed it meanwhile: it is version 1 now");
    for (text, expected) in [
        ("roster = [\"a\", \"a\"]", "roster is `a`: it must name each node once"),
        ("rooster = [\"a\"]", "rooster is `[\"a\"]`: there is no such field"),
        ("pace = { beat = 900, ttl = 2000 }", "beat is `900ms`: three beats must fit into the ttl of 2s"),
        ("format = 2", "format is `2`: this build knows formats up to 1"),
        ("roster = [", "configuration is"),
    ] {
        let bad = file("bad.toml", text);
        refused(place, &["config", "set", &bad, "--expect", "1"], 2, expected);
    }
    let there = place.json(["config", "get"]).remove(0);
    assert_eq!((&there["version"], &there["config"]["roster"][0]), (&1.into(), &"b".into()), "{there}");

    let edit = |by: &str| {
        let mut command = place.command();
        command.args(["--json", "config", "edit"]).env("EDITOR", by).env("TMPDIR", place.dir.path());
        command.output().unwrap()
    };
    let edited = edit("sed -i s/exact/any/");
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    // Somebody else is quicker: what was edited is kept, and told where.
    let lost = edit(&format!("{} config rollback 1; sed -i s/any/compatible/", crate::common::FAILOVERCTL));
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert_eq!(lost.status.code(), Some(3), "{said}");
    let kept = said.split("your text is in ").nth(1).expect("it says where").trim();
    assert!(fs::read_to_string(kept).unwrap().contains("compatible"), "{said}");

    let history = place.json(["config", "history"]);
    let versions: Vec<&Value> = history.iter().map(|version| &version["version"]).collect();
    assert_eq!(versions, [3, 2, 1], "{history:?}");
    assert_eq!((&history[0]["why"], &history[2]["why"]), (&"as it was in version 1".into(), &"b is bigger".into()));
    refused(place, &["config", "rollback", "9"], 2, "there is no version 9");
    assert!(a.lives());
}

#[test]
fn sqlite_is_configured() {
    is_configured(&Place::new());
}

fn is_configured_at(address: &str) {
    let mut place = Place::new();
    place.point_at(address);
    is_configured(&place);
}

#[test]
fn postgres_is_configured() {
    is_configured_at(&Postgres::start().url());
}

#[test]
fn redis_is_configured() {
    is_configured_at(&Redis::durable().url());
}

#[test]
fn etcd_is_configured() {
    is_configured_at(&Etcd::start().url());
}

/// Three nodes of one program, upgraded one after another with one switchover: each later version is admitted, and the old one held
/// back once a later one is active.
#[test]
fn three_nodes_are_upgraded_one_by_one_with_one_switchover() {
    let place = Place::new();
    let start = |name: &str, version: &str| place.node_with(name, &["--version-of", version]);
    let rule = place.path("rule.json");
    fs::write(&rule, "{\"versions\": \"compatible\", \"roster\": [\"a\", \"b\", \"c\"]}").unwrap();
    place.json(["config", "set", rule.to_str().unwrap(), "--expect", "0"]);
    let mut a = start("a", "1.0.0");
    a.role("active");
    let (mut b, mut c) = (start("b", "1.0.0"), start("c", "1.0.0"));
    b.role("standby");
    c.event("node_joined");
    place.add_journal_job("one");
    place.until_journal("it runs on a", |j| j.runs_on("one", "a"));

    for (node, name) in [(&mut c, "c"), (&mut b, "b")] {
        node.signal(Signal::TERM);
        assert!(node.end().success());
        *node = start(name, "1.1.0");
        node.event("node_joined");
    }
    b.role("standby");
    let done = place.json(["switchover"]).pop().unwrap();
    assert_eq!(done["to"], "b", "{done}");
    let refused = a.event("version_refused");
    assert_eq!(refused["detail"], "1.0.0, where 1.1.0 is wanted: compatible", "{refused}");
    c.role("standby");
    place.until_journal("it follows to b", |j| j.runs_on("one", "b")).assert_never_two_owners();

    a.signal(Signal::TERM);
    assert!(a.end().success());
    let mut a = start("a", "1.1.0");
    // The first of the roster, and admitted again.
    a.role("standby");
    assert_eq!(place.journal().tokens("one"), [1, 2], "the job has moved once");
}
