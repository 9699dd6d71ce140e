//! What operators ask for: switchovers (law 13).

use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::input::{Fault, Reply};
use super::reason::Reason;
use super::table::{Stage, Trigger};
use super::{Machine, Purpose};
use crate::control::{self, SwitchPhase, Switchover};
use crate::ids::{NodeId, Version};
use crate::record;
use crate::state::{Expect, Written};
use crate::time::Time;

/// The last switchover, and what is being written about it.
#[derive(Debug, Clone)]
pub(super) struct Wishes {
    switchover: Option<(Version, Switchover)>,
    writing: Option<Switchover>,
    retry_at: Option<Time>,
}

impl Wishes {
    pub(super) fn new() -> Self {
        Self { switchover: None, writing: None, retry_at: None }
    }

    pub(super) fn read(&mut self, version: Version, switchover: Switchover) {
        if self.switchover.as_ref().is_none_or(|(known, _)| version > *known) {
            self.switchover = Some((version, switchover));
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.retry_at
    }
}

impl Machine {
    /// Answers a switchover that waits for an answer, as the active node.
    pub(super) fn grant_wish(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.stage != Stage::Active || self.wishes.writing.is_some() {
            return;
        }
        if self.wishes.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.wishes.retry_at = None;
        let Some((version, wish)) = self.wishes.switchover.clone().filter(|(_, wish)| !wish.phase.is_over()) else {
            return;
        };
        let Some(steward) = &mut self.steward else { return };
        let me = &self.config.member.node;
        let lease = steward.lease().clone();
        let mut answer = Switchover { term: Some(lease.term), ..wish.clone() };
        match wish.phase {
            SwitchPhase::Requested => match self.target(wish.to.as_ref()) {
                Ok(target) => {
                    answer.phase = SwitchPhase::Started;
                    answer.from = Some(me.clone());
                    answer.to = Some(target);
                }
                Err(reason) => refuse(&mut answer, reason),
            },
            // The answer to its own writing was lost; it stands all the same.
            SwitchPhase::Started if wish.term == Some(lease.term) && wish.from.as_ref() == Some(me) => {
                self.step_down(now, wish.to, out);
                return;
            }
            SwitchPhase::Started if wish.to.as_ref() == Some(me) => {
                answer.phase = SwitchPhase::Done;
                if let Some(from) = wish.from {
                    steward.vacate(from);
                }
            }
            SwitchPhase::Started => refuse(&mut answer, Reason::TargetDidNotTake),
            SwitchPhase::Done | SwitchPhase::Refused => return,
        }
        let Ok(value) = record::encode("control", &answer) else { return };
        self.wishes.writing = Some(answer);
        let key = control::switchover_key();
        let call = Call::Put { key, value: value.into_bytes(), expect: Expect::Version(version), fence: lease };
        self.call(now, Purpose::Wish, call, out);
    }

    /// The node a switchover leads to, or why there is none.
    fn target(&self, to: Option<&NodeId>) -> Result<NodeId, Reason> {
        let me = &self.config.member.node;
        let Some(to) = to else {
            let standby = self.steward.as_ref().and_then(|steward| steward.standby());
            return standby.map(|member| member.node.clone()).ok_or(Reason::NoTarget);
        };
        if to == me {
            return Err(Reason::TargetIsActive);
        }
        let peer = self.peers.get(to).ok_or(Reason::TargetUnknown)?;
        if peer.missing {
            return Err(Reason::TargetMissing);
        }
        if !peer.is_fit() || self.roster.in_maintenance(to) {
            return Err(Reason::TargetUnfit);
        }
        Ok(to.clone())
    }

    fn step_down(&mut self, now: Time, to: Option<NodeId>, out: &mut Vec<Effect>) {
        let event = Event::new(EventKind::SwitchoverStarted, self.config.member.node.clone(), Reason::OperatorAsked);
        let detail = to.as_ref().map_or_else(String::new, |to| format!("to {to}"));
        out.push(Effect::Tell(event.detail(detail)));
        self.successor = to;
        self.fire(now, Trigger::StepDown, out);
    }

    /// Takes in whether the answer to a switchover was written.
    pub(super) fn on_wish_written(
        &mut self,
        now: Time,
        outcome: &Result<Reply, Fault>,
        retry_at: Time,
        out: &mut Vec<Effect>,
    ) {
        let Some(answer) = self.wishes.writing.take() else { return };
        let node = self.config.member.node.clone();
        match outcome {
            Ok(Reply::Written(Written::Written(version))) => {
                self.wishes.read(*version, answer.clone());
                match answer.phase {
                    SwitchPhase::Started if self.stage == Stage::Active => self.step_down(now, answer.to, out),
                    SwitchPhase::Done => {
                        let event = Event::new(EventKind::SwitchoverDone, node, Reason::OperatorAsked);
                        out.push(Effect::Tell(
                            event.detail(answer.from.map_or_else(String::new, |f| format!("from {f}"))),
                        ));
                    }
                    SwitchPhase::Refused => {
                        let event = Event::new(EventKind::SwitchoverRefused, node, Reason::OperatorAsked);
                        out.push(Effect::Tell(event.detail(answer.reason.unwrap_or_default())));
                    }
                    SwitchPhase::Requested | SwitchPhase::Started => {}
                }
            }
            Ok(Reply::Written(Written::Fenced { .. })) => self.fire(now, Trigger::FencedOff, out),
            // It was changed meanwhile, perhaps by the write whose answer was lost: decide again on what is there now.
            Ok(_) => {
                self.wishes.switchover = None;
                self.cadence.control.hint(now, self.config.timing.beat());
            }
            Err(_) => {
                self.wishes.retry_at = Some(retry_at);
                self.cadence.control.hint(now, self.config.timing.beat());
            }
        }
    }
}

fn refuse(answer: &mut Switchover, reason: Reason) {
    answer.phase = SwitchPhase::Refused;
    answer.reason = Some(reason.text().to_owned());
}
