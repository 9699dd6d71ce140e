//! A claim together with what the host was told about it: every right that was published is cancelled and dropped, once and
//! in that order.

use super::claim::Claim;
use super::effect::Effect;
use super::reason::Reason;
use crate::ids::{LeaseName, Member, Term};
use crate::lease::Lease;
use crate::time::Time;
use crate::timing::Timing;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    Nothing,
    Right(Term),
    Cancelled(Term),
}

/// A claim and what the host knows of it.
#[derive(Debug, Clone)]
pub(super) struct Tenure {
    pub(super) claim: Claim,
    published: Published,
}

impl Tenure {
    pub(super) fn new(name: LeaseName, me: Member, timing: Timing) -> Self {
        Self { claim: Claim::new(name, me, timing), published: Published::Nothing }
    }

    /// The term of the right the host may act under or is just stopping to.
    pub(super) fn term(&self) -> Option<Term> {
        match self.published {
            Published::Nothing => None,
            Published::Right(term) | Published::Cancelled(term) => Some(term),
        }
    }

    /// The term of the right whose end the host was not told of yet.
    pub(super) fn uncancelled(&self) -> Option<Term> {
        match self.published {
            Published::Right(term) => Some(term),
            Published::Nothing | Published::Cancelled(_) => None,
        }
    }

    pub(super) fn publish(&mut self, lease: Lease, stop_at: Time, ends_at: Time, out: &mut Vec<Effect>) {
        // Once cancelled, work under it is stopping; a longer right gives it more time for that, not a new beginning.
        if !matches!(self.published, Published::Cancelled(term) if term == lease.term) {
            self.published = Published::Right(lease.term);
        }
        out.push(Effect::Hold { lease, stop_at, ends_at });
    }

    pub(super) fn cancel(&mut self, reason: Reason, out: &mut Vec<Effect>) {
        if let Published::Right(term) = self.published {
            self.published = Published::Cancelled(term);
            out.push(Effect::Cancel { name: self.claim.name().clone(), reason });
        }
    }

    /// The right is over.
    pub(super) fn drop_right(&mut self, reason: Reason, out: &mut Vec<Effect>) {
        self.cancel(reason, out);
        if self.published != Published::Nothing {
            self.published = Published::Nothing;
            out.push(Effect::Drop { name: self.claim.name().clone() });
        }
    }
}
