//! The active node's duties, one after the other: its fence, what it decides, whom it appoints, who is lost, what operators asked for.

use super::effect::Effect;
use super::event::{Event, EventKind};
use super::reason::Reason;
use super::steward::{Recording, Sight};
use super::table::Stage;
use super::{Machine, Purpose};
use crate::control::{Order, OrderPhase};
use crate::time::Time;

/// How many lost nodes' leases are asked for at the same time: the loss of a hundred nodes is no herd of calls (law 17).
pub(super) const FENCES_AT_ONCE: usize = 4;

impl Machine {
    pub(super) fn fences_open(&self) -> usize {
        self.calls.count(|purpose| matches!(purpose, Purpose::Fence(..)))
    }

    /// Tells of orders that are done or will not happen.
    pub(super) fn tell_orders(&self, over: Vec<Order>, out: &mut Vec<Effect>) {
        for order in over {
            let kind = if order.phase == OrderPhase::Done { EventKind::OrderDone } else { EventKind::OrderRefused };
            let event = Event::new(kind, self.config.member.node.clone(), Reason::OperatorAsked);
            let what = order.what.to_string();
            let detail = order.reason.map_or(what.clone(), |reason| format!("{what}: {reason}"));
            out.push(Effect::Tell(event.detail(detail)));
        }
    }

    /// Does the active node's duties.
    pub(super) fn steer(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.grant_wish(now, out);
        let own_capacity = self.may_place_here(now).then_some(self.config.capacity);
        let fences_open = self.fences_open();
        let version = self.config.version.clone();
        let at = self.stamp(now);
        let Some(steward) = &mut self.steward else { return };
        let mut calls = Vec::new();
        if let Some(call) = steward.install(now) {
            calls.push((Purpose::Assign, call));
        }
        if self.stage == Stage::Active {
            let sight =
                Sight { now, peers: &self.peers, roster: &self.roster, own_capacity, version: version.as_deref() };
            if let Some(call) = steward.decide(&sight, &mut self.mirror, &self.orders) {
                calls.push((Purpose::Assign, call));
            }
            steward.appoint(&sight, out);
            let free = FENCES_AT_ONCE.saturating_sub(fences_open);
            for (node, ticket, call) in steward.fencing.poll(now, &self.mirror, &self.peers, free) {
                calls.push((Purpose::Fence(node, ticket), call));
            }
            let (doubts, stonith, due) = (&self.doubts, &self.stonith, &self.config.responses);
            if !self.calls.is_open(|p| matches!(p, Purpose::Incident(_)))
                && let Some((incident, call)) = steward.next_incident(&sight, &Recording { at, doubts, stonith, due })
            {
                calls.push((Purpose::Incident(incident), call));
            }
            self.orders.expire(now);
            // Only of what was read after the fence: an earlier copy of the jobs may not know what an order has done already.
            let (is_ready, ground) = (steward.is_ready(&self.mirror), steward.ground_version());
            let (responses, chronicle) = steward.archive.books();
            if is_ready
                && let Some(call) = self.orders.answer(&self.mirror, ground, (responses, &self.responding), chronicle)
            {
                calls.push((Purpose::Orders, call));
            }
        }
        self.yield_to_version(now, out);
        for (purpose, call) in calls {
            self.call(now, purpose, call, out);
        }
        self.keep_archive(now, out);
    }
}
