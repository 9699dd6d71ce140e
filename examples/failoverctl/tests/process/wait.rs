//! Whoever waits for a job is released, and the exit status tells how it ended.

use serde_json::{Value, json};

use crate::common::{Place, Process, eventually};

/// Waits in a process of its own, which knows what it waits for when this returns: looking later, it might wait for a later run.
fn wait(place: &Place, args: &[&str]) -> Process {
    let mut command = place.command();
    command.args(["--json", "job", "wait"]).args(args).env("RUST_LOG", "failover_core=info");
    let waiting = Process::start("wait", command);
    eventually("it knows for what", || waiting.errors().contains("waits for a job").then_some(()));
    waiting
}

/// What it told, and its exit status.
fn released(mut waiting: Process) -> (Value, Option<i32>) {
    let told = waiting.wait("an outcome", |line| line["outcome"].is_string());
    (told, waiting.end().code())
}

#[test]
fn a_killed_node_releases_who_waits_for_its_job_with_lost_and_the_last_progress() {
    let place = Place::new();
    let [mut a, mut b] = place.nodes(["a", "b"]);
    let script = "echo row 7; sleep 1000";
    place.json(["job", "add", "one", "--progress", "1h", "--", "sh", "-c", script]);
    a.job("job_started", "one");
    place.until_status("its progress is told", |s| s["jobs"][0]["detail"] == "row 7");
    let (run, job) = (wait(&place, &["one"]), wait(&place, &["one", "--done"]));
    a.kill();
    let (told, status) = released(run);
    let run = &told["run"];
    assert_eq!(
        (&told["outcome"], &run["node"], &run["epoch"], &run["detail"]),
        (&json!("lost"), &json!("a"), &json!(1), &json!("row 7"))
    );
    assert_eq!(status, Some(12));

    b.job("job_started", "one");
    place.json(["job", "remove", "one"]);
    assert_eq!(released(job), (json!({"job": "one", "outcome": "removed", "run": null}), Some(13)));
}

#[test]
fn the_exit_status_tells_the_outcome() {
    let place = Place::new();
    let [_a] = place.calm_nodes(["a"]);
    place.json(["job", "add", "good", "--", "true"]);
    let (told, status) = released(wait(&place, &["good", "--done"]));
    assert_eq!((&told["outcome"], status), (&json!("completed"), Some(0)));

    place.json(["job", "add", "bad", "--retries", "1", "--", "sh", "-c", "exit 9"]);
    let (told, status) = released(wait(&place, &["bad", "--done"]));
    assert_eq!(
        (&told["outcome"], &told["run"]["detail"], status),
        (&json!("failed"), &json!("exit status 9"), Some(11))
    );
    assert_eq!(told["run"]["epoch"], 2, "the first try and one more");
    let job = place.until_status("it gave up", |s| s["jobs"][0]["state"] == "gave_up");
    assert!(job["jobs"][0]["reason"].as_str().unwrap().contains("as often as its policy allows"), "{job}");

    place.json(["job", "add", "long", "--", "sleep", "1000"]);
    let late = place.ctl(["job", "wait", "long", "--within", "200ms"]);
    assert_eq!(late.status.code(), Some(14));
    assert!(String::from_utf8_lossy(&late.stderr).contains("`failoverctl job explain long` tells where it is"));
    let absent = place.ctl(["job", "wait", "nothing"]);
    assert_eq!(absent.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("there is no job `nothing`"));
}
