use std::fmt;
use std::time::Duration;

use super::coverage::Coverage;
use super::engine::{DAWN, Engine};
use super::invariants;
use super::observer::Observer;
use super::schedule::Schedule;
use super::tamper::{Honest, Tamper};

/// How to run a schedule.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options {
    /// Makes the wrapper around machines and store; by default one that changes nothing.
    pub tamper: fn() -> Box<dyn Tamper>,
    /// Whether the report holds the whole trace.
    pub traced: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { tamper: || Box::new(Honest), traced: false }
    }
}

impl Options {
    /// With this wrapper.
    pub fn tampered(tamper: fn() -> Box<dyn Tamper>) -> Self {
        Self { tamper, ..Self::default() }
    }

    /// With the whole trace in the report.
    pub fn traced(self) -> Self {
        Self { traced: true, ..self }
    }
}

/// How a schedule went that broke nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The schedule's seed.
    pub seed: u64,
    /// The same for two runs in which the same things happened at the same moments.
    pub digest: u64,
    /// What happened how often.
    pub coverage: Coverage,
    /// Line by line, if it was asked for.
    pub trace: Vec<String>,
}

/// An invariant that a schedule broke.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Violation {
    /// The schedule's seed: it replays the violation.
    pub seed: u64,
    /// The invariant's name, which is also its file's.
    pub invariant: &'static str,
    /// When, since the start.
    pub at: Duration,
    /// What broke it.
    pub what: String,
    /// What happened before; everything, if it was asked for.
    pub trace: Vec<String>,
}

/// So many lines of the trace are shown with a violation.
const SHOWN: usize = 40;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "seed {} breaks {} at {:.6} s: {}", self.seed, self.invariant, self.at.as_secs_f64(), self.what)?;
        write!(f, "replay it with FAILOVER_SEED={} cargo test -p failover-core --test simulation", self.seed)
    }
}

impl std::error::Error for Violation {}

/// Runs the schedule of this seed.
///
/// # Errors
/// The first invariant that broke.
pub fn run(seed: u64, options: Options) -> Result<Report, Box<Violation>> {
    run_schedule(&Schedule::from_seed(seed), options)
}

/// Runs a schedule.
///
/// # Errors
/// The first invariant that broke.
pub fn run_schedule(schedule: &Schedule, options: Options) -> Result<Report, Box<Violation>> {
    let mut engine = play(schedule, options, options.traced);
    let Some(broken) = engine.observer.broken.take() else {
        let observer = engine.observer;
        let digest = observer.digest();
        let trace = observer.trace.unwrap_or_default();
        return Ok(Report { seed: schedule.seed, digest, coverage: observer.coverage, trace });
    };
    // Traces cost more than everything else, so only what is wrong is run with one: the same again, to the last nanosecond.
    let trace = if options.traced { engine.observer.trace } else { play(schedule, options, true).observer.trace };
    let mut trace = trace.unwrap_or_default();
    if !options.traced {
        trace.drain(..trace.len().saturating_sub(SHOWN));
    }
    let at = broken.at.since(DAWN);
    Err(Box::new(Violation { seed: schedule.seed, invariant: broken.law, at, what: broken.what, trace }))
}

/// First the faults, then none: it must heal within the bound, and stay well.
fn play(schedule: &Schedule, options: Options, traced: bool) -> Engine {
    let tamper = (options.tamper)();
    let mut engine = Engine::new(schedule.seed, schedule.setup.clone(), tamper, Observer::strict(traced));
    for (after, act) in &schedule.acts {
        engine.schedule(DAWN + *after, act.clone());
    }
    let heals = DAWN + schedule.heals;
    engine.schedule_heal(heals);
    let bound = heals + invariants::bound(&schedule.setup);
    engine.schedule_bound(bound);
    let starting = schedule.setup.jobs.iter().map(|job| job.starting).max().unwrap_or_default();
    let end = bound + schedule.setup.slowest.beat() * 3 + starting;
    engine.schedule_bound(end);
    engine.run_until(end);
    engine
}

/// The names of what a run counted as never having happened.
pub fn missing(coverage: &Coverage) -> Vec<&'static str> {
    coverage.counts().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
}
