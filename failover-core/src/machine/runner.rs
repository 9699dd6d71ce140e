//! The jobs of this node: what runs, what has to start or stop, and what the store has to be told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::input::{Fault, JobEnd, Reply};
use super::mirror::Mirror;
use super::reason::Reason;
use super::watchdog::{Bite, Watchdog};
use crate::ids::{Epoch, JobId, Member};
use crate::job::{JobRecord, JobReport, JobStatus, MAX_BATCH, Phase};
use crate::time::Time;

#[derive(Debug, Clone)]
struct Run {
    epoch: Epoch,
    weight: u32,
    /// Why it was told to stop, once it was.
    stopping: Option<Reason>,
    began: bool,
    dog: Watchdog,
}

impl Run {
    fn stop(&mut self, now: Time, job: &JobId, reason: Reason, out: &mut Vec<Effect>) {
        self.stopping = Some(reason);
        self.dog.stopping(now);
        out.push(Effect::Stop { job: job.clone(), epoch: self.epoch, reason });
    }
}

/// The jobs of this node.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    me: Member,
    /// How long a run that was told to stop may take before that is told.
    patience: Duration,
    runs: BTreeMap<JobId, Run>,
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
    /// What the last look at the jobs was made on, if it left nothing to do.
    looked_at: Option<(u64, bool)>,
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
            runs: BTreeMap::new(),
            ended: BTreeMap::new(),
            unreported: BTreeMap::new(),
            sending: Vec::new(),
            report_at: Time::ZERO,
            granted_at: Time::ZERO,
            resting: false,
            synced: false,
            looked_at: None,
        }
    }

    /// The node holds its lease anew. Nothing begins before the jobs have been read under it.
    pub(super) fn begin_term(&mut self, now: Time) {
        self.granted_at = now;
        self.synced = false;
        self.looked_at = None;
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
        self.runs.values().fold(0, |sum, run| sum.saturating_add(run.weight))
    }

    /// Brings what runs in line with what the store says. Starts only if `may_begin`.
    pub(super) fn reconcile(&mut self, now: Time, mirror: &Mirror, may_begin: bool, out: &mut Vec<Effect>) {
        let looking_at = Some((mirror.version(), may_begin));
        if self.looked_at == looking_at {
            return;
        }
        self.ended.retain(|job, epoch| mirror.get(job).is_some_and(|r| r.epoch == *epoch && r.phase.is_owned()));
        if !self.synced && mirror.covers(self.granted_at) {
            self.synced = true;
            self.hand_back_earlier(mirror, out);
        }
        self.stop_what_moved(now, mirror, out);
        if !self.synced {
            return;
        }
        self.looked_at = looking_at;
        self.hand_back_unbegun(mirror, out);
        if !may_begin {
            return;
        }
        for record in mirror.own() {
            if self.is_to_begin(record) {
                self.unreported.remove(record.spec.id());
                let mut dog = Watchdog::new(now, record.spec.policy().progress, self.patience);
                dog.rest(now, self.resting);
                let run = Run { epoch: record.epoch, weight: record.spec.weight(), stopping: None, began: false, dog };
                self.runs.insert(record.spec.id().clone(), run);
                out.push(Effect::Start { job: Box::new(record.clone()) });
            }
        }
    }

    /// Lets the watchdogs bite that are due. Whether a run was given up on.
    pub(super) fn watch(&mut self, now: Time, out: &mut Vec<Effect>) -> bool {
        let mut gave_up = false;
        for (job, run) in &mut self.runs {
            let told = |reason| {
                let event = Event::new(EventKind::JobStuck, self.me.node.clone(), reason);
                Effect::Tell(event.job(job.clone(), run.epoch))
            };
            match run.dog.bite(now) {
                None => {}
                Some(Bite::Stop) => run.stop(now, job, Reason::NoProgress, out),
                Some(Bite::Report) => out.push(told(Reason::WillNotStop)),
                Some(Bite::Cut) => {
                    out.push(told(Reason::WillNotStop));
                    out.push(Effect::Cut { job: job.clone(), epoch: run.epoch });
                }
                Some(Bite::GiveUp) => {
                    out.push(told(Reason::CutInVain));
                    gave_up = true;
                }
            }
        }
        gave_up
    }

    /// Lets silent runs be from now on, or no more.
    pub(super) fn rest(&mut self, now: Time, resting: bool) {
        self.resting = resting;
        self.runs.values_mut().for_each(|run| run.dog.rest(now, resting));
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
    fn hand_back_unbegun(&mut self, mirror: &Mirror, out: &mut Vec<Effect>) {
        let mine = mirror.own().filter(|record| self.is_mine_unbegun(record));
        let unwanted = mine.filter_map(|record| {
            let reason = match record.phase {
                _ if record.retiring => Reason::Retiring,
                Phase::Draining => Reason::Draining,
                Phase::Queued | Phase::Assigned | Phase::Running | Phase::Completed | Phase::Failed | Phase::Lost => {
                    return None;
                }
            };
            Some((record.spec.id().clone(), record.epoch, reason))
        });
        for (id, epoch, reason) in unwanted.collect::<Vec<_>>() {
            self.hand_back(id, epoch, reason, out);
        }
    }

    fn is_mine_unbegun(&self, record: &JobRecord) -> bool {
        let id = record.spec.id();
        !self.runs.contains_key(id) && self.ended.get(id) != Some(&record.epoch)
    }

    fn hand_back(&mut self, id: JobId, epoch: Epoch, reason: Reason, out: &mut Vec<Effect>) {
        let event = Event::new(EventKind::JobStopped, self.me.node.clone(), reason);
        out.push(Effect::Tell(event.job(id.clone(), epoch)));
        self.ended.insert(id.clone(), epoch);
        self.unreported.insert(id, (epoch, JobStatus::Stopped));
    }

    fn stop_what_moved(&mut self, now: Time, mirror: &Mirror, out: &mut Vec<Effect>) {
        for (job, run) in self.runs.iter_mut().filter(|(_, run)| run.stopping.is_none()) {
            let reason = match mirror.get(job) {
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
        }
    }

    /// Stops everything that runs.
    pub(super) fn stop_all(&mut self, now: Time, reason: Reason, out: &mut Vec<Effect>) {
        for (job, run) in self.runs.iter_mut().filter(|(_, run)| run.stopping.is_none()) {
            run.stop(now, job, reason, out);
        }
    }

    pub(super) fn on_running(&mut self, now: Time, job: JobId, epoch: Epoch, out: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&job).filter(|run| run.epoch == epoch && !run.began) else { return };
        run.began = true;
        run.dog.hear(now);
        let event = Event::new(EventKind::JobStarted, self.me.node.clone(), Reason::HostStarted);
        out.push(Effect::Tell(event.job(job.clone(), epoch)));
        self.unreported.insert(job, (epoch, JobStatus::Running));
    }

    pub(super) fn on_progress(&mut self, now: Time, job: JobId, epoch: Epoch, text: String) {
        if let Some(run) = self.runs.get_mut(&job).filter(|run| run.epoch == epoch) {
            run.dog.hear(now);
            self.unreported.insert(job, (epoch, JobStatus::Progress(text)));
        }
    }

    pub(super) fn on_ended(&mut self, job: JobId, epoch: Epoch, end: JobEnd, out: &mut Vec<Effect>) {
        if self.runs.get(&job).is_none_or(|run| run.epoch != epoch) {
            return;
        }
        self.looked_at = None;
        let stopping = self.runs.remove(&job).and_then(|run| run.stopping);
        let (kind, reason, status, detail) = match (end, stopping) {
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
        self.runs.values().filter_map(|run| run.dog.deadline()).min()
    }
}
