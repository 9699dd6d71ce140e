//! Switchovers (law 13), step by step: each is written into the document before what it allows is done, so that whoever is active next knows
//! how far it came and closes it.

use std::time::Duration;

use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::handover::Handover;
use super::input::{Fault, Reply};
use super::lifecycle::PATIENCE;
use super::reason::Reason;
use super::table::{Stage, Trigger};
use super::{Machine, Purpose};
use crate::control::{self, SwitchCause, SwitchPhase, SwitchWay, Switchover};
use crate::ids::{NodeId, Version};
use crate::lease::Lease;
use crate::record;
use crate::state::{Expect, Written};
use crate::time::Time;

/// The last switchover, and this node's part in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    known: Option<(Version, Switchover)>,
    /// Since when this node knows of a wish, or when it took its own last step of it.
    since: Option<(String, Time)>,
    /// Somebody else has written meanwhile: nothing is decided before that is read.
    outdated: bool,
    /// What this node wrote last, until it is known to stand.
    attempt: Option<Attempt>,
    /// The version that is being written over.
    writing: Option<Version>,
    retry_at: Option<Time>,
    /// Until when the target of this wish may prepare.
    preparing: Option<(String, Time)>,
    /// The active role on its way from this node to another.
    pub(super) handover: Option<Handover>,
    /// Which wish this node took its role back from, why, and until when it seeks the lease for that.
    pub(super) back: Option<(String, Reason, Time)>,
}

/// A document as this node wants it to be, and what is news in it.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    document: Switchover,
    news: Vec<(SwitchPhase, Reason)>,
    decided_at: Time,
    /// How long the next step took.
    took: Option<Duration>,
}

/// Whether this node may write a wish of its own.
pub(super) enum Vacancy {
    /// Not while another is open.
    Taken,
    /// After a failure, at that moment.
    Later(Time),
    /// Over this.
    Now(Expect),
}

/// What the active node does about a wish next.
enum Next {
    Wait,
    /// The step before it stands already, whatever became of the answer.
    StepDown,
    Write(Box<Attempt>),
}

impl Next {
    fn write(attempt: Attempt) -> Self {
        Self::Write(Box::new(attempt))
    }
}

impl Attempt {
    pub(super) fn on(now: Time, document: Switchover, took: Option<Duration>) -> Self {
        Self { document, news: Vec::new(), decided_at: now, took }
    }

    pub(super) fn step(mut self, phase: SwitchPhase, me: &NodeId, reason: Reason) -> Self {
        self.document.step(phase, Some(me), reason.text(), self.took);
        // What is decided at the same moment takes no time of its own.
        self.took = self.took.map(|_| Duration::ZERO);
        self.news.push((phase, reason));
        self
    }
}

impl Wishes {
    /// The wish that is open, if there is one.
    pub(super) fn open(&self) -> Option<&Switchover> {
        self.known.as_ref().map(|(_, wish)| wish).filter(|wish| !wish.phase.is_over())
    }

    /// The last wish, open or over.
    pub(super) fn known(&self) -> Option<(Version, &Switchover)> {
        self.known.as_ref().map(|(version, wish)| (*version, wish))
    }

    /// Whether this node may write a wish of its own at `now`.
    pub(super) fn vacant(&self, now: Time) -> Vacancy {
        match self.retry_at.filter(|at| now < *at) {
            _ if self.writing.is_some() || self.outdated || self.open().is_some() => Vacancy::Taken,
            Some(retry_at) => Vacancy::Later(retry_at),
            None => Vacancy::Now(self.known().map_or(Expect::Absent, |(version, _)| Expect::Version(version))),
        }
    }

    /// The same and its version, if this node may write about it at `now`.
    pub(super) fn answerable(&mut self, now: Time) -> Option<(Version, Switchover)> {
        if self.writing.is_some() || self.outdated || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = None;
        self.known.clone().filter(|(_, wish)| !wish.phase.is_over())
    }

    /// When the active node has something to do about it by itself.
    pub(super) fn deadline(&self) -> Option<Time> {
        let open = self.open().filter(|_| self.writing.is_none() && !self.outdated)?;
        let preparing =
            self.preparing.as_ref().filter(|(id, _)| open.phase == SwitchPhase::Preparing && *id == open.id);
        [self.retry_at, preparing.map(|(_, until)| *until)].into_iter().flatten().min()
    }

    /// When `me`, which is not active, has something to write: the answer to an activation.
    pub(super) fn retry_at(&self, me: &NodeId) -> Option<Time> {
        let asked = (SwitchWay::Activation, SwitchPhase::Requested, Some(me));
        let is_asked = self.open().is_some_and(|wish| (wish.way, wish.phase, wish.to.as_ref()) == asked);
        self.retry_at.filter(|_| is_asked && self.writing.is_none() && !self.outdated)
    }

    /// Whether the wish has been withdrawn since, or another has taken its place.
    pub(super) fn is_replaced(&self, wish: &Switchover) -> bool {
        self.open().is_none_or(|open| open.id != wish.id)
    }

    /// How long this node has known of the wish without a step of its own.
    pub(super) fn known_for(&self, now: Time, wish: &Switchover) -> Option<Duration> {
        self.since.as_ref().filter(|(id, _)| *id == wish.id).map(|(_, since)| now.since(*since))
    }

    /// Until when the target may prepare, counted from when this was first asked.
    fn may_prepare_until(&mut self, now: Time, wish: &Switchover, patience: Duration) -> Time {
        match &self.preparing {
            Some((id, until)) if *id == wish.id => *until,
            _ => {
                let until = now + wish.within.unwrap_or(patience);
                self.preparing = Some((wish.id.clone(), until));
                until
            }
        }
    }
}

impl Machine {
    /// Takes in the document as it was read.
    pub(super) fn read_wish(&mut self, now: Time, version: Version, wish: Switchover, out: &mut Vec<Effect>) {
        if self.wishes.known.as_ref().is_some_and(|(known, _)| version <= *known) {
            return;
        }
        if let Some(attempt) = self.wishes.attempt.take() {
            // The answer to its own writing was lost; it stands all the same.
            if attempt.document == wish {
                self.steps_stand(&attempt, out);
            }
        }
        if self.wishes.since.as_ref().is_none_or(|(id, _)| *id != wish.id) {
            self.wishes.since = Some((wish.id.clone(), now));
        }
        let before = self.wishes.known.replace((version, wish)).map(|(_, before)| before);
        self.wishes.outdated = false;
        let Some((_, there)) = &self.wishes.known else { return };
        let me = Some(&self.config.member.node);
        let was_mine = before.filter(|before| !before.phase.is_over() && before.from.as_ref() == me);
        let is_closed_by_others = |before: &Switchover| {
            before.id != there.id || there.steps.last().is_some_and(|last| there.phase.is_over() && last.node.is_none())
        };
        if let Some(before) = was_mine.filter(is_closed_by_others) {
            self.tell_step(&before, SwitchPhase::Failed, Reason::WishWithdrawn, out);
        }
    }

    /// Takes the next step of a switchover that waits for one, as the active node.
    pub(super) fn grant_wish(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.stage != Stage::Active {
            return;
        }
        let Some((version, wish)) = self.wishes.answerable(now) else { return };
        let Some(lease) = self.steward.as_ref().map(|steward| steward.lease().clone()) else { return };
        match self.next_step(now, &wish, &lease) {
            Next::Wait => {}
            Next::StepDown => self.step_down(now, version, &wish, out),
            Next::Write(attempt) => self.write_wish(now, Expect::Version(version), *attempt, lease, out),
        }
    }

    fn next_step(&mut self, now: Time, wish: &Switchover, lease: &Lease) -> Next {
        let me = self.config.member.node.clone();
        let (is_mine, is_to_me) = (wish.term == Some(lease.term), wish.to.as_ref() == Some(&me));
        let patience = self.timing.ttl() * PATIENCE;
        let took = if is_mine || wish.phase == SwitchPhase::Requested {
            self.wishes.known_for(now, wish)
        } else {
            self.steward.as_ref().and_then(|steward| steward.archive.started())
        };
        let attempt = Attempt::on(now, Switchover { term: Some(lease.term), ..wish.clone() }, took);
        let fail = |attempt: Attempt, reason| Next::write(attempt.step(SwitchPhase::Failed, &me, reason));
        match (wish.way, wish.phase) {
            (_, SwitchPhase::Done | SwitchPhase::Refused | SwitchPhase::Failed) => Next::Wait,
            (SwitchWay::Planned, SwitchPhase::Requested) => {
                let mut attempt = attempt;
                let target = self.target(wish.to.as_ref());
                let target = match target.and_then(|to| self.unfit_for(wish, &to).map_or(Ok(to), Err)) {
                    Ok(target) => target,
                    Err(reason) => return Next::write(attempt.step(SwitchPhase::Refused, &me, reason)),
                };
                attempt.document.from = Some(me.clone());
                attempt.document.to = Some(target.clone());
                let attempt = attempt.step(SwitchPhase::Checked, &me, Reason::TargetFit);
                Next::write(if self.is_prepared(&target) {
                    attempt.step(SwitchPhase::Started, &me, Reason::TargetPrepared)
                } else {
                    self.wishes.may_prepare_until(now, wish, patience);
                    attempt.step(SwitchPhase::Preparing, &me, Reason::TargetPrepares)
                })
            }
            (SwitchWay::Planned, SwitchPhase::Checked | SwitchPhase::Preparing) if is_mine => {
                let until = self.wishes.may_prepare_until(now, wish, patience);
                let Some(to) = &wish.to else { return fail(attempt, Reason::NoTarget) };
                match self.unfit_for(wish, to) {
                    Some(reason) => fail(attempt, reason),
                    None if self.is_prepared(to) => {
                        Next::write(attempt.step(SwitchPhase::Started, &me, Reason::TargetPrepared))
                    }
                    None if now >= until => fail(attempt, self.unfit(to).unwrap_or(Reason::TargetNotPrepared)),
                    None => Next::Wait,
                }
            }
            (SwitchWay::Planned, SwitchPhase::Started) if is_mine && wish.from.as_ref() == Some(&me) => Next::StepDown,
            (SwitchWay::Planned | SwitchWay::Activation, _) if is_to_me => {
                Next::write(attempt.step(SwitchPhase::Done, &me, Reason::Promoted))
            }
            (SwitchWay::Planned, SwitchPhase::Checked | SwitchPhase::Preparing) => {
                fail(attempt, Reason::BegunByAnother)
            }
            (SwitchWay::Planned, SwitchPhase::Started | SwitchPhase::Released) => {
                let why = self.wishes.back.as_ref().filter(|(id, ..)| *id == wish.id).map(|(_, why, _)| *why);
                fail(attempt, why.unwrap_or(Reason::TargetDidNotTake))
            }
            (SwitchWay::Activation, SwitchPhase::Requested) => {
                Next::write(attempt.step(SwitchPhase::Refused, &me, Reason::ActiveAnswers))
            }
            (
                SwitchWay::Activation,
                SwitchPhase::Checked | SwitchPhase::Preparing | SwitchPhase::Started | SwitchPhase::Released,
            ) => fail(attempt, Reason::ActiveAnswers),
        }
    }

    /// Writes a step into the document, under the lease that gives the right to it.
    pub(super) fn write_wish(
        &mut self,
        now: Time,
        expect: Expect,
        attempt: Attempt,
        fence: Lease,
        out: &mut Vec<Effect>,
    ) {
        let Ok(value) = record::encode("control", &attempt.document) else { return };
        self.wishes.attempt = Some(attempt);
        self.wishes.writing = Some(match expect {
            Expect::Version(version) => version,
            Expect::Absent | Expect::Any => Version(0),
        });
        let key = control::switchover_key();
        self.call(now, Purpose::Wish, Call::Put { key, value: value.into_bytes(), expect, fence }, out);
    }

    /// The node a switchover leads to, or why there is none.
    fn target(&self, to: Option<&NodeId>) -> Result<NodeId, Reason> {
        let standby = || self.steward.as_ref().and_then(|steward| steward.standby()).map(|member| &member.node);
        let to = to.or_else(standby).ok_or(Reason::NoTarget)?;
        self.unfit_so_far(to).map_or_else(|| Ok(to.clone()), Err)
    }

    /// Why this wish must not lead there: a relief leads to better health, and may find that it has come too late.
    fn unfit_for(&self, wish: &Switchover, to: &NodeId) -> Option<Reason> {
        let no_relief = wish.cause == SwitchCause::Health && !self.is_healthier(to);
        self.unfit_so_far(to).or_else(|| no_relief.then_some(Reason::NoBetter))
    }

    /// Takes in whether a step was written.
    pub(super) fn on_wish_written(
        &mut self,
        now: Time,
        outcome: &Result<Reply, Fault>,
        retry_at: Time,
        out: &mut Vec<Effect>,
    ) {
        let over = self.wishes.writing.take();
        let stands = match outcome {
            Ok(Reply::Written(Written::Written(version))) => Some(*version),
            Ok(Reply::Written(Written::Fenced { .. })) => {
                self.fire(now, Trigger::FencedOff, out);
                None
            }
            // It was changed meanwhile, perhaps by the write whose answer was lost: decide again on what is there now.
            Ok(_) => {
                // Unless that was read before this answer came.
                let known = self.wishes.known.as_ref().map_or(Version(0), |(known, _)| *known);
                self.wishes.outdated = over == Some(known);
                self.cadence.control.hint(now, self.timing.beat());
                None
            }
            Err(_) => {
                self.wishes.retry_at = Some(retry_at);
                self.cadence.control.hint(now, self.timing.beat());
                None
            }
        };
        let Some(version) = stands else { return };
        let Some(attempt) = self.wishes.attempt.take() else { return };
        self.steps_stand(&attempt, out);
        let wish = attempt.document;
        self.wishes.known = Some((version, wish.clone()));
        if wish.phase == SwitchPhase::Started && self.stage == Stage::Active {
            self.step_down(now, version, &wish, out);
        }
    }

    /// What this node wrote is on record: it is told, and the jobs of whoever was active follow the role.
    fn steps_stand(&mut self, attempt: &Attempt, out: &mut Vec<Effect>) {
        let Attempt { document, news, decided_at, .. } = attempt;
        self.wishes.since = Some((document.id.clone(), *decided_at));
        for (phase, reason) in news {
            self.tell_step(document, *phase, *reason, out);
        }
        if document.phase == SwitchPhase::Done
            && let (Some(steward), Some(from)) = (&mut self.steward, document.from.clone())
        {
            steward.vacate(from);
        }
    }

    fn tell_step(&self, wish: &Switchover, phase: SwitchPhase, reason: Reason, out: &mut Vec<Effect>) {
        let kind = match phase {
            SwitchPhase::Requested => EventKind::ReliefRequested,
            SwitchPhase::Checked => EventKind::SwitchoverChecked,
            SwitchPhase::Preparing => EventKind::SwitchoverPreparing,
            SwitchPhase::Started => EventKind::SwitchoverStarted,
            SwitchPhase::Released => EventKind::SwitchoverReleased,
            SwitchPhase::Done => EventKind::SwitchoverDone,
            SwitchPhase::Refused => EventKind::SwitchoverRefused,
            SwitchPhase::Failed => EventKind::SwitchoverFailed,
        };
        let event = Event::new(kind, self.config.member.node.clone(), reason);
        let detail = match (phase, &wish.from, &wish.to) {
            (SwitchPhase::Done, Some(from), _) => format!("from {from}"),
            (_, _, Some(to)) => format!("to {to}"),
            (_, _, None) => String::new(),
        };
        let event = if detail.is_empty() { event } else { event.detail(detail) };
        out.push(Effect::Tell(event));
    }
}
