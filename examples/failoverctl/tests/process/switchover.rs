//! The active role handed over as planned.

use serde_json::Value;

use crate::common::{Place, eventually};

#[test]
fn a_switchover_moves_role_and_jobs_with_no_moment_of_two_owners() {
    let place = Place::new();
    let [_a, mut b, _c] = place.nodes(["a", "b", "c"]);
    place.add_journal_job("one");
    place.add_journal_job("two");
    place.until_journal("both run on a", |j| j.runs_on("one", "a") && j.runs_on("two", "a"));

    let mut steps = place.json(["switchover"]);
    let done = steps.pop().unwrap();
    assert_eq!((&done["from"], &done["to"]), (&Value::from("a"), &Value::from("b")));
    assert!(steps.iter().all(|step| step["took_ms"].is_u64() == (step["step"] != "requested")), "{steps:?}");
    let entry = eventually("the switchover is in the history", || {
        let history = place.json(["history"]).remove(0);
        let mut entries = history["entries"].as_array().unwrap().iter();
        entries.find(|entry| entry["deed"] == "switchover").cloned()
    });
    let measured = |phase: &str| entry["phases"][phase].is_u64();
    assert!(measured("decide") && measured("stop") && measured("start") && !measured("detect"), "{entry}");
    assert!(done["took_ms"].is_u64() && done["term"] == 2, "{done}");
    b.job("job_started", "one");
    place.until_journal("both run on b", |j| j.runs_on("one", "b") && j.runs_on("two", "b"));

    let done = place.json(["switchover", "--to", "c"]).pop().unwrap();
    assert_eq!((&done["from"], &done["to"]), (&Value::from("b"), &Value::from("c")));
    let journal = place.until_journal("both run on c", |j| j.runs_on("one", "c") && j.runs_on("two", "c"));
    journal.assert_never_two_owners();
    assert_eq!((journal.tokens("one"), journal.tokens("two")), (vec![1, 2, 3], vec![1, 2, 3]));
    for node in ["a", "b"] {
        let last = journal.0.iter().rfind(|e| e.node == node && e.job == "one").unwrap();
        assert_eq!(last.what, "stop", "{node} was asked and has answered");
    }
}

#[test]
fn a_switchover_that_cannot_be_is_refused_with_its_reason_and_changes_nothing() {
    let place = Place::new();
    let refused = |args: &[&str], reason: &str| {
        let output = place.ctl([&["switchover"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
        assert!(said.contains(reason) && said.contains("next: "), "{args:?}: {said}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("took over"));
    };
    place.json(["job", "add", "one", "--", "true"]);
    refused(&[], "no node is active");

    let mut a = place.node("a");
    a.role("active");
    refused(&[], "no other node is fit to take over");
    refused(&["--to", "a"], "that node is active already");
    refused(&["--to", "nobody"], "no node of that name is a member");

    let mut b = place.node("b");
    b.role("standby");
    b.kill();
    a.wait("b missing", |e| e["event"] == "node_missing" && e["node"] == "b");
    refused(&["--to", "b"], "");
    let term = place.status()["active"].clone();
    assert_eq!((&term["node"], &term["term"]), (&"a".into(), &1.into()));
    assert!(a.all().iter().all(|e| e["role"] != "inactive" || e["event"] == "node_joined"));
}
