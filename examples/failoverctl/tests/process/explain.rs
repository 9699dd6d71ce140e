//! A job's promise of progress, and what becomes of one that breaks it.

use serde_json::json;

use crate::common::{Place, eventually};

#[test]
fn lines_on_standard_output_are_progress_and_go_to_the_nodes_standard_error_all_the_same() {
    let place = Place::new();
    let [a] = place.calm_nodes(["a"]);
    let script = r#"n=0; while :; do n=$((n+1)); echo "row $n"; sleep 0.1; done"#;
    place.json(["job", "add", "one", "--progress", "5s", "--", "sh", "-c", script]);
    let detail = || place.json(["job", "list"])[0]["detail"].as_str().unwrap().to_owned();
    eventually("its progress", || detail().starts_with("row ").then_some(()));
    let before = detail();
    eventually("more of it", || (detail() != before).then_some(()));
    eventually("its output", || a.errors().contains("row 1\nrow 2\n").then_some(()));
}

#[test]
fn a_hung_job_is_stopped_and_moved_though_its_node_is_alive() {
    let place = Place::new();
    let [mut a, mut b] = place.nodes(["a", "b"]);
    // It works on b and hangs on a.
    let script = r#"echo begins; if [ "$FAILOVER_NODE" = a ]; then trap "" TERM; fi; while :; do [ "$FAILOVER_NODE" = b ] && echo on; sleep 0.1; done"#;
    place.json(["job", "add", "one", "--progress", "2s", "--", "sh", "-c", script]);
    a.job("job_started", "one");
    b.job("job_started", "one");
    place.until_status("where it keeps its promise it is left alone", |s| s["jobs"][0]["detail"] == "on");
    let explained = place.json(["job", "explain", "one"]).remove(0);
    let runs = explained["runs"].as_array().unwrap();
    assert_eq!((&runs[0]["node"], &runs[0]["outcome"]), (&json!("a"), &json!("failed")), "{explained}");
    assert!(place.strays_of("a").is_empty(), "nothing of it is left there");
    assert!(a.lives());
}
