//! How fast the node is, live: the pace of the cluster's settings, followed without a restart. What keeps a held lease safe meanwhile is
//! decided in [`claim`](super::claim).

use std::time::Duration;

use super::Machine;
use super::effect::Effect;
use super::event::{Event, EventKind};
use super::reason::Reason;
use crate::control::Pace;
use crate::error::Invalid;
use crate::heartbeat::News;
use crate::time::Time;
use crate::timing::Timing;

/// From which age on heartbeats mean that their node is missing: by the slower one of this node's pace and its own, so that nobody who has not
/// heard of a faster one yet is missed for that. Advice, as ever: the lease decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overdue {
    pub(super) own: Duration,
    /// Of whoever is as fast as it was started.
    pub(super) started: Timing,
}

impl Overdue {
    pub(super) fn after(&self, news: &News) -> Duration {
        self.own.max(self.told(news))
    }

    /// By the pace that the news tell alone.
    pub(super) fn told(&self, news: &News) -> Duration {
        self.timing(news).missing()
    }

    fn timing(&self, news: &News) -> Timing {
        let timing = news.pace.and_then(|pace| self.started.at_pace(pace.beat, pace.ttl).ok());
        timing.unwrap_or(self.started)
    }
}

impl Machine {
    /// How fast it is now.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The deadline of the store calls it makes now: by the quickest timing that any of its rights still counts by.
    pub fn call_deadline(&self) -> Duration {
        let claims = [&self.node.claim, &self.active.claim].map(|claim| claim.pulse().call());
        claims.into_iter().fold(self.timing.call(), Duration::min)
    }

    pub(super) fn overdue(&self) -> Overdue {
        Overdue { own: self.timing.missing(), started: self.config.timing }
    }

    /// How long the leases of whoever tells these news last at least, unless they are renewed.
    pub(super) fn ttl_of(&self, news: &News) -> Duration {
        self.overdue().timing(news).ttl().min(self.timing.ttl())
    }

    /// Follows the pace of the settings it has just taken in, if it can.
    pub(super) fn follow_pace(&mut self, now: Time, wanted: Option<Pace>, out: &mut Vec<Effect>) {
        if wanted == self.pace {
            return;
        }
        match self.timing_at(wanted) {
            Ok(timing) => {
                self.pace = wanted;
                self.keep_time(now, timing, out);
            }
            Err(invalid) => {
                let node = self.config.member.node.clone();
                let event = Event::new(EventKind::SettingsRefused, node, Reason::PaceRefused);
                out.push(Effect::Tell(event.detail(invalid.to_string())));
            }
        }
    }

    fn timing_at(&self, pace: Option<Pace>) -> Result<Timing, Invalid> {
        let Some(Pace { beat, ttl }) = pace else { return Ok(self.config.timing) };
        if ttl < self.config.least_ttl {
            let rule = format!("this store keeps leases of at least {:?}", self.config.least_ttl);
            return Err(Invalid::new("ttl", format!("{ttl:?}"), rule));
        }
        self.config.timing.at_pace(beat, ttl)
    }

    fn keep_time(&mut self, now: Time, timing: Timing, out: &mut Vec<Effect>) {
        if timing == std::mem::replace(&mut self.timing, timing) {
            return;
        }
        self.node.claim.set_timing(now, timing);
        self.node.claim.set_patience(Some(timing.beat()));
        self.active.claim.set_timing(now, timing);
        self.runner.set_patience(timing.ttl() * super::lifecycle::PATIENCE);
        self.cadence.quicken(timing.beat());
        if let Some(steward) = &mut self.steward {
            steward.set_timing(now, timing);
        }
        let event = Event::new(EventKind::PaceChanged, self.config.member.node.clone(), Reason::SettingsSay);
        out.push(Effect::Tell(event.detail(format!("beat {:?}, ttl {:?}", timing.beat(), timing.ttl()))));
    }
}
