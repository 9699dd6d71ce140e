//! What the guard is told, and what it makes of that: hosts that use leases by hand.

use std::process::Command;

use failover::lease::{Acquired, Tenant};
use failover::time::{Clock as _, SystemClock};
use failover::{Incarnation, LeaseName, Member, NodeId, Timing};
use failover_testing::redis;
use rustix::process::{Signal, kill_process};

use crate::stage::{Host, LIMIT, Sqlite, Store as _, TTL, eventually, gone, is_given_back, is_held, open, run, store};

#[test]
fn what_a_dead_host_held_is_given_back_to_its_successor() {
    run(async {
        let server = store::<Sqlite>();
        let mut host = Host::start(&server.url());
        host.acquires("lease/one");
        host.tell("tell lease/one next");
        host.hears("told");
        let backend = open(&server.url()).await;
        host.kill();
        let Tenant::Reserved { successor, remaining } = is_given_back(&backend, "lease/one").await else {
            panic!("nobody was named")
        };
        assert_eq!(successor.as_str(), "next");
        assert!(
            remaining <= Timing::reservation(TTL),
            "a successor that is dead as well is waited for no longer than this"
        );
        gone(host.guard()).await;
    });
}

/// The reservation lapses by itself, long before the lease would have; whoever asks then has it.
#[test]
fn a_successor_that_never_comes_costs_a_third_of_a_ttl() {
    run(async {
        let server = store::<Sqlite>();
        let backend = open(&server.url()).await;
        let mut host = Host::start(&server.url());
        // Two thirds of it are longer than the patience here.
        host.tell("acquire lease/one 75000");
        host.hears("term ");
        host.tell("tell lease/one dead");
        host.hears("told");
        host.kill();
        is_given_back(&backend, "lease/one").await;
        let (name, clock) = (LeaseName::new("lease/one").unwrap(), SystemClock::new());
        let other = Member::new(NodeId::new("other").unwrap(), Incarnation::fresh());
        let end = clock.now() + LIMIT;
        loop {
            match backend.leases.acquire(&name, &other, TTL).await.unwrap() {
                Acquired::Granted(lease) => break assert_eq!(lease.term.0, 2),
                Acquired::Refused(view) => {
                    let Tenant::Reserved { remaining, .. } = view.tenant else { panic!("{view:?}") };
                    assert!(clock.now() < end, "still reserved");
                    clock.sleep_until(clock.now() + remaining).await;
                }
            }
        }
    });
}

#[test]
fn a_host_that_gave_everything_back_leaves_nothing_to_do() {
    run(async {
        let server = store::<Sqlite>();
        let backend = open(&server.url()).await;
        let mut host = Host::start(&server.url());
        host.holds("lease/one");
        host.tell("release lease/one");
        host.hears("released");
        // Somebody else has it by now. The guard was not told, and gives the old one back: nothing.
        let other = Member::new(NodeId::new("other").unwrap(), Incarnation::fresh());
        let name = LeaseName::new("lease/one").unwrap();
        let Acquired::Granted(lease) = backend.leases.acquire(&name, &other, TTL).await.unwrap() else { panic!() };
        host.tell("exit");
        host.ends();
        gone(host.guard()).await;
        let view = backend.leases.current(&name).await.unwrap();
        assert_eq!(view.term, lease.term);
        assert!(matches!(view.tenant, Tenant::Held { holder, .. } if holder == other));
    });
}

/// Of the same holder, under a later term.
#[test]
fn a_newer_term_that_the_guard_was_not_told_of_stays() {
    run(async {
        let server = store::<Sqlite>();
        let backend = open(&server.url()).await;
        let mut host = Host::start(&server.url());
        let older = host.acquires("lease/one");
        host.tell("tell lease/one");
        host.hears("told");
        host.tell("release lease/one");
        host.hears("released");
        let newer = host.acquires("lease/one");
        assert!(newer > older);
        host.kill();
        gone(host.guard()).await;
        assert!(is_held(&backend, "lease/one").await, "the guard gave back a term it was not told of");
    });
}

/// How many scripts a server has run.
fn calls(server: &redis::Redis) -> u64 {
    tokio::task::block_in_place(|| server.calls("evalsha"))
}

#[test]
fn a_store_that_is_away_when_the_host_dies_is_told_when_it_is_back() {
    run(async {
        let mut server = store::<redis::Redis>();
        let backend = open(&server.url()).await;
        let mut host = Host::start(&server.url());
        host.acquires("lease/one");
        let before = calls(&server);
        host.tell("tell lease/one");
        host.hears("told");
        // The guard is there, and its connections are warm.
        eventually("the guard calls", async || (calls(&server) >= before + 2).then_some(())).await;
        // What is asked of it meanwhile is lost, and this is longer than one call of the guard's: it has to be made again.
        server.kill();
        host.kill();
        let clock = SystemClock::new();
        clock.sleep_until(clock.now() + crate::stage::MEANWHILE * 2).await;
        tokio::task::block_in_place(|| server.start_again());
        is_given_back(&backend, "lease/one").await;
        gone(host.guard()).await;
    });
}

#[test]
fn what_stops_a_whole_session_does_not_stop_the_guard() {
    run(async {
        let server = store::<Sqlite>();
        let backend = open(&server.url()).await;
        let mut host = Host::start(&server.url());
        host.holds("lease/one");
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
            kill_process(host.guard(), signal).unwrap();
        }
        let session = |process| rustix::process::getsid(Some(process)).unwrap();
        assert_eq!(session(host.guard()), host.guard(), "a session of its own");
        host.kill();
        is_given_back(&backend, "lease/one").await;
    });
}

/// Law 19.
#[cfg(target_os = "linux")]
#[test]
fn the_address_is_in_neither_the_guards_arguments_nor_its_environment() {
    run(async {
        let server = store::<Sqlite>();
        let mut host = Host::start(&server.url());
        host.holds("lease/one");
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(format!("/proc/{}/{file}", host.guard)).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.is_empty() && !text.contains("store.db"), "{file}: {text}");
        }
    });
}

/// Whoever sets the variable by hand learns why his program does nothing.
#[test]
fn a_process_that_is_a_guard_of_nobody_ends() {
    let this = std::env::current_exe().unwrap();
    for (mark, code, says) in [("yes", 2, "not to be set by hand"), ("1", 0, "")] {
        let mut command = Command::new(&this);
        command.args(["a_host_process", "--exact", "--nocapture", "--test-threads=1"]);
        let out = command
            .env(crate::host::PART, "yes")
            .env("FAILOVER_GUARD", mark)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(code), "{out:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(says), "{out:?}");
    }
}
