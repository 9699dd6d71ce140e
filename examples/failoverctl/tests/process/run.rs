//! `run`: a command on exactly one of those who want to run it.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::common::{LIMIT, PACE, Place, Process, eventually, now};

/// Says that it runs, under which token, and waits to be told to end.
const COMMAND: &str = r#"echo "$FAILOVER_NODE $FAILOVER_TOKEN $FAILOVER_LEASE" >> "$0/runs"; while [ ! -e "$0/go" ]; do sleep 0.05; done; exit 42"#;

fn command(place: &Place, name: &str, script: &str) -> Command {
    let mut command = place.command();
    command.args(["--json", "run", name, "--lease", "nightly"]).args(PACE);
    command.args(["--", "sh", "-c", script]).arg(place.dir.path());
    command
}

fn run(place: &Place, name: &str, script: &str) -> Process {
    Process::start(name, command(place, name, script))
}

fn runs(place: &Place) -> String {
    fs::read_to_string(place.path("runs")).unwrap_or_default()
}

#[test]
fn one_runs_it_the_other_waits_and_takes_over_and_the_exit_status_is_the_commands() {
    let place = Place::new();
    let mut a = run(&place, "a", COMMAND);
    a.event("lease_granted");
    let mut b = run(&place, "b", COMMAND);
    let waits = b.event("lease_waiting");
    assert_eq!(
        (&waits["lease"], &waits["term"], &waits["reason"]),
        (&"nightly".into(), &1.into(), &"`a` holds it".into())
    );
    eventually("the first run", || (runs(&place) == "a 1 nightly\n").then_some(()));

    a.kill();
    let granted = b.event("lease_granted");
    assert_eq!(granted["term"], 2);
    assert!(place.strays_of("a").is_empty());
    eventually("the second run", || (runs(&place) == "a 1 nightly\nb 2 nightly\n").then_some(()));
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(b.end().code(), Some(42));
    let last = b.rest().last().unwrap().clone();
    assert_eq!((&last["event"], &last["term"]), (&"lease_released".into(), &2.into()));
}

#[test]
fn a_signal_goes_to_the_command_and_the_lease_goes_on_once_it_has_ended() {
    let place = Place::new();
    let script = r#"trap 'exit 5' TERM; echo "$FAILOVER_NODE" >> "$0/runs"; while :; do sleep 0.05; done"#;
    let mut long = command(&place, "a", script);
    long = {
        let mut other = place.command();
        other.args(long.get_args().map(|arg| if arg == PACE[1] { "60s".as_ref() } else { arg }));
        other
    };
    let mut a = Process::start("a", long);
    eventually("the first run", || (runs(&place) == "a\n").then_some(()));
    let mut b = run(&place, "b", script);
    b.event("lease_waiting");
    let asked = now();
    a.signal(Signal::TERM);
    assert_eq!(a.end().code(), Some(5), "its own answer to SIGTERM");
    b.event("lease_granted");
    assert!(now().since(asked) < LIMIT, "it was released, not waited for");

    let mut c = run(&place, "c", "exit 0");
    c.event("lease_waiting");
    c.signal(Signal::TERM);
    assert_eq!(c.end().code(), Some(143), "it has run nothing, which is no success");
}

#[test]
fn a_lease_that_is_lost_stops_the_command_and_is_waited_for_anew() {
    let place = Place::new();
    let mut a = run(&place, "a", COMMAND);
    eventually("the first run", || (runs(&place) == "a 1 nightly\n").then_some(()));
    let mut b = run(&place, "b", COMMAND);
    b.event("lease_waiting");
    place.stop(&a);
    b.event("lease_granted");
    assert!(place.strays_of("a").is_empty());
    a.resume();
    a.event("lease_lost");
    eventually("the second run", || (runs(&place) == "a 1 nightly\nb 2 nightly\n").then_some(()));
    b.kill();
    a.event("lease_granted");
    eventually("the third run", || (runs(&place) == "a 1 nightly\nb 2 nightly\na 3 nightly\n").then_some(()));
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(a.end().code(), Some(42));
}

#[test]
fn the_commands_output_is_its_own() {
    let place = Place::new();
    let mut human = place.command();
    human.args(["run", "a", "--lease", "x", "--", "sh", "-c", "echo out; echo err >&2"]);
    let output = human.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("err\n") && errors.contains("lease_granted lease=x term=1: "), "{errors}");

    let output = command(&place, "a", "echo out; echo err >&2").stdin(Stdio::null()).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("out\n"));
}

#[test]
fn a_death_by_signal_and_a_missing_program_end_as_in_a_shell() {
    let place = Place::new();
    assert_eq!(command(&place, "a", "kill -KILL $$").output().unwrap().status.code(), Some(137));
    let output = place.ctl(["run", "a", "--lease", "nightly", "--", "no-such-program-anywhere"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot run `no-such-program-anywhere`"));
}
