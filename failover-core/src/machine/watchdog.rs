//! Whether a run keeps its promise: a job that tells no progress for as long as it promised to is stopped; silent for as long again, it
//! is cut off; if that does not end it either, it is reported and the node lets its own lease lapse (law 8).
//!
//! The owner's own machine watches, by one clock and without a call to the store: a node whose machine stands still loses its
//! lease, and then the active node moves all of its jobs anyway (law 11).

use std::time::Duration;

use crate::time::Time;

/// How far the watchdog has gone with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It runs.
    Watching,
    /// It was told to stop.
    Stopping,
    /// It was cut off.
    Cut,
    /// There is nothing more to do about it.
    Stuck,
}

/// What is to be done about a run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bite {
    /// Tell it to stop.
    Stop,
    /// It does not stop: say so, and nothing more, for it promised nothing.
    Report,
    /// Cut it off.
    Cut,
    /// Give up on it.
    GiveUp,
}

/// One run's watchdog.
#[derive(Debug, Clone)]
pub(super) struct Watchdog {
    /// What the job promised.
    promise: Option<Duration>,
    /// How long a run that promised nothing may take to stop before it is reported.
    patience: Duration,
    step: Step,
    /// The last sign of life, or the last bite.
    since: Time,
    /// Whether it lets a silent run be.
    resting: bool,
}

impl Watchdog {
    pub(super) fn new(now: Time, promise: Option<Duration>, patience: Duration) -> Self {
        Self { promise, patience, step: Step::Watching, since: now, resting: false }
    }

    /// The run has told something.
    pub(super) fn hear(&mut self, now: Time) {
        if matches!(self.step, Step::Watching | Step::Stopping) {
            self.since = now;
        }
    }

    /// The run was told to stop, by whomever.
    pub(super) fn stopping(&mut self, now: Time) {
        if self.step == Step::Watching {
            (self.step, self.since) = (Step::Stopping, now);
        }
    }

    /// Lets a silent run be from now on, or counts its silence anew. A run that was told to stop is watched all the same.
    pub(super) fn rest(&mut self, now: Time, resting: bool) {
        if self.step == Step::Watching && self.resting != resting {
            self.since = now;
        }
        self.resting = resting;
    }

    /// When it bites next unless it hears something.
    pub(super) fn deadline(&self) -> Option<Time> {
        let wait = match self.step {
            Step::Watching if self.resting => return None,
            Step::Watching => self.promise?,
            Step::Stopping => self.promise.unwrap_or(self.patience),
            Step::Cut => self.promise?,
            Step::Stuck => return None,
        };
        Some(self.since + wait)
    }

    /// What is to be done at `now`.
    pub(super) fn bite(&mut self, now: Time) -> Option<Bite> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        let (step, bite) = match (self.step, self.promise) {
            (Step::Watching, _) => (Step::Stopping, Bite::Stop),
            (Step::Stopping, Some(_)) => (Step::Cut, Bite::Cut),
            (Step::Stopping, None) => (Step::Stuck, Bite::Report),
            (Step::Cut | Step::Stuck, _) => (Step::Stuck, Bite::GiveUp),
        };
        (self.step, self.since) = (step, now);
        Some(bite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time::ZERO + SECOND * u32::try_from(seconds).unwrap()
    }

    #[test]
    fn a_silent_run_is_stopped_then_cut_off_then_given_up_a_promise_apart() {
        let mut dog = Watchdog::new(at(0), Some(SECOND * 10), SECOND * 99);
        dog.hear(at(5));
        assert_eq!((dog.bite(at(14)), dog.deadline()), (None, Some(at(15))));
        assert_eq!(dog.bite(at(15)), Some(Bite::Stop));
        assert_eq!((dog.bite(at(24)), dog.bite(at(25))), (None, Some(Bite::Cut)));
        assert_eq!((dog.bite(at(34)), dog.bite(at(35))), (None, Some(Bite::GiveUp)));
        assert_eq!((dog.bite(at(99)), dog.deadline()), (None, None));
    }

    #[test]
    fn a_run_that_tells_progress_while_it_stops_is_given_its_time_and_one_that_was_cut_off_is_not() {
        let mut dog = Watchdog::new(at(0), Some(SECOND * 10), SECOND * 99);
        dog.stopping(at(3));
        dog.hear(at(12));
        assert_eq!((dog.bite(at(21)), dog.bite(at(22))), (None, Some(Bite::Cut)));
        dog.hear(at(30));
        assert_eq!(dog.bite(at(32)), Some(Bite::GiveUp));
    }

    #[test]
    fn a_run_that_promised_nothing_is_never_stopped_and_reported_once_if_it_will_not_stop() {
        let mut dog = Watchdog::new(at(0), None, SECOND * 30);
        assert_eq!((dog.bite(at(1000)), dog.deadline()), (None, None));
        dog.stopping(at(1000));
        assert_eq!((dog.bite(at(1029)), dog.bite(at(1030))), (None, Some(Bite::Report)));
        assert_eq!((dog.bite(at(2000)), dog.deadline()), (None, None));
    }
}
