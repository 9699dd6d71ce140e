//! The active role on its way: what the node that gives it up does, what the node that gets it does, and how it comes back.
//!
//! The lease is given to the named successor only after it is on record that the hand-over has begun, and after the host has stopped (law 8). That the host
//! has stopped is written beside the release and not before it: nothing depends on that step, for whoever is active next closes the switchover with it or without.
//! Where the target fails meanwhile, this node gives the lease to itself instead: it leads again under a term of its own, two round trips later.

use super::effect::Effect;
use super::reason::Reason;
use super::table::{Stage, Trigger};
use super::wishes::Attempt;
use super::{Machine, Purpose};
use crate::control::{SwitchPhase, SwitchWay, Switchover};
use crate::ids::{NodeId, Version};
use crate::lease::Lease;
use crate::state::Expect;
use crate::time::Time;

/// A switchover that this node is stepping down for.
#[derive(Debug, Clone)]
pub(super) struct Handover {
    wish: Switchover,
    version: Version,
    to: NodeId,
}

/// A node's place in the line for the active lease, by an operator's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// It is the one that is meant, or the one that falls back.
    Named,
    /// Another is.
    Behind,
    /// Nobody is.
    Nobody,
}

impl Handover {
    /// To whom the role is to go.
    pub(super) fn to(&self) -> &NodeId {
        &self.to
    }
}

impl Machine {
    /// Begins to step down for a switchover that is on record as started.
    pub(super) fn step_down(&mut self, now: Time, version: Version, wish: &Switchover, out: &mut Vec<Effect>) {
        let Some(to) = wish.to.clone() else { return };
        self.wishes.handover = Some(Handover { wish: wish.clone(), version, to });
        self.fire(now, Trigger::StepDown, out);
    }

    /// Gives the active lease on, now that the host has stopped. It is sent before what tells of it.
    pub(super) fn give_on(&mut self, now: Time, lease: Lease, out: &mut Vec<Effect>) {
        let (successor, released) = self.heir(now);
        self.active.claim.release(now, successor);
        if let Some((ticket, call)) = self.active.claim.poll(now) {
            self.call(now, Purpose::Active(ticket), call, out);
        }
        if let Some((version, attempt)) = released {
            self.write_wish(now, Expect::Version(version), attempt, lease, out);
        }
    }

    /// To whom the lease goes, and what to write about that.
    fn heir(&mut self, now: Time) -> (Option<NodeId>, Option<(Version, Attempt)>) {
        let Some(handover) = self.wishes.handover.take() else { return (self.successor.take(), None) };
        if self.stage != Stage::Demoting {
            // It has to go faster: whoever takes over closes the switchover.
            return (Some(handover.to), None);
        }
        let withdrawn = self.wishes.is_replaced(&handover.wish).then_some(Reason::WishWithdrawn);
        if let Some(reason) = withdrawn.or_else(|| self.unfit(&handover.to)) {
            return (Some(self.take_back(now, &handover, reason)), None);
        }
        let (Handover { wish, version, to }, me) = (handover, self.config.member.node.clone());
        let took = self.wishes.known_for(now, &wish);
        (Some(to), Some((version, Attempt::on(now, wish, took).step(SwitchPhase::Released, &me, Reason::HostDemoted))))
    }

    /// Whether the role is on its way to another: no call of less weight is to be in the way of that one.
    pub(super) fn gives_away(&self) -> bool {
        let claim = &self.active.claim;
        claim.is_releasing() || (matches!(self.stage, Stage::Demoting | Stage::Leaving) && !claim.is_idle())
    }

    /// The role stays here: the lease is given to this very node, and comes back under a higher term.
    fn take_back(&mut self, now: Time, handover: &Handover, reason: Reason) -> NodeId {
        self.wishes.back = Some((handover.wish.id.clone(), reason, now + self.timing.ttl()));
        self.config.member.node.clone()
    }

    /// Whether an operator's wish calls this node to the active lease.
    pub(super) fn called(&self, now: Time) -> Call {
        let me = Some(&self.config.member.node);
        if self.wishes.back.as_ref().is_some_and(|(_, _, until)| now < *until) {
            return Call::Named;
        }
        let Some(wish) = self.wishes.open() else { return Call::Nobody };
        match wish.way {
            SwitchWay::Planned if !wish.phase.is_under_way() => Call::Nobody,
            // Whoever gave the role up takes it back if the target does not take it in time.
            SwitchWay::Planned if wish.to.as_ref() == me || wish.from.as_ref() == me => Call::Named,
            SwitchWay::Activation if wish.to.as_ref() == me && wish.phase != SwitchPhase::Requested => Call::Named,
            SwitchWay::Planned | SwitchWay::Activation => Call::Behind,
        }
    }

    /// Does what a switchover asks of a node that is not active: prepare, or answer to an activation.
    pub(super) fn follow_wish(&mut self, now: Time, out: &mut Vec<Effect>) {
        if !matches!(self.stage, Stage::Inactive | Stage::Standby) {
            return;
        }
        let me = self.config.member.node.clone();
        let Some(wish) = self.wishes.open().filter(|wish| wish.to.as_ref() == Some(&me)) else { return };
        match (wish.way, wish.phase) {
            (SwitchWay::Planned, SwitchPhase::Preparing) => self.hooks.prepare(out),
            (SwitchWay::Activation, SwitchPhase::Requested) => {
                // Nobody leads who could answer, so the target does, under its own lease.
                let Some(lease) = self.node.claim.may_begin(now).cloned() else { return };
                let Some((version, wish)) = self.wishes.answerable(now) else { return };
                let took = self.wishes.known_for(now, &wish);
                let attempt = Attempt::on(now, Switchover { term: None, ..wish }, took);
                let attempt = match self.unable(&me) {
                    Some(reason) => attempt.step(SwitchPhase::Refused, &me, reason),
                    None => attempt.step(SwitchPhase::Checked, &me, Reason::TargetFit),
                };
                self.write_wish(now, Expect::Version(version), attempt, lease, out);
            }
            (
                SwitchWay::Planned | SwitchWay::Activation,
                SwitchPhase::Requested
                | SwitchPhase::Checked
                | SwitchPhase::Preparing
                | SwitchPhase::Started
                | SwitchPhase::Released
                | SwitchPhase::Done
                | SwitchPhase::Refused
                | SwitchPhase::Failed,
            ) => {}
        }
    }
}
