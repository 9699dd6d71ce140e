//! Nodes killed, and what was done about it: once.

use serde_json::{Value, json};

use crate::common::{Place, Process, eventually};

/// A command for lost nodes that writes down that it has begun, and one line more at its end.
fn response(place: &Place, lasts: &str) -> String {
    let file = place.path("responses").display().to_string();
    format!(
        "echo $FAILOVER_LOST_NODE $FAILOVER_ATTEMPT begun by $FAILOVER_NODE >> {file}; {lasts} echo $FAILOVER_LOST_NODE done >> {file}"
    )
}

fn responses(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.path("responses")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn begun(place: &Place, lost: &str) -> Vec<String> {
    responses(place).into_iter().filter(|line| line.starts_with(lost) && line.contains("begun")).collect()
}

fn node(place: &Place, name: &str, options: &[&str], command: &str) -> Process {
    place.node_with(name, &[options, &["--on-incident", command]].concat())
}

fn incident(place: &Place, lost: &str) -> Option<Value> {
    let all = place.json(["incidents"]).remove(0);
    all["incidents"].as_array().unwrap().iter().find(|incident| incident["node"] == lost).cloned()
}

fn action(incident: &Value) -> (&Value, &Value) {
    let action = &incident["actions"]["on-incident"];
    (&action["state"], &action["attempt"])
}

/// The standby is lost, and its incident's action runs. Then the active node is killed in the middle of the next one: it is shown, not
/// repeated, and begun again when an operator asks for it.
fn responds_once(place: &Place, options: &[&str]) {
    // The action for the loss of `c` lasts until somebody lets it end; that of the others is over at once.
    let wait =
        format!("while [ $FAILOVER_LOST_NODE = c ] && [ ! -e {} ]; do sleep 0.05; done;", place.path("go").display());
    let command = response(place, &wait);
    // Without a guard, so that the active node's loss is missed before it is taken over from, and the history has how long each took.
    let mut a = node(place, "a", &[options, &["--no-guard"]].concat(), &command);
    a.role("active");
    let mut b = node(place, "b", options, &command);
    a.event("standby_appointed");
    let mut c = node(place, "c", options, &command);
    c.event("node_joined");
    let mut d = node(place, "d", options, &command);
    d.event("node_joined");
    // One that died before its first heartbeat was never seen by anybody.
    place.until_status("all have been seen", |status| status["nodes"].as_array().is_some_and(|nodes| nodes.len() == 4));

    d.kill();
    a.event("action_done");
    assert_eq!(responses(place), ["d 1 begun by a", "d done"]);

    c.kill();
    eventually("the action for c begins", || (!begun(place, "c").is_empty()).then_some(()));
    a.kill();
    b.role("active");
    b.wait("its own action", |event| event["event"] == "action_done" && event["node"] == "a");
    let lost = incident(place, "c").unwrap();
    assert_eq!(action(&lost), (&json!("claimed"), &json!(1)), "{lost}");
    assert_eq!(begun(place, "c"), ["c 1 begun by a"], "nobody repeats it");
    assert_eq!((begun(place, "a"), begun(place, "d").len()), (vec!["a 1 begun by b".to_owned()], 1));
    let of_active = incident(place, "a").unwrap();
    assert_eq!((&of_active["was_active"], &of_active["fenced_by"]), (&json!(true), &json!("b")), "{of_active}");
    assert_eq!(place.status()["open_incidents"], 3);

    std::fs::write(place.path("go"), "").unwrap();
    let retried = place.json(["incidents", "retry", "c", "--by", "anna"]).remove(0);
    assert_eq!((&retried["node"], &retried["result"]), (&json!("c"), &json!("retried")), "{retried}");
    b.wait("the action's second attempt", |event| event["event"] == "action_done" && event["node"] == "c");
    assert_eq!(begun(place, "c"), ["c 1 begun by a", "c 2 begun by b"]);
    assert_eq!(action(&incident(place, "c").unwrap()), (&json!("done"), &json!(2)));
    let again = place.ctl(["incidents", "retry", "c", "--by", "anna"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(3) && said.contains("that action is done"), "{said}");

    place.json(["incidents", "ack", "c", "--by", "anna", "--note", "the fan was broken"]);
    assert_eq!(incident(place, "c").unwrap()["ack"]["note"], "the fan was broken");
    assert_eq!(place.status()["open_incidents"], 2);
    let entries = eventually("the history is written", || {
        let history = place.json(["history"]).remove(0);
        let entries = history["entries"].as_array().unwrap().clone();
        entries.iter().any(|entry| entry["deed"] == "ack").then_some(entries)
    });
    let of = |deed: &str, node: &str| {
        let found = entries.iter().find(|entry| entry["deed"] == deed && entry["node"] == node);
        found.unwrap_or_else(|| panic!("no {deed} of {node}: {entries:#?}"))
    };
    assert_eq!((&of("ack", "c")["who"], &of("retry", "c")["who"]), (&json!("anna"), &json!("anna")));
    // It may have come back to the role once more, on a busy machine, without anybody having died.
    let mut takeovers = entries.iter().filter(|entry| entry["deed"] == "takeover" && entry["node"] == "b");
    let is_whole = |entry: &Value| ["detect", "decide", "start"].iter().all(|phase| entry["phases"][phase].is_u64());
    assert!(takeovers.any(is_whole), "{entries:#?}");
    assert_eq!(of("incident", "d")["who"], "a");
    assert!(of("action", "d")["what"].as_str().unwrap().starts_with("on-incident done"), "{}", of("action", "d"));
}

#[test]
fn an_action_runs_once_for_each_lost_node_and_again_only_for_an_operator() {
    responds_once(&Place::new(), &[]);
}

#[test]
fn a_node_that_is_killed_and_back_at_once_is_an_incident_of_its_own() {
    let place = Place::new();
    let command = response(&place, "");
    let mut a = node(&place, "a", &[], &command);
    a.role("active");
    let mut b = node(&place, "b", &[], &command);
    a.event("standby_appointed");
    let first = b.event("node_joined")["detail"].clone();
    b.kill();
    let mut again = node(&place, "b", &[], &command);
    again.event("node_joined");
    a.wait("the loss of b", |event| event["event"] == "node_fenced" && event["node"] == "b");
    a.wait("its action", |event| event["event"] == "action_done" && event["node"] == "b");
    assert_eq!(incident(&place, "b").unwrap()["incarnation"], first);
    assert_eq!(begun(&place, "b").len(), 1);
    assert!(again.lives());
}

/// On a server: shorter, because SQLite has shown the rest.
pub(crate) fn responds_once_at(address: &str) {
    let mut place = Place::new();
    place.point_at(address);
    responds_once(&place, &["--ttl", "3s"]);
}
