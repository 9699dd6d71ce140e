//! What runs on this node, and whose watchdog is next to bite. Nothing here takes longer for the runs that nothing happens to.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::Effect;
use super::reason::Reason;
use super::watchdog::Watchdog;
use crate::ids::{Epoch, JobId};
use crate::time::Time;

/// A job that runs.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) epoch: Epoch,
    pub(super) weight: u32,
    /// Why it was told to stop, once it was.
    pub(super) stopping: Option<Reason>,
    pub(super) began: bool,
    pub(super) dog: Watchdog,
}

impl Run {
    pub(super) fn stop(&mut self, now: Time, job: &JobId, reason: Reason, out: &mut Vec<Effect>) {
        self.stopping = Some(reason);
        self.dog.stopping(now);
        out.push(Effect::Stop { job: job.clone(), epoch: self.epoch, reason });
    }
}

/// All jobs that run.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    all: BTreeMap<JobId, Run>,
    /// When the watchdog of each bites that has a promise to watch.
    bites: BTreeSet<(Time, JobId)>,
    weight: u64,
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn has(&self, job: &JobId) -> bool {
        self.all.contains_key(job)
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.all.keys()
    }

    pub(super) fn weight(&self) -> u32 {
        u32::try_from(self.weight).unwrap_or(u32::MAX)
    }

    pub(super) fn begin(&mut self, job: JobId, run: Run) {
        self.weight += u64::from(run.weight);
        self.bites.extend(run.dog.deadline().map(|at| (at, job.clone())));
        let former = self.all.insert(job, run);
        debug_assert!(former.is_none(), "a job runs once");
    }

    /// It does not run any more, if it runs under this epoch.
    pub(super) fn end(&mut self, job: &JobId, epoch: Epoch) -> Option<Run> {
        self.all.get(job).filter(|run| run.epoch == epoch)?;
        let run = self.all.remove(job)?;
        self.weight -= u64::from(run.weight);
        if let Some(at) = run.dog.deadline() {
            self.bites.remove(&(at, job.clone()));
        }
        Some(run)
    }

    /// Changes a run. There is no other way, so that its watchdog is never out of sight.
    pub(super) fn with<T>(&mut self, job: &JobId, change: impl FnOnce(&mut Run) -> T) -> Option<T> {
        let run = self.all.get_mut(job)?;
        let before = run.dog.deadline();
        let told = change(run);
        let after = run.dog.deadline();
        if before != after {
            if let Some(at) = before {
                self.bites.remove(&(at, job.clone()));
            }
            self.bites.extend(after.map(|at| (at, job.clone())));
        }
        Some(told)
    }

    /// Takes in a sign of life of a run under this epoch, unless it `counts` for none. Whether it was one.
    pub(super) fn hear(&mut self, now: Time, job: &JobId, epoch: Epoch, counts: impl FnOnce(&mut Run) -> bool) -> bool {
        let heard = self.with(job, |run| {
            let heard = run.epoch == epoch && counts(run);
            if heard {
                run.dog.hear(now);
            }
            heard
        });
        heard.unwrap_or(false)
    }

    /// Changes all of them.
    pub(super) fn for_each(&mut self, mut change: impl FnMut(&JobId, &mut Run)) {
        self.all.iter_mut().for_each(|(job, run)| change(job, run));
        let bites = self.all.iter().filter_map(|(job, run)| Some((run.dog.deadline()?, job.clone())));
        self.bites = bites.collect();
    }

    /// When the next watchdog bites.
    pub(super) fn next_bite(&self) -> Option<Time> {
        self.bites.first().map(|(at, _)| *at)
    }

    /// Whose watchdogs bite at `now`.
    pub(super) fn bitten(&self, now: Time) -> BTreeSet<JobId> {
        self.bites.iter().take_while(|(at, _)| *at <= now).map(|(_, job)| job.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Time {
        Time::ZERO + SECOND * seconds
    }

    fn job(number: u32) -> JobId {
        JobId::new(format!("j{number}")).unwrap()
    }

    fn run(now: u32, promise: Option<u32>) -> Run {
        let dog = Watchdog::new(at(now), promise.map(|seconds| SECOND * seconds), SECOND * 60);
        Run { epoch: Epoch(1), weight: 2, stopping: None, began: false, dog }
    }

    /// What a look at all of them would say.
    #[track_caller]
    fn check(runs: &Runs, wanted: Option<u32>) {
        let looked = runs.all.values().filter_map(|run| run.dog.deadline()).min();
        assert_eq!((runs.next_bite(), looked), (wanted.map(at), wanted.map(at)));
        assert_eq!(runs.weight(), 2 * u32::try_from(runs.all.len()).unwrap());
    }

    #[test]
    fn whatever_becomes_of_a_run_its_watchdog_is_in_sight() {
        let mut runs = Runs::default();
        check(&runs, None);
        runs.begin(job(1), run(0, Some(10)));
        runs.begin(job(2), run(5, Some(10)));
        runs.begin(job(3), run(0, None));
        check(&runs, Some(10));
        assert!(runs.hear(at(8), &job(1), Epoch(1), |_| true));
        check(&runs, Some(15));
        assert!(!runs.hear(at(9), &job(2), Epoch(2), |_| true), "of another epoch");
        assert!(!runs.hear(at(9), &job(4), Epoch(1), |_| true), "of none");
        assert!(!runs.hear(at(9), &job(2), Epoch(1), |_| false), "it does not count");
        check(&runs, Some(15));
        assert_eq!(runs.bitten(at(17)).len(), 1);
        assert_eq!(runs.bitten(at(18)), BTreeSet::from([job(1), job(2)]));
        let mut out = Vec::new();
        runs.with(&job(3), |run| run.stop(at(12), &job(3), Reason::Draining, &mut out));
        assert!(runs.end(&job(2), Epoch(2)).is_none(), "of another epoch");
        assert!(runs.end(&job(2), Epoch(1)).is_some());
        check(&runs, Some(18));
        runs.for_each(|_, run| run.dog.rest(at(13), true));
        check(&runs, Some(72));
        assert!(runs.end(&job(3), Epoch(1)).is_some());
        check(&runs, None);
    }
}
