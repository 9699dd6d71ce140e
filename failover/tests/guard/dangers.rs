//! What must keep the guard from acting: anything of its host that lives.

use std::time::Duration;

use failover::lease::Tenant;
use failover::time::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{Host, Sqlite, Store as _, gone, is_given_back, open, pid, run, stays_held, store, tenant};

/// What was started under the host's rights may do things under them, however the host `ends`: that gives what goes on.
fn nothing_is_given_back_before_the_end_of(start: impl FnOnce(&str) -> Host, ends: impl FnOnce(&mut Host) -> Pid) {
    run(async {
        let server = store::<Sqlite>();
        let backend = open(&server.url()).await;
        let mut host = start(&server.url());
        host.holds("lease/one");
        let goes_on = ends(&mut host);
        stays_held(&backend, "lease/one").await;
        kill_process(goes_on, Signal::KILL).unwrap();
        is_given_back(&backend, "lease/one").await;
    });
}

/// Of a child.
fn nothing_is_given_back_before_a_child_has_ended(start: impl FnOnce(&str) -> Host, ends: impl FnOnce(&mut Host)) {
    nothing_is_given_back_before_the_end_of(start, |host| {
        host.tell("child");
        let child = pid(host.hears("child ").parse().unwrap());
        ends(host);
        child
    });
}

#[test]
fn nothing_is_given_back_while_a_child_of_the_dead_host_lives() {
    nothing_is_given_back_before_a_child_has_ended(Host::start, Host::kill);
}

/// As on a machine that is so busy that the guard's process comes to nothing for a while.
#[test]
fn a_host_that_is_dead_before_its_guard_begins_is_guarded_all_the_same() {
    nothing_is_given_back_before_a_child_has_ended(Host::with_late_guard, Host::kill);
}

/// As a parent does that leaves its work to a child.
#[test]
fn nothing_is_given_back_while_a_child_goes_on_for_a_host_that_has_ended() {
    nothing_is_given_back_before_a_child_has_ended(Host::start, |host| {
        host.tell("exit");
        host.ends();
    });
}

/// As a process does that goes into the background.
#[test]
fn nothing_is_given_back_while_what_the_host_has_forked_goes_on_and_the_host_has_ended() {
    nothing_is_given_back_before_the_end_of(Host::start, |host| {
        host.tell("fork");
        let forked = pid(host.hears("forked ").parse().unwrap());
        host.ends();
        forked
    });
}

#[test]
fn a_host_that_stands_still_is_not_dead() {
    run(async {
        let server = store::<Sqlite>();
        let backend = open(&server.url()).await;
        let mut host = Host::start(&server.url());
        host.holds("lease/one");
        host.signal(Signal::STOP);
        stays_held(&backend, "lease/one").await;
        host.signal(Signal::CONT);
        host.tell("release lease/one");
        host.hears("released");
        // Killed where it stands, it is dead.
        host.holds("lease/two");
        host.signal(Signal::STOP);
        host.kill();
        is_given_back(&backend, "lease/two").await;
    });
}

/// The process lives, though nothing of what the guard knew of is left. What it held lapses; the guard ends, and has done nothing.
fn nothing_is_given_back_for_a_host_that_is_told_to(become_another: &str) {
    run(async {
        let server = store::<Sqlite>();
        let backend = open(&server.url()).await;
        let mut host = Host::start(&server.url());
        host.tell("acquire lease/one 4000");
        host.hears("term ");
        host.tell("tell lease/one next");
        host.hears("told");
        let clock = SystemClock::new();
        let start = clock.now();
        host.tell(become_another);
        host.hears("exec");
        gone(host.guard()).await;
        assert!(clock.now().since(start) >= Duration::from_millis(3900), "it ends once all has lapsed");
        // Given back, it would be reserved.
        assert_eq!(tenant(&backend, "lease/one").await, Tenant::Free);
    });
}

#[test]
fn a_host_that_becomes_another_program_is_not_dead() {
    nothing_is_given_back_for_a_host_that_is_told_to("exec");
}

/// As programs do that begin by closing whatever they did not open.
#[test]
fn a_host_that_becomes_another_program_and_closes_everything_is_not_dead() {
    nothing_is_given_back_for_a_host_that_is_told_to("exec closed");
}
