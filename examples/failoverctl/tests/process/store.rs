//! What happens to the store under running nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::{Place, Process, eventually, in_own_mounts, mount, now, own_mounts};

/// Both end with a clear error, and nothing they ran is left.
fn assert_condemned(place: &Place, nodes: [Process; 2]) {
    for mut node in nodes {
        assert_eq!(node.end().code(), Some(1), "{}", node.errors());
        let said = node.errors();
        assert!(said.contains("the store was deleted, restored or replaced") && said.contains("next: "), "{said}");
        let last = node.rest().last().unwrap().clone();
        assert_eq!(last["event"], "node_refused", "{last}");
    }
    assert!(place.strays().is_empty(), "{:?}", place.strays());
    assert!(place.guards().is_empty(), "{:?}", place.guards());
}

fn files_of(database: &Path) -> Vec<std::path::PathBuf> {
    let name = database.file_name().unwrap().to_str().unwrap().to_owned();
    let entries = fs::read_dir(database.parent().unwrap()).unwrap().flatten().map(|e| e.path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)).collect()
}

#[test]
fn a_deleted_store_stops_every_node_and_every_job() {
    let place = Place::new();
    let nodes = place.nodes(["a", "b"]);
    place.add_journal_job("one");
    place.until_journal("it runs", |j| j.runs_on("one", "a"));
    for file in files_of(&place.database()) {
        fs::remove_file(file).unwrap();
    }
    assert_condemned(&place, nodes);
    assert!(!place.database().exists(), "nobody has made a new one by accident");
}

#[test]
fn a_replaced_store_stops_every_node_and_every_job() {
    let place = Place::new();
    let nodes = place.nodes(["a", "b"]);
    place.add_journal_job("one");
    place.until_journal("it runs", |j| j.runs_on("one", "a"));
    let other = Place::new();
    other.json(["job", "add", "stranger", "--", "true"]);
    other.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
    // As a careful restore does it: without the log of what was there before.
    let logs = files_of(&place.database()).into_iter().filter(|file| *file != place.database());
    logs.for_each(|file| fs::remove_file(file).unwrap());
    fs::rename(other.database(), place.database()).unwrap();
    assert_condemned(&place, nodes);
    let jobs = place.json(["job", "list"]);
    assert_eq!(
        (jobs.len(), &jobs[0]["job"], &jobs[0]["phase"]),
        (1, &"stranger".into(), &"queued".into()),
        "it is untouched"
    );
}

#[test]
fn a_read_only_store_is_refused_by_name_before_anything_starts() {
    let place = Place::new();
    place.add_journal_job("one");
    let before = fs::read(place.database()).unwrap();
    fs::set_permissions(place.database(), PermissionsExt::from_mode(0o444)).unwrap();
    let output = place.ctl(["node", "a"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("read-only") && said.contains("store.db") && said.contains("next: "), "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(fs::read(place.database()).unwrap(), before);
}

#[test]
fn a_full_disk_stops_nobody_for_good() {
    const SELF: &str = "store::a_full_disk_stops_nobody_for_good";
    let Some(directory) = own_mounts() else { return in_own_mounts(SELF) };
    mount(&["-t", "tmpfs", "-o", "size=1500k", "tmpfs", &directory]);
    let mut place = Place::new();
    place.keep_database_in(directory.as_ref());
    let mut a = place.node("a");
    a.role("active");
    let mut b = place.node("b");
    b.role("standby");
    place.add_journal_job("one");
    place.until_journal("it runs", |j| j.runs_on("one", "a"));

    // As `dd` does it: until there is no room for another byte.
    let filler = format!("{directory}/filler");
    let fill = Command::new("sh").args(["-c", "cat /dev/zero > \"$0\" 2> /dev/null", &filler]).status().unwrap();
    assert!(!fill.success() && fs::metadata(&filler).unwrap().len() > 0);
    let big = "x".repeat(50_000);
    let refused = eventually("a write that does not fit", || {
        let output = place.ctl(["job", "add", "big", "--", "echo", &big]);
        (!output.status.success()).then_some(output)
    });
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("full") && said.contains("free some space"), "{said}");
    // Long enough for every lease to lapse if it is not renewed.
    let end = now() + Duration::from_secs(3);
    eventually("the leases' end", || (now() >= end).then_some(()));
    let seen = place.status();
    assert_eq!(seen["nodes"].as_array().map(Vec::len), Some(2), "a full store can be read: {seen}");

    fs::remove_file(&filler).unwrap();
    assert!(a.lives() && b.lives(), "{} {}", a.errors(), b.errors());
    let after = place.until_status("both are back", |s| {
        let alive = s["nodes"].as_array().is_some_and(|nodes| nodes.iter().filter(|n| n["alive"] == true).count() == 2);
        alive && !s["active"].is_null() && s["jobs"][0]["phase"] == "running"
    });
    assert_eq!(after["jobs"].as_array().map(Vec::len), Some(1), "nothing is half-written: {after}");
    let lines = place.journal().0.len();
    place.until_journal("the job runs on", |j| j.0.len() > lines + 3).assert_never_two_owners();
}
