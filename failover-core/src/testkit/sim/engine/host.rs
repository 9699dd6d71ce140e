//! The host on each node: its hooks, its jobs, and how it carries out what the machine wants.

use std::time::Duration;

use super::{Engine, HostStep};
use crate::ids::{Epoch, JobId, LeaseName};
use crate::job::JobRecord;
use crate::machine::{Effect, HostInput, JobEnd};
use crate::testkit::sim::coverage::Count;
use crate::testkit::sim::plan::JobFate;
use crate::testkit::sim::scene::{Fact, HostScene, RightScene};
use crate::time::Time;

/// How a run stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    plan: usize,
    stopping: bool,
    /// Was told to stop and pays no heed.
    pub(super) deaf: bool,
    /// Does nothing any more.
    hanging: bool,
}

impl Engine {
    /// Carries out one effect.
    pub(super) fn perform(&mut self, node: usize, local: Time, effect: Effect) {
        self.show(node, &effect);
        self.observer.hear(&self.scene, &Fact::Wants { node, effect: &effect });
        match effect {
            Effect::Call { id, call } => self.send(node, local, id, call),
            Effect::Hold { .. } | Effect::Keep { .. } | Effect::Tell(_) => {}
            Effect::AskWitness => self.ask_witness(node),
            Effect::SwitchOff { target, order, .. } => self.order_off(node, order, target),
            Effect::CallOff { order } => self.call_off(node, order),
            Effect::Cancel { name, .. } => {
                if name == LeaseName::node(&self.setup.nodes[node].id) {
                    for (job, epoch) in self.runs(node) {
                        self.stop(node, &job, epoch);
                    }
                }
                if name == LeaseName::active() {
                    self.cut_responses(node);
                }
            }
            Effect::Drop { name } => {
                if name == LeaseName::node(&self.setup.nodes[node].id) {
                    self.cut(node);
                }
            }
            Effect::Prepare => self.host(self.setup.hooks.prepare, node, HostStep::Prepared),
            Effect::Promote { .. } => {
                let takes = self.setup.hooks.promote;
                if let Some(process) = self.nodes[node].process.as_mut() {
                    process.promoted_at = self.scene.now + takes;
                }
                self.host(takes, node, HostStep::Promoted);
            }
            Effect::Demote => {
                let promoted_at = self.nodes[node].process.as_ref().map_or(Time::ZERO, |p| p.promoted_at);
                let wait = promoted_at.since(self.scene.now);
                self.host(wait + self.setup.hooks.demote, node, HostStep::Demoted);
            }
            Effect::Start { job } => self.begin(node, &job),
            Effect::Stop { job, epoch, .. } => self.stop(node, &job, epoch),
            Effect::Cut { job, epoch } => self.cut_off(node, job, epoch),
            Effect::Respond { action, attempt, incident } => self.respond(node, &action, attempt, incident.member()),
            Effect::Finish(finish) => {
                if let Some(process) = self.nodes[node].process.as_mut() {
                    process.finished = Some(finish);
                }
            }
        }
    }

    /// Makes the scene show what an effect makes true.
    fn show(&mut self, node: usize, effect: &Effect) {
        let clock = self.nodes[node].clock;
        let Some(scene) = self.scene.nodes[node].process.as_mut() else { return };
        match effect {
            Effect::Hold { lease, ends_at, .. } => {
                let right = RightScene { lease: lease.clone(), until: clock.when(*ends_at) };
                scene.rights.insert(lease.name.clone(), right);
            }
            Effect::Drop { name } => {
                scene.rights.remove(name);
                if *name == LeaseName::active() {
                    scene.host = HostScene::Quiet;
                }
            }
            Effect::Promote { .. } => scene.host = HostScene::Acts,
            Effect::Start { job } => {
                scene.runs.insert((job.spec.id().clone(), job.epoch));
            }
            Effect::Respond { action, attempt, incident } => {
                scene.responding.insert((incident.member(), action.clone(), *attempt));
            }
            Effect::Call { .. }
            | Effect::Cancel { .. }
            | Effect::Prepare
            | Effect::Demote
            | Effect::Stop { .. }
            | Effect::Cut { .. }
            | Effect::Keep { .. }
            | Effect::AskWitness
            | Effect::SwitchOff { .. }
            | Effect::CallOff { .. }
            | Effect::Tell(_)
            | Effect::Finish(_) => {}
        }
    }

    fn runs(&self, node: usize) -> Vec<(JobId, Epoch)> {
        self.nodes[node].process.as_ref().map(|process| process.runs.keys().cloned().collect()).unwrap_or_default()
    }

    fn begin(&mut self, node: usize, job: &JobRecord) {
        let Some(plan) = self.setup.jobs.iter().position(|plan| plan.spec.id() == job.spec.id()) else { return };
        let (id, epoch) = (job.spec.id().clone(), job.epoch);
        if let Some(process) = self.nodes[node].process.as_mut() {
            process.runs.insert((id.clone(), epoch), Run { plan, stopping: false, deaf: false, hanging: false });
        }
        self.observer.count(Count::Starts);
        let (starting, end) = (self.setup.jobs[plan].starting, self.setup.jobs[plan].end);
        self.host(starting, node, HostStep::Running { job: id.clone(), epoch });
        if let Some(promise) = job.spec.policy().progress {
            self.host(promise / 3, node, HostStep::Progress { job: id.clone(), epoch });
        }
        match end {
            JobFate::Never => {}
            JobFate::Completes(after) => {
                self.host(starting + after, node, HostStep::Ends { job: id, epoch, end: JobEnd::Completed });
            }
            JobFate::Breaks(after) => {
                let end = JobEnd::Failed("it broke".into());
                self.host(after, node, HostStep::Ends { job: id, epoch, end });
            }
            JobFate::Hangs(after) => self.host(after, node, HostStep::Hangs { job: id, epoch }),
        }
    }

    fn stop(&mut self, node: usize, job: &JobId, epoch: Epoch) {
        let healed = self.scene.healed.is_some();
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let Some(run) = process.runs.get_mut(&(job.clone(), epoch)).filter(|run| !run.stopping) else { return };
        if run.hanging {
            return;
        }
        let plan = &self.setup.jobs[run.plan];
        if plan.stubborn && !healed {
            run.deaf = true;
            return;
        }
        run.stopping = true;
        let takes = plan.stopping;
        self.host(takes, node, HostStep::Ends { job: job.clone(), epoch, end: JobEnd::Stopped });
    }

    /// The faults are over, so jobs heed what they were told.
    pub(super) fn listen(&mut self, node: usize) {
        for (job, epoch) in self.runs(node) {
            let run = self.nodes[node].process.as_mut().and_then(|p| p.runs.get_mut(&(job.clone(), epoch)));
            if run.is_some_and(|run| std::mem::take(&mut run.deaf)) {
                self.stop(node, &job, epoch);
            }
        }
    }

    /// One run is cut off where it stands: in vain, if it is a stubborn one that hangs.
    fn cut_off(&mut self, node: usize, job: JobId, epoch: Epoch) {
        let process = self.nodes[node].process.as_ref();
        let run = process.and_then(|process| process.runs.get(&(job.clone(), epoch)));
        if run.is_some_and(|run| run.hanging && self.setup.jobs[run.plan].stubborn) {
            return;
        }
        self.observer.count(Count::Cuts);
        let after = self.rng.between(Duration::ZERO, Duration::from_millis(3));
        self.host(after, node, HostStep::Ends { job, epoch, end: JobEnd::Stopped });
    }

    /// The node's right is over: nothing may run any more, whatever it is doing.
    fn cut(&mut self, node: usize) {
        let Some(scene) = self.scene.nodes[node].process.as_mut() else { return };
        for (job, epoch) in std::mem::take(&mut scene.runs) {
            self.observer.count(Count::Cuts);
            self.observer.hear(&self.scene, &Fact::RunEnded { node, job: &job, epoch });
            let after = self.rng.between(Duration::ZERO, Duration::from_millis(3));
            self.host(after, node, HostStep::Ends { job, epoch, end: JobEnd::Stopped });
        }
    }

    /// The host's work has come this far.
    pub(super) fn host_step(&mut self, node: usize, life: u32, step: HostStep) {
        if !self.is_life(node, life) {
            return;
        }
        let Some(step) = self.withholds(node, step) else { return };
        match step {
            HostStep::Prepared => self.tell(node, HostInput::Prepared),
            HostStep::Promoted => self.promoted(node),
            HostStep::Demoted => {
                if let Some(scene) = self.scene.nodes[node].process.as_mut() {
                    scene.host = HostScene::Quiet;
                }
                self.tell(node, HostInput::Demoted);
            }
            HostStep::Running { job, epoch } => {
                let runs = |run: &Run| !run.stopping;
                let process = self.nodes[node].process.as_ref();
                if process.and_then(|p| p.runs.get(&(job.clone(), epoch))).is_some_and(runs) {
                    self.tell(node, HostInput::JobRunning { job, epoch });
                }
            }
            HostStep::Progress { job, epoch } => self.progress(node, job, epoch),
            HostStep::Hangs { job, epoch } => {
                let healed = self.scene.healed.is_some();
                let process = self.nodes[node].process.as_mut();
                if let Some(run) = process.and_then(|p| p.runs.get_mut(&(job, epoch))).filter(|_| !healed) {
                    run.hanging = true;
                }
            }
            HostStep::Ends { job, epoch, end } => self.ends(node, job, epoch, end),
            HostStep::Feeds => self.feeds(node),
            HostStep::Recovers => self.recovers(node),
            HostStep::Clears(name) => self.tell(node, HostInput::FailureCleared { name }),
            HostStep::SwitchedOff { order, outcome } => self.switched_off(node, order, outcome),
            HostStep::Witness(reach) => self.tell(node, HostInput::Witness(reach)),
            HostStep::Responds { incident, action, attempt, outcome } => {
                self.responded(node, incident, action, attempt, outcome);
            }
        }
    }

    /// The run tells how far it has come, and will again, three times within its promise.
    fn progress(&mut self, node: usize, job: JobId, epoch: Epoch) {
        let process = self.nodes[node].process.as_ref();
        let run = process.and_then(|p| p.runs.get(&(job.clone(), epoch))).filter(|run| !run.hanging);
        let Some(promise) = run.and_then(|run| self.setup.jobs[run.plan].spec.policy().progress) else { return };
        let text = format!("at {:?}", self.scene.now);
        self.tell(node, HostInput::JobProgress { job: job.clone(), epoch, text });
        self.host(promise / 3, node, HostStep::Progress { job, epoch });
    }

    fn ends(&mut self, node: usize, job: JobId, epoch: Epoch, end: JobEnd) {
        // After the faults no job breaks any more.
        if matches!(end, JobEnd::Failed(_)) && self.scene.healed.is_some() {
            return;
        }
        let key = (job, epoch);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if process.runs.remove(&key).is_none() {
            return;
        }
        if let Some(scene) = self.scene.nodes[node].process.as_mut() {
            scene.runs.remove(&key);
        }
        let (job, epoch) = key;
        self.observer.hear(&self.scene, &Fact::RunEnded { node, job: &job, epoch });
        self.tell(node, HostInput::JobEnded { job, epoch, end });
    }
}
