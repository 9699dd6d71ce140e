//! What operators do to a whole cluster: hand the role over step by step, pause it, activate a node, take one out.

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Place, Process};

fn steps(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["step"].as_str()).collect()
}

fn refused(place: &Place, args: &[&str], reason: &str) {
    let output = place.ctl(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
    assert!(said.contains(reason) && said.contains("next: "), "{args:?}: {said}");
}

/// Two nodes: the role is handed over, the cluster is paused, its active node killed, and the other one activated.
pub(crate) fn is_handed_over_paused_and_activated(place: &Place, options: &[&str]) {
    let mut a = place.node_with("a", options);
    a.role("active");
    let mut b = place.node_with("b", options);
    a.event("standby_appointed");
    place.add_journal_job("one");
    place.until_journal("it runs on a", |j| j.runs_on("one", "a"));

    let told = place.json(["switchover", "--to", "b"]);
    let taken: Vec<_> = steps(&told).into_iter().filter(|step| *step != "preparing").collect();
    assert_eq!(taken, ["requested", "checked", "started", "released", "done"], "{told:#?}");
    let by = |step: &str| told.iter().find(|line| line["step"] == step).unwrap()["node"].clone();
    assert_eq!([by("requested"), by("released"), by("done")], [Value::Null, "a".into(), "b".into()]);
    assert_eq!((&told[told.len() - 1]["from"], &told[told.len() - 1]["to"]), (&"a".into(), &"b".into()));
    place.until_journal("it follows", |j| j.runs_on("one", "b"));

    refused(place, &["activate", "a"], "`b` holds the active lease");
    refused(place, &["activate", "a", "--machine-is-off"], "");
    assert_eq!(place.status()["active"]["node"], "b", "neither of the two took anything from it");

    let paused = place.json(["pause", "--by", "ann"]).remove(0);
    assert_eq!((&paused["paused"], &paused["by"]), (&true.into(), &"ann".into()));
    a.event("cluster_paused");
    b.event("cluster_paused");
    b.kill();
    a.wait("b is missing", |e| e["event"] == "node_missing" && e["node"] == "b");
    let status = place.until_status("nobody is active", |s| s["active"].is_null());
    assert_eq!((&status["paused"]["by"], &status["jobs"][0]["node"]), (&"ann".into(), &"b".into()), "{status}");

    let told = place.json(["activate", "a", "--machine-is-off"]);
    assert_eq!(steps(&told), ["requested", "checked", "done"], "{told:#?}");
    assert_eq!(told[told.len() - 1]["term"].as_u64().map(|term| term > 2), Some(true), "{told:#?}");
    a.role("active");
    let status = place.status();
    assert_eq!((&status["active"]["node"], &status["jobs"][0]["node"]), (&"a".into(), &"b".into()), "{status}");
    let since = a.all().iter().skip_while(|e| e["event"] != "cluster_paused");
    assert!(
        since.clone().count() > 3 && since.clone().all(|e| e["event"] != "node_fenced" && e["event"] != "job_moved")
    );

    place.json(["resume"]);
    a.wait("b is fenced", |e| e["event"] == "node_fenced" && e["node"] == "b");
    place.until_journal("its job goes on", |j| j.runs_on("one", "a")).assert_never_two_owners();
}

#[test]
fn a_cluster_is_handed_over_in_steps_paused_and_activated() {
    is_handed_over_paused_and_activated(&Place::new(), &[]);
}

#[test]
fn nobody_takes_over_from_a_killed_node_while_the_cluster_is_paused_until_it_is_resumed() {
    let place = Place::new();
    let [mut a, mut b] = place.nodes(["a", "b"]);
    place.json(["pause"]);
    b.event("cluster_paused");
    a.kill();
    b.wait("a is missing", |e| e["event"] == "node_missing" && e["node"] == "a");
    place.until_status("nobody is active", |s| s["active"].is_null() && !s["paused"].is_null());
    let human = String::from_utf8(place.ctl(["status"]).stdout).unwrap();
    assert!(human.contains("\nPAUSED"), "{human}");
    let told = b.all();
    let mut since = told.iter().skip_while(|e| e["event"] != "node_missing");
    assert!(since.all(|e| e["role"] != "active"), "{told:#?}");
    place.json(["resume"]);
    b.role("active");
}

#[test]
fn maintenance_empties_a_node_before_it_takes_part_in_nothing() {
    let place = Place::new();
    let [mut a, mut b] = place.nodes(["a", "b"]);
    place.add_journal_job("one");
    place.until_journal("it runs on a", |j| j.runs_on("one", "a"));
    let done = place.json(["maintenance", "on", "a"]).remove(0);
    assert_eq!((&done["node"], &done["maintenance"]), (&"a".into(), &"on".into()));
    let told: Vec<_> = a.all().iter().filter(|e| e["node"] == "a").collect();
    let at = |wanted: &dyn Fn(&Value) -> bool| told.iter().position(|e| wanted(e));
    let (stopped, parked) = (at(&|e| e["event"] == "job_stopped"), at(&|e| e["role"] == "maintenance"));
    assert!(stopped.is_some() && stopped < parked, "{told:#?}");
    b.role("active");
    place.until_journal("it goes on elsewhere", |j| j.runs_on("one", "b")).assert_never_two_owners();
    let status = place.until_status("that is what it says", |s| s["nodes"][0]["reports"].is_null());
    assert_eq!(status["nodes"][0]["role"], "maintenance", "{status}");

    let off = place.json(["maintenance", "off", "a"]).remove(0);
    assert_eq!(off["maintenance"], "off");
    a.wait("it is standby again", |e| e["role"] == "standby");
    // With nowhere to go, its jobs keep it from it, visibly; what was asked for stands until it is taken back.
    let left = |node: &mut Process| node.wait("b is alone", |e| e["event"] == "node_left" && e["node"] == "a");
    a.signal(Signal::TERM);
    left(&mut a);
    let output = place.ctl(["maintenance", "on", "b", "--within", "300ms"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("still has one") && said.contains("maintenance off b"), "{said}");
    assert_eq!(place.status()["nodes"][0]["reports"], "active");
}
