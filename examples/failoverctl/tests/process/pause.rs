//! Nodes that stand still for longer than their lease, as a stopped process or a starved machine does.

use std::process::{Command, Output};

use crate::common::{Place, eventually};

/// A resource that remembers the highest token it has seen and refuses lower ones: `REGISTER TOKEN`.
const REGISTER: &str = r#"
exec 9> "$1.lock" && flock 9 || exit 2
highest=$(cat "$1" 2> /dev/null || echo 0)
if [ "$2" -lt "$highest" ]; then echo "refused: $2 is older than $highest"; exit 1; fi
echo "$2" > "$1"
"#;

/// Writes under its token for as long as it is let.
const WRITER: &str = r#"while sh "$0/register.sh" "$0/register" "$FAILOVER_TOKEN"; do sleep 0.05; done; echo refused >> "$0/refusals"; sleep 1000"#;

fn write(place: &Place, token: u64) -> Output {
    let script = place.path("register.sh");
    Command::new("sh").arg(script).arg(place.path("register")).arg(token.to_string()).output().unwrap()
}

#[test]
fn a_stopped_node_has_no_jobs_left_before_another_starts_them_and_its_late_writes_are_refused() {
    let place = Place::new();
    std::fs::write(place.path("register.sh"), REGISTER).unwrap();
    let [mut a, mut b] = place.nodes(["a", "b"]);
    place.add_journal_job("journal");
    let directory = place.dir.path().to_str().unwrap();
    place.json(["job", "add", "writer", "--", "sh", "-c", WRITER, directory]);
    a.job("job_started", "writer");
    place.until_journal("it runs on a", |j| j.runs_on("journal", "a"));
    eventually("a first write", || place.path("register").exists().then_some(()));

    place.stop(&a);
    let started = b.job("job_started", "writer");
    let left = place.strays_of("a");
    assert!(left.is_empty(), "b runs the job while {left:?} lives");
    let journal = place.until_journal("it runs on b", |j| j.runs_on("journal", "b"));
    journal.assert_never_two_owners();

    // What the stopped node's job would have written, had it had the time.
    let (old, new) = (1, started["epoch"].as_u64().unwrap());
    assert!(new > old);
    eventually("a write under the new token", || write(&place, new).status.success().then_some(()));
    let late = write(&place, old);
    assert!(!late.status.success() && String::from_utf8_lossy(&late.stdout).starts_with("refused: 1"), "{late:?}");

    a.resume();
    a.event("lease_lost");
    a.event("node_joined");
    a.role("standby");
    let after = place.status();
    assert_eq!(after["active"]["node"], "b", "it comes back without a claim");
    let journal = place.journal();
    journal.assert_never_two_owners();
    assert_eq!(journal.tokens("journal"), [1, 2]);
    assert!(!place.path("refusals").exists(), "the guard was in time, so the resource had nothing to refuse");
    assert!(a.lives() && b.lives());
}

#[test]
fn a_node_that_stands_still_for_a_moment_loses_nothing() {
    let place = Place::new();
    let mut a = place.node_with("a", &["--ttl", "30s"]);
    a.role("active");
    place.add_journal_job("one");
    place.until_journal("it runs", |j| j.runs_on("one", "a"));
    place.stop(&a);
    let lines = place.journal().0.len();
    place.until_journal("the job goes on", |j| j.0.len() > lines + 10);
    a.resume();
    let renewed = place.until_status("a beats again", |s| s["nodes"][0]["age_ms"].as_u64() < Some(200));
    assert_eq!(renewed["active"]["node"], "a");
    assert!(!a.all().iter().any(|e| e["event"] == "lease_lost"));
    assert_eq!(place.journal().tokens("one"), [1]);
}
