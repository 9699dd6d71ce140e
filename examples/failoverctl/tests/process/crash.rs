//! Crashes under leases far longer than a test has patience: what another takes over was given back by the guard of the host that died. The jobs' own
//! records show that it was not given back too early.

use rustix::process::{Signal, kill_process};

use crate::common::{OF, Place, Process, eventually};

const LONG: [&str; 4] = ["--ttl", "120s", "--beat", "400ms"];

/// Ignores SIGTERM, and so do its descendants, which write into the journal too, from a session of their own.
const STUBBORN: &str = r#"
trap "" TERM
say() { echo "$FAILOVER_JOB $FAILOVER_TOKEN $FAILOVER_NODE $1" >> "$0/journal"; }
say start
setsid sh -c 'trap "" TERM; while :; do echo "$FAILOVER_JOB $FAILOVER_TOKEN $FAILOVER_NODE turn" >> "$0/journal"; sleep 0.02; done' "$0" &
while :; do say turn; sleep 0.03; done
"#;

fn two_nodes(place: &Place) -> [Process; 2] {
    let mut a = place.node_with("a", &LONG);
    a.role("active");
    let mut b = place.node_with("b", &LONG);
    b.role("standby");
    let directory = place.dir.path().to_str().unwrap();
    place.json(["job", "add", "stubborn", "--", "sh", "-c", STUBBORN, directory]);
    place.add_journal_job("one");
    place.until_journal("both run on a", |j| j.runs_on("one", "a") && j.runs_on("stubborn", "a"));
    [a, b]
}

#[test]
fn a_crash_is_over_long_before_a_lease_lapses_and_no_job_runs_twice() {
    let place = Place::new();
    let [mut a, mut b] = two_nodes(&place);
    a.kill();
    b.role("active");
    let left = place.strays_of("a");
    assert!(left.is_empty(), "the role was given on while {left:?} lived");
    let journal = place.until_journal("both run on b", |j| j.runs_on("one", "b") && j.runs_on("stubborn", "b"));
    journal.assert_never_two_owners();
    assert_eq!((journal.tokens("one"), journal.tokens("stubborn")), (vec![1, 2], vec![1, 2]));
    eventually("the guard of the dead host has ended", || (place.heirs_of("a").is_empty()).then_some(()));
    let incidents = place.json(["incidents"]);
    assert_eq!(incidents.len(), 1, "{incidents:?}");
}

/// Node and guards are killed together, so nobody is left to end what has got away from the command. Nothing is given back until it has ended.
#[test]
fn nothing_is_given_back_while_anything_of_a_command_outlives_its_node() {
    let place = Place::new();
    let [mut a, mut b] = two_nodes(&place);
    place.stop(&a);
    for guard in place.guards() {
        kill_process(guard.pid, Signal::KILL).unwrap();
    }
    a.kill();
    let lines = place.journal().0.len();
    let journal = place.until_journal("the job goes on", |j| j.0.len() > lines + 60);
    assert!(!journal.runs_on("one", "b") && !journal.runs_on("stubborn", "b"));
    let held = place.status();
    assert_eq!(held["active"]["node"], "a", "{held}");
    eventually("everything of the command has ended", || {
        let left = place.strays_of("a");
        for process in &left {
            // What it waits for may end by itself.
            let _gone = kill_process(process.pid, Signal::KILL);
        }
        left.is_empty().then_some(())
    });
    b.role("active");
    let both = place.until_journal("both run on b", |j| j.runs_on("one", "b") && j.runs_on("stubborn", "b"));
    both.assert_never_two_owners();
}

#[test]
fn a_command_of_a_machine_that_died_runs_on_the_next_at_once() {
    let place = Place::new();
    let run = |name: &str| {
        let mut command = place.command();
        command.args(["--json", "run", name, "--lease", "nightly"]).args(LONG);
        Process::start(name, {
            command.args(["--", "sh", "-c", STUBBORN]).arg(place.dir.path()).env("FAILOVER_JOB", "run");
            command
        })
    };
    let mut a = run("a");
    a.event("lease_granted");
    let mut b = run("b");
    b.event("lease_waiting");
    place.until_journal("it runs on a", |j| j.runs_on("run", "a"));
    a.kill();
    b.event("lease_granted");
    place.until_journal("it runs on b", |j| j.runs_on("run", "b")).assert_never_two_owners();
}

#[test]
fn a_node_says_that_its_guard_is_gone_and_needs_none() {
    let place = Place::new();
    let mut a = place.node("a");
    a.role("active");
    let [guard] = &place.heirs_of("a")[..] else { panic!("one guard of the host") };
    kill_process(guard.pid, Signal::KILL).unwrap();
    let lost = a.event("guard_lost");
    assert_eq!(lost["node"], "a");
    let mut b = place.node_with("b", &["--no-guard"]);
    b.role("standby");
    assert!(place.heirs_of("b").is_empty());
    a.kill();
    // As without a guard: when the lease has lapsed.
    b.role("active");
}

#[test]
fn a_machine_that_runs_a_command_says_that_its_guard_is_gone_and_goes_on() {
    let place = Place::new();
    let mut command = place.command();
    command.env(OF, "a");
    command.args([
        "--json",
        "run",
        "a",
        "--lease",
        "nightly",
        "--",
        "sh",
        "-c",
        "while [ ! -e \"$0/over\" ]; do sleep 0.05; done",
    ]);
    command.arg(place.dir.path());
    let mut a = Process::start("a", command);
    a.event("lease_granted");
    let [guard] = &place.heirs_of("a")[..] else { panic!("one guard of the host") };
    kill_process(guard.pid, Signal::KILL).unwrap();
    let lost = a.event("guard_lost");
    assert!(lost["reason"].as_str().unwrap().contains("its leases have to lapse"), "{lost}");
    std::fs::write(place.path("over"), "").unwrap();
    a.event("lease_released");
}
