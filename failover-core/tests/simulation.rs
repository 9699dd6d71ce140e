//! The simulation in the normal test run: see `failover_core::testkit::sim` for what it models and how to run more of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use failover_core::testkit::sim::{self, Coverage, Options, Violation};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name} is `{text}`, and must be a number: {e}")))
}

/// Runs the schedules on every core; gives the counts, and the first violation of each invariant that broke.
fn run(from: u64, schedules: u64) -> (Coverage, BTreeMap<&'static str, (u64, Box<Violation>)>) {
    let next = AtomicU64::new(from);
    let enough = AtomicBool::new(false);
    let coverage = Mutex::new(Coverage::default());
    let broken = Mutex::new(BTreeMap::new());
    let work = || {
        let mut counted = Coverage::default();
        while !enough.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + schedules {
                break;
            }
            match sim::run(seed, Options::default()) {
                Ok(report) => counted.add(&report.coverage),
                Err(violation) => {
                    let mut broken = broken.lock().unwrap();
                    let name = violation.invariant;
                    let (count, _) = broken.entry(name).or_insert((0, violation));
                    *count += 1;
                    // One may hide others: a few are worth the wait.
                    enough.store(*count >= 20, Ordering::Relaxed);
                }
            }
        }
        coverage.lock().unwrap().add(&counted);
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    (coverage.into_inner().unwrap(), broken.into_inner().unwrap())
}

#[test]
fn a_hundred_thousand_schedules_break_nothing() {
    if let Some(seed) = number("FAILOVER_SEED") {
        match sim::run(seed, Options::default().traced()) {
            Ok(report) => println!("{}\nseed {seed} breaks nothing", report.trace.join("\n")),
            Err(violation) => panic!("{violation}"),
        }
        return;
    }
    let schedules = number("FAILOVER_SCHEDULES").unwrap_or(100_000);
    let (coverage, broken) = run(number("FAILOVER_FROM").unwrap_or(0), schedules);
    println!("{coverage}");
    for (count, violation) in broken.values() {
        eprintln!("{violation}\n({count} schedules break {})\n", violation.invariant);
    }
    assert!(broken.is_empty(), "broken: {:?}", broken.keys());
    // With few schedules the rare things need not happen; with this many they do, or the simulation has lost its teeth.
    if schedules >= 10_000 {
        assert_eq!(sim::missing(&coverage), [""; 0], "these never happened");
    }
}

#[test]
fn the_same_seed_does_the_same_to_the_last_line() {
    for seed in 0..25 {
        let [once, again] = [(); 2].map(|()| sim::run(seed, Options::default().traced()).map_err(|v| v.to_string()));
        let (once, again) = (once.unwrap(), again.unwrap());
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert_eq!(once.digest, again.digest, "seed {seed}");
        assert!(once.trace.len() > 100, "seed {seed} does next to nothing");
    }
}

#[test]
fn different_seeds_do_different_things() {
    let digest = |seed| sim::run(seed, Options::default()).map_or(seed, |report| report.digest);
    let mut digests: Vec<u64> = (0..50).map(digest).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 50);
}
