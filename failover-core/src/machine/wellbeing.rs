//! What the host says of itself: named failures, and signs of life to its watchdog.
//!
//! A host that is hung loses its role: the machine ends what it does as the active node and does not renew the lease any more, so that the lease goes
//! to the standby at once if the host's `demote` returns, and lapses if it does not (law 8). Its jobs go on: each has its own promise of
//! progress ([`watchdog`](super::watchdog)), and a hung host is no sign that they are. It is given no new ones.

use std::time::Duration;

use super::Machine;
use super::effect::Effect;
use super::event::{Event, EventKind};
use super::input::HostInput;
use super::reason::Reason;
use super::table::Stage;
use crate::health::{Failure, Health};
use crate::ids::FailureName;
use crate::time::Time;

/// How well this node is.
#[derive(Debug, Clone)]
pub(super) struct Wellbeing {
    health: Health,
    /// Within which time the host feeds its watchdog, if it has one.
    limit: Option<Duration>,
    fed_at: Option<Time>,
}

impl Wellbeing {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { health: Health::default(), limit, fed_at: None }
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn is_hung(&self) -> bool {
        self.health.hung
    }

    /// When the host is hung unless it feeds its watchdog before.
    pub(super) fn deadline(&self) -> Option<Time> {
        if self.health.hung { None } else { Some(self.fed_at? + self.limit?) }
    }
}

impl Machine {
    /// Whether its host has not fed its watchdog in time.
    pub fn is_hung(&self) -> bool {
        self.wellbeing.is_hung()
    }

    /// Takes in how the host's work goes, and what it says of itself.
    pub(super) fn on_host(&mut self, now: Time, host: HostInput, out: &mut Vec<Effect>) {
        match host {
            HostInput::Prepared => self.hooks.on_prepared(out),
            HostInput::Promoted => self.hooks.on_promoted(),
            HostInput::PromotionRefused { why } => self.on_refused(why, out),
            HostInput::Replicated(standing) => self.standing = self.config.replicates.then_some(standing),
            HostInput::Demoted => self.hooks.on_demoted(),
            HostInput::JobRunning { job, epoch } => self.runner.on_running(now, job, epoch, out),
            HostInput::JobProgress { job, epoch, text } => self.runner.on_progress(now, job, epoch, text),
            HostInput::JobEnded { job, epoch, end } => self.runner.on_ended(job, epoch, end, out),
            HostInput::FailureReported { name, failure } => self.on_failure(&name, &failure, out),
            HostInput::FailureCleared { name } => self.on_cleared(&name, out),
            HostInput::NotKept(why) => self.on_not_kept(why, out),
            HostInput::Fed(at) => self.on_fed(now, at, out),
            HostInput::Witness(reach) => self.on_witness(reach),
            HostInput::SwitchedOff { order, outcome } => self.on_switched_off(now, order, outcome, out),
            HostInput::Responded { incident, action, attempt, outcome } => {
                self.on_responded(now, (incident, action), attempt, outcome);
            }
        }
    }

    fn on_failure(&mut self, name: &FailureName, failure: &Failure, out: &mut Vec<Effect>) {
        if self.wellbeing.health.report(name, failure) == Ok(true) {
            let (reason, weight) = match failure.weight {
                0 => (Reason::HostWarned, String::new()),
                weight => (Reason::HostReported, format!(" (weight {weight})")),
            };
            let event = Event::new(EventKind::FailureReported, self.config.member.node.clone(), reason);
            out.push(Effect::Tell(event.detail(format!("{name}: {}{weight}", failure.text))));
        }
    }

    fn on_cleared(&mut self, name: &FailureName, out: &mut Vec<Effect>) {
        if self.wellbeing.health.clear(name) {
            let event = Event::new(EventKind::FailureCleared, self.config.member.node.clone(), Reason::HostCleared);
            out.push(Effect::Tell(event.detail(name.to_string())));
        }
    }

    fn on_fed(&mut self, now: Time, at: Time, out: &mut Vec<Effect>) {
        self.wellbeing.fed_at = self.wellbeing.fed_at.max(Some(at));
        let in_time = self.wellbeing.limit.is_none_or(|limit| now < at + limit);
        if in_time && std::mem::take(&mut self.wellbeing.health.hung) {
            out.push(Effect::Tell(Event::new(EventKind::HostBack, self.config.member.node.clone(), Reason::HostFed)));
        }
    }

    /// Finds out a host that is hung. After what it was told: a sign of life may arrive together with its deadline.
    pub(super) fn watch_host(&mut self, now: Time, out: &mut Vec<Effect>) {
        let fed_at = *self.wellbeing.fed_at.get_or_insert(now);
        let Some(limit) = self.wellbeing.limit.filter(|_| !self.wellbeing.health.hung) else { return };
        if now >= fed_at + limit {
            self.wellbeing.health.hung = true;
            let event = Event::new(EventKind::HostHung, self.config.member.node.clone(), Reason::HostHung);
            out.push(Effect::Tell(event.detail(format!("for {limit:?}"))));
            // One that is stepping down as planned would keep the lease for as long as its work may take to stop.
            if matches!(self.stage, Stage::Demoting | Stage::Leaving) {
                self.active.claim.stop_renewing();
                self.lose_lead(Reason::HostHung, out);
            }
        }
    }
}
