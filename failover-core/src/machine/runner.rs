//! The jobs of this node: what runs, what has to start or stop, and what the store has to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::input::{Fault, JobEnd, Reply};
use super::mirror::{Mirror, Touched};
use super::reason::Reason;
use super::runs::{Run, Runs};
use super::watchdog::{Bite, Watchdog};
use crate::ids::{Epoch, JobId, Member, NodeId};
use crate::job::{JobRecord, JobReport, JobStatus, MAX_BATCH, Phase};
use crate::time::Time;

/// The jobs of this node.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    me: Member,
    /// How long a run that was told to stop may take before that is told.
    patience: Duration,
    runs: Runs,
    /// The last epoch of each job that ended here: it is never begun again, however late the store learns of it.
    ended: BTreeMap<JobId, Epoch>,
    /// What the store does not know yet.
    unreported: BTreeMap<JobId, (Epoch, JobStatus)>,
    sending: Vec<JobReport>,
    report_at: Time,
    /// Since when this node holds its lease, and whether the jobs were read since.
    granted_at: Time,
    /// Whether silent runs are let be.
    resting: bool,
    synced: bool,
    /// The jobs that have to be looked at: by what was read of them, or by what became of them here.
    unlooked: Touched,
    /// Whether jobs might begin at the last look.
    may_begin: bool,
}

impl Runner {
    /// How long a run that promised nothing may take to stop, for those that begin from now on.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(super) fn new(me: Member, patience: Duration) -> Self {
        Self {
            me,
            patience,
            runs: Runs::default(),
            ended: BTreeMap::new(),
            unreported: BTreeMap::new(),
            sending: Vec::new(),
            report_at: Time::ZERO,
            granted_at: Time::ZERO,
            resting: false,
            synced: false,
            unlooked: Touched::All,
            may_begin: false,
        }
    }

    /// The node holds its lease anew. Nothing begins before the jobs have been read under it.
    pub(super) fn begin_term(&mut self, now: Time) {
        self.granted_at = now;
        self.synced = false;
        self.unlooked = Touched::All;
    }

    /// Since when a read of the jobs has to be, so that they may begin.
    pub(super) fn needs_read_since(&self) -> Option<Time> {
        (!self.synced).then_some(self.granted_at)
    }

    /// Whether nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether the store knows everything.
    pub(super) fn is_reported(&self) -> bool {
        self.unreported.is_empty()
    }

    pub(super) fn load(&self) -> u32 {
        self.runs.weight()
    }

    /// Brings what runs in line with what the store says. Starts only if `may_begin`.
    pub(super) fn reconcile(&mut self, now: Time, mirror: &mut Mirror, may_begin: bool, out: &mut Vec<Effect>) {
        mirror.touched(&mut self.unlooked);
        if may_begin != std::mem::replace(&mut self.may_begin, may_begin) {
            self.unlooked = Touched::All;
        }
        if self.unlooked.is_empty() {
            return;
        }
        let due: BTreeSet<JobId> = match std::mem::take(&mut self.unlooked) {
            Touched::These(jobs) => jobs,
            Touched::All => {
                let own = mirror.own().map(|record| record.spec.id());
                own.chain(self.runs.jobs()).chain(self.ended.keys()).cloned().collect()
            }
        };
        for job in &due {
            let ended = self.ended.get(job);
            if ended.is_some_and(|ended| mirror.get(job).is_none_or(|r| r.epoch != *ended || !r.phase.is_owned())) {
                self.ended.remove(job);
            }
        }
        if !self.synced && mirror.covers(self.granted_at) {
            self.synced = true;
            self.hand_back_earlier(mirror, out);
        }
        self.stop_what_moved(now, &due, mirror, out);
        if !self.synced {
            self.unlooked = Touched::All;
            return;
        }
        let own: Vec<&JobRecord> = due.iter().filter_map(|job| mirror.own_job(job)).collect();
        self.hand_back_unbegun(&own, out);
        if !may_begin {
            return;
        }
        for record in own {
            if self.is_to_begin(record) {
                self.unreported.remove(record.spec.id());
                let mut dog = Watchdog::new(now, record.spec.policy().progress, self.patience);
                dog.rest(now, self.resting);
                let run = Run { epoch: record.epoch, weight: record.spec.weight(), stopping: None, began: false, dog };
                self.runs.begin(record.spec.id().clone(), run);
                out.push(Effect::Start { job: Box::new(record.clone()) });
            }
        }
    }

    /// Lets the watchdogs bite that are due. Whether a run was given up on.
    pub(super) fn watch(&mut self, now: Time, out: &mut Vec<Effect>) -> bool {
        let mut gave_up = false;
        for job in self.runs.bitten(now) {
            let node = &self.me.node;
            gave_up |= self.runs.with(&job, |run| bite(now, node, &job, run, out)).unwrap_or(false);
        }
        gave_up
    }

    /// Lets silent runs be from now on, or no more.
    pub(super) fn rest(&mut self, now: Time, resting: bool) {
        if resting != std::mem::replace(&mut self.resting, resting) {
            self.runs.for_each(|_, run| run.dog.rest(now, resting));
        }
    }

    fn is_to_begin(&self, record: &JobRecord) -> bool {
        self.is_mine_unbegun(record) && matches!(record.phase, Phase::Assigned | Phase::Running) && !record.retiring
    }

    /// Jobs that were this member's before it held its present lease are not begun under it: whoever was active in between may
    /// have decided to move them, and that decision may still be under way to the store. Handed back, they move by a later one.
    fn hand_back_earlier(&mut self, mirror: &Mirror, out: &mut Vec<Effect>) {
        let mine = mirror.own().filter(|record| self.is_mine_unbegun(record));
        for (id, epoch) in mine.map(|record| (record.spec.id().clone(), record.epoch)).collect::<Vec<_>>() {
            self.hand_back(id, epoch, Reason::FromEarlierTerm, out);
        }
    }

    /// Jobs that were drained or removed before they could begin have nobody to stop them: without this they would keep their
    /// owner for ever.
    fn hand_back_unbegun(&mut self, own: &[&JobRecord], out: &mut Vec<Effect>) {
        for record in own {
            let reason = match record.phase {
                _ if record.retiring => Reason::Retiring,
                Phase::Draining => Reason::Draining,
                Phase::Queued | Phase::Assigned | Phase::Running | Phase::Completed | Phase::Failed | Phase::Lost => {
                    continue;
                }
            };
            if self.is_mine_unbegun(record) {
                self.hand_back(record.spec.id().clone(), record.epoch, reason, out);
            }
        }
    }

    fn is_mine_unbegun(&self, record: &JobRecord) -> bool {
        let id = record.spec.id();
        !self.runs.has(id) && self.ended.get(id) != Some(&record.epoch)
    }

    fn hand_back(&mut self, id: JobId, epoch: Epoch, reason: Reason, out: &mut Vec<Effect>) {
        let event = Event::new(EventKind::JobStopped, self.me.node.clone(), reason);
        out.push(Effect::Tell(event.job(id.clone(), epoch)));
        self.ended.insert(id.clone(), epoch);
        self.unreported.insert(id, (epoch, JobStatus::Stopped));
    }

    fn stop_what_moved(&mut self, now: Time, due: &BTreeSet<JobId>, mirror: &Mirror, out: &mut Vec<Effect>) {
        for job in due {
            self.runs.with(job, |run| {
                let reason = match mirror.get(job) {
                    _ if run.stopping.is_some() => None,
                    None => Some(Reason::Retiring),
                    Some(r) if r.epoch < run.epoch => None,
                    Some(r) if r.epoch != run.epoch || r.owner.as_ref() != Some(&self.me) => Some(Reason::MovedAway),
                    Some(r) if r.retiring => Some(Reason::Retiring),
                    Some(r) if r.phase == Phase::Draining => Some(Reason::Draining),
                    Some(_) => None,
                };
                if let Some(reason) = reason {
                    run.stop(now, job, reason, out);
                }
            });
        }
    }

    /// Stops everything that runs.
    pub(super) fn stop_all(&mut self, now: Time, reason: Reason, out: &mut Vec<Effect>) {
        self.runs.for_each(|job, run| {
            if run.stopping.is_none() {
                run.stop(now, job, reason, out);
            }
        });
    }

    pub(super) fn on_running(&mut self, now: Time, job: JobId, epoch: Epoch, out: &mut Vec<Effect>) {
        let begins = self.runs.hear(now, &job, epoch, |run| !std::mem::replace(&mut run.began, true));
        if begins {
            let event = Event::new(EventKind::JobStarted, self.me.node.clone(), Reason::HostStarted);
            out.push(Effect::Tell(event.job(job.clone(), epoch)));
            self.unreported.insert(job, (epoch, JobStatus::Running));
        }
    }

    pub(super) fn on_progress(&mut self, now: Time, job: JobId, epoch: Epoch, text: String) {
        if self.runs.hear(now, &job, epoch, |_| true) {
            self.unreported.insert(job, (epoch, JobStatus::Progress(text)));
        }
    }

    pub(super) fn on_ended(&mut self, job: JobId, epoch: Epoch, end: JobEnd, out: &mut Vec<Effect>) {
        let Some(run) = self.runs.end(&job, epoch) else { return };
        self.unlooked.add(&job);
        let (kind, reason, status, detail) = match (end, run.stopping) {
            (JobEnd::Completed, _) => (EventKind::JobCompleted, Reason::HostCompleted, JobStatus::Completed, None),
            // Placed again where it hangs it would hang again: as a failure it is moved.
            (JobEnd::Stopped | JobEnd::Failed(_), Some(Reason::NoProgress)) => {
                let text = Reason::NoProgress.text().to_owned();
                (EventKind::JobFailed, Reason::NoProgress, JobStatus::Failed(text), None)
            }
            (JobEnd::Stopped | JobEnd::Failed(_), Some(why)) => (EventKind::JobStopped, why, JobStatus::Stopped, None),
            (JobEnd::Failed(text), None) => {
                (EventKind::JobFailed, Reason::HostFailed, JobStatus::Failed(text.clone()), Some(text))
            }
            // Placed again at once it would stop again at once: as a failure it is given time.
            (JobEnd::Stopped, None) => {
                let text = "it stopped without being asked to".to_owned();
                (EventKind::JobFailed, Reason::HostStopped, JobStatus::Failed(text), None)
            }
        };
        let mut event = Event::new(kind, self.me.node.clone(), reason).job(job.clone(), epoch);
        if let Some(detail) = detail {
            event = event.detail(detail);
        }
        out.push(Effect::Tell(event));
        self.ended.insert(job.clone(), epoch);
        self.unreported.insert(job, (epoch, status));
    }

    /// The reports to send at `now`, if any are due and none are under way.
    pub(super) fn poll(&mut self, now: Time) -> Option<Call> {
        if self.unreported.is_empty() || now < self.report_at {
            return None;
        }
        let reports = self.unreported.iter().take(MAX_BATCH).map(|(job, (epoch, status))| JobReport {
            job: job.clone(),
            member: self.me.clone(),
            epoch: *epoch,
            status: status.clone(),
        });
        self.sending = reports.collect();
        Some(Call::Report(self.sending.clone()))
    }

    /// Takes in how the last reports came out. A stale one is settled like an accepted one: the job is not this node's any more.
    pub(super) fn on_reported(&mut self, outcome: &Result<Reply, Fault>, retry_at: Time) {
        let sent = std::mem::take(&mut self.sending);
        if matches!(outcome, Ok(Reply::Reported(_))) {
            for report in sent {
                if self.unreported.get(&report.job) == Some(&(report.epoch, report.status)) {
                    self.unreported.remove(&report.job);
                }
            }
        } else {
            self.report_at = retry_at;
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        (!self.unreported.is_empty()).then_some(self.report_at)
    }

    /// When the next watchdog bites.
    pub(super) fn watch_deadline(&self) -> Option<Time> {
        self.runs.next_bite()
    }
}

/// Lets a run's watchdog bite, if it is due. Whether the run was given up on.
fn bite(now: Time, node: &NodeId, job: &JobId, run: &mut Run, out: &mut Vec<Effect>) -> bool {
    let (bite, epoch) = (run.dog.bite(now), run.epoch);
    let told = |reason| {
        let event = Event::new(EventKind::JobStuck, node.clone(), reason);
        Effect::Tell(event.job(job.clone(), epoch))
    };
    match bite {
        None => {}
        Some(Bite::Stop) => run.stop(now, job, Reason::NoProgress, out),
        Some(Bite::Report) => out.push(told(Reason::WillNotStop)),
        Some(Bite::Cut) => {
            out.push(told(Reason::WillNotStop));
            out.push(Effect::Cut { job: job.clone(), epoch });
        }
        Some(Bite::GiveUp) => out.push(told(Reason::CutInVain)),
    }
    bite == Some(Bite::GiveUp)
}
