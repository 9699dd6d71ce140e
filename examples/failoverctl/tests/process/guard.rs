//! The guard alone: what it does to a command, whatever happens to its node. The test plays the node.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use failover::time::Time;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{FAILOVERCTL, LIMIT, Place, eventually, now};

struct Guard {
    place: Place,
    process: Child,
    socket: BufReader<UnixStream>,
}

impl Guard {
    /// A guard of a shell script whose right lasts, for now, until then.
    fn of(script: &str, grace: Duration, stop_at: Time, ends_at: Time) -> Self {
        let place = Place::new();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(FAILOVERCTL);
        place.mark(&mut command);
        command.args(["__guard", "stderr", &grace.as_millis().to_string(), "sh", "-c", script]);
        command.current_dir(place.dir.path()).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let process = command.spawn().unwrap();
        // The command holds the other end, which must be the guard's alone.
        drop(command);
        ours.set_read_timeout(Some(LIMIT)).unwrap();
        let mut guard = Self { place, process, socket: BufReader::new(ours) };
        guard.until(stop_at, ends_at);
        let started = guard.line();
        assert!(started.starts_with("started "), "{started}");
        guard
    }

    /// A guard whose right lasts for long.
    fn at_ease(script: &str, grace: Duration) -> Self {
        Self::of(script, grace, now() + Duration::from_secs(100), now() + Duration::from_secs(100))
    }

    fn until(&mut self, stop_at: Time, ends_at: Time) {
        writeln!(self.socket.get_mut(), "until {} {}", stop_at.as_nanos(), ends_at.as_nanos()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until the script has written this file.
    fn wrote(&self, name: &str) {
        eventually(name, || self.place.path(name).exists().then_some(()));
    }

    fn gone(&self) {
        eventually("the end of every process", || self.place.strays().is_empty().then_some(()));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// A command whose processes ignore SIGTERM and have gone wherever a process can go.
const HYDRA: &str = r#"
trap "" TERM
sh -c 'trap "" TERM; while :; do sleep 1; done' &
setsid sh -c 'trap "" TERM; (while :; do sleep 1; done) & while :; do sleep 1; done' &
(setsid sh -c 'trap "" TERM; touch scattered; while :; do sleep 1; done' &)
while :; do sleep 1; done
"#;

#[test]
fn a_node_that_dies_takes_every_descendant_of_its_command_with_it() {
    let mut guard = Guard::at_ease(HYDRA, Duration::from_secs(100));
    guard.wrote("scattered");
    assert!(guard.place.strays().len() >= 5);
    guard.socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    guard.gone();
    assert!(guard.process.wait().unwrap().success());
}

#[test]
fn a_right_that_is_not_extended_ends_the_command_in_time() {
    let start = now();
    let (stop_at, ends_at) = (start + Duration::from_millis(600), start + Duration::from_millis(1200));
    let mut guard = Guard::of(HYDRA, Duration::from_secs(100), stop_at, ends_at);
    assert_eq!(guard.line(), "signalled 9 right-ended");
    assert!(now() >= ends_at, "the grace lasts as long as the right does");
    guard.gone();
}

#[test]
fn the_command_hears_of_the_end_before_it_comes() {
    let start = now();
    let (stop_at, ends_at) = (start + Duration::from_millis(600), start + Duration::from_secs(100));
    let mut guard =
        Guard::of("trap 'exit 7' TERM; while :; do sleep 0.1; done", Duration::from_secs(100), stop_at, ends_at);
    assert_eq!(guard.line(), "exited 7 right-ended");
    assert!(now() >= stop_at && now() < ends_at);
}

#[test]
fn an_extension_is_an_extension() {
    let start = now();
    let mut guard = Guard::of(
        "while [ ! -e go ]; do sleep 0.05; done; exit 4",
        Duration::from_secs(1),
        start + Duration::from_millis(500),
        start + Duration::from_secs(1),
    );
    guard.until(start + Duration::from_secs(90), start + Duration::from_secs(90));
    // Well past the first right.
    eventually("the first right's end", || (now() > start + Duration::from_millis(1300)).then_some(()));
    std::fs::write(guard.place.path("go"), "").unwrap();
    assert_eq!(guard.line(), "exited 4 own");
}

#[test]
fn a_planned_stop_is_asked_for_first() {
    let mut guard =
        Guard::at_ease("trap 'exit 0' TERM; touch ready; while :; do sleep 0.1; done", Duration::from_secs(100));
    guard.wrote("ready");
    writeln!(guard.socket.get_mut(), "stop").unwrap();
    assert_eq!(guard.line(), "exited 0 asked");
}

#[test]
fn a_command_that_ignores_the_asking_is_killed_after_the_grace() {
    let grace = Duration::from_millis(700);
    let mut guard = Guard::at_ease(HYDRA, grace);
    guard.wrote("scattered");
    let asked = now();
    writeln!(guard.socket.get_mut(), "stop").unwrap();
    assert_eq!(guard.line(), "signalled 9 asked");
    assert!(now().since(asked) >= grace);
    assert!(guard.place.strays().is_empty(), "it says so only once nothing is left");
}

#[test]
fn a_command_that_stands_still_can_be_stopped() {
    let mut guard = Guard::at_ease("touch ready; kill -STOP $$; sleep 100", Duration::from_secs(100));
    guard.wrote("ready");
    writeln!(guard.socket.get_mut(), "stop").unwrap();
    assert_eq!(guard.line(), "signalled 15 asked");
}

#[test]
fn a_command_that_ends_leaves_nothing_behind() {
    let script = "(setsid sh -c 'touch left; exec sleep 1000' &) ; sleep 1000 & while [ ! -e left ]; do sleep 0.05; done; exit 3";
    let mut guard = Guard::at_ease(script, Duration::from_secs(100));
    assert_eq!(guard.line(), "exited 3 own");
    assert!(guard.place.strays().is_empty());
}

#[test]
fn a_guard_that_is_killed_takes_its_command_with_it() {
    let mut guard = Guard::at_ease("touch ready; while :; do :; done", Duration::from_secs(100));
    guard.wrote("ready");
    guard.process.kill().unwrap();
    guard.gone();
}

#[test]
fn a_guard_is_not_stopped_by_what_stops_a_whole_session() {
    let mut guard = Guard::at_ease("while [ ! -e go ]; do sleep 0.05; done", Duration::from_secs(100));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(Pid::from_child(&guard.process), signal).unwrap();
    }
    std::fs::write(guard.place.path("go"), "").unwrap();
    assert_eq!(guard.line(), "exited 0 own");
}

#[test]
fn a_command_that_does_not_exist_says_so_as_shells_do() {
    let place = Place::new();
    for (program, code) in [("no-such-program-anywhere", 127), ("/", 126)] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(FAILOVERCTL);
        place.mark(&mut command);
        command
            .args(["__guard", "stderr", "100", program])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::null());
        let mut guard = command.spawn().unwrap();
        let end = now() + Duration::from_secs(100);
        writeln!(ours, "until {0} {0}", end.as_nanos()).unwrap();
        let lines: Vec<_> = BufReader::new(ours).lines().map_while(Result::ok).take(2).collect();
        assert_eq!(lines[1], format!("exited {code} own"));
        guard.wait().unwrap();
    }
}

#[test]
fn a_right_that_has_ended_already_starts_nothing() {
    let place = Place::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(FAILOVERCTL);
    place.mark(&mut command);
    let file = place.path("started");
    command.args(["__guard", "stderr", "100", "touch"]).arg(&file).stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut guard = command.spawn().unwrap();
    writeln!(ours, "until 5 6").unwrap();
    let line = BufReader::new(ours).lines().next().unwrap().unwrap();
    assert_eq!(line, "not-started the right had ended already");
    guard.wait().unwrap();
    assert!(!file.exists());
}
