//! A fence above what the lease store grants: the jobs or the documents are in another store than the leases, and one of the two was replaced.
//!
//! Whoever is elected finds itself fenced, gives up and is elected again. A term is never issued twice and only grows, so a grant below a fence
//! that this node has run into proves it: the lease goes back before the host hears of it, and the node asks again after a pause that doubles
//! (law 17). It ends when an operator has raised the lease store's floor.

use std::time::Duration;

use super::effect::Effect;
use super::event::{Event, EventKind};
use super::input::{Fault, Reply};
use super::lifecycle::PATIENCE;
use super::reason::Reason;
use super::table::Stage;
use super::{Machine, Purpose};
use crate::ids::Term;
use crate::job::Assigned;
use crate::state::{Deleted, Written};
use crate::time::Time;

/// What the node knows of fences above its terms.
#[derive(Debug, Clone, Default)]
pub(super) struct Standoff {
    /// The highest that it has run into as the active node.
    fence: Term,
    /// The one that it told of.
    told: Term,
    /// How often in a row it was granted a term below that.
    times: u32,
    /// Not before this again.
    until: Option<Time>,
}

impl Standoff {
    /// When it may ask for the active lease again, if it has to wait.
    pub(super) fn until(&self) -> Option<Time> {
        self.until
    }

    pub(super) fn expire(&mut self, now: Time) {
        self.until = self.until.filter(|until| now < *until);
    }

    /// The pause after so many grants in vain: half a ttl, then twice as long each time, as long as work may take to stop at most.
    fn pause(&self, ttl: Duration) -> Duration {
        (ttl / 2 * 2_u32.saturating_pow(self.times.saturating_sub(1).min(8))).min(ttl * PATIENCE)
    }
}

impl Machine {
    /// Notes the fence that a call under the active lease has run into.
    pub(super) fn note_fence(&mut self, purpose: &Purpose, outcome: &Result<Reply, Fault>) {
        // A wish may be answered under the node's own lease, whose terms are others.
        if *purpose == Purpose::Wish {
            return;
        }
        if let Ok(
            Reply::Assigned(Assigned::Fenced { current })
            | Reply::Written(Written::Fenced { current })
            | Reply::Deleted(Deleted::Fenced { current }),
        ) = outcome
        {
            self.standoff.fence = self.standoff.fence.max(*current);
        }
    }

    /// Whether the active lease that was just granted is worth nothing, and so is on its way back.
    pub(super) fn stands_off(&mut self, now: Time, term: Term, out: &mut Vec<Effect>) -> bool {
        if !matches!(self.stage, Stage::Inactive | Stage::Standby) {
            return false;
        }
        let standoff = &mut self.standoff;
        if term > standoff.fence {
            standoff.times = 0;
            return false;
        }
        standoff.times = standoff.times.saturating_add(1);
        let pause = standoff.pause(self.timing.ttl());
        standoff.until = Some(now + self.jitter.upto(pause));
        if standoff.told != standoff.fence {
            standoff.told = standoff.fence;
            let event =
                Event::new(EventKind::TakeoverWithheld, self.config.member.node.clone(), Reason::FenceAbove).term(term);
            out.push(Effect::Tell(event.detail(format!("the fence is #{}", standoff.fence))));
        }
        self.active.claim.release(now, None);
        true
    }
}
