//! One lease as its contract describes it, at the earliest moment it can be in.
//!
//! Everything the contract demands of time is a lower bound (nothing lapses before its ttl), so of all moments at which a call may
//! have been applied the earliest is always as good as any later one, and the search need not try others.

use std::time::Duration;

use super::{Answer, Bounds, Call, Event};
use crate::ids::{Member, NodeId, Term};
use crate::lease::{Acquired, Lease, LeaseView, Renewed, Tenant};
use crate::time::Time;
use crate::timing::Timing;

/// How one lease stands after some of the calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The earliest moment at which it can stand so.
    now: Time,
    term: Known,
    tenancy: Tenancy,
}

/// What two states have in common if one of them can be worth more than the other: all but times.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Situation {
    term: Known,
    who: Option<(Member, Duration)>,
    reserved: Option<(NodeId, Duration)>,
}

/// The highest term granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Known {
    Exactly(Term),
    /// Higher than this: whoever was granted it was not told.
    Above(Term),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tenancy {
    Free,
    Held { holder: Member, span: Span },
    Reserved { successor: NodeId, span: Span },
}

/// A time that began at some moment between the two.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    since: Time,
    latest: Time,
    lasts: Duration,
}

impl Known {
    fn least(self) -> Term {
        match self {
            Self::Exactly(term) | Self::Above(term) => term,
        }
    }

    /// This, if it may be `term`.
    fn is(self, term: Term) -> Option<Self> {
        let may_be = match self {
            Self::Exactly(exactly) => exactly == term,
            Self::Above(least) => term > least,
        };
        may_be.then_some(Self::Exactly(term))
    }

    /// What follows a grant under the next term, if it may be `told`.
    fn next(self, told: Option<Term>) -> Option<Self> {
        let beyond = match self {
            Self::Exactly(term) => term,
            Self::Above(term) => term.next(),
        };
        match told {
            None => Some(Self::Above(beyond)),
            Some(term) => (term > beyond).then_some(Self::Exactly(term)),
        }
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self { now: Time::ZERO, term: Known::Exactly(Term::ZERO), tenancy: Tenancy::Free }
    }

    pub(super) fn situation(&self) -> Situation {
        let (who, reserved) = match &self.tenancy {
            Tenancy::Free => (None, None),
            Tenancy::Held { holder, span } => (Some((holder.clone(), span.lasts)), None),
            Tenancy::Reserved { successor, span } => (None, Some((successor.clone(), span.lasts))),
        };
        Situation { term: self.term, who, reserved }
    }

    /// Whether all that can follow `other`, a state of the same [`Situation`], can follow this one too: it is no later, and its time
    /// began within wider bounds.
    pub(super) fn may_go_on_as(&self, other: &Self) -> bool {
        let wider = match (&self.tenancy, &other.tenancy) {
            (Tenancy::Held { span, .. }, Tenancy::Held { span: others, .. })
            | (Tenancy::Reserved { span, .. }, Tenancy::Reserved { span: others, .. }) => {
                span.since <= others.since && span.latest >= others.latest
            }
            (ours, theirs) => ours == theirs,
        };
        self.now <= other.now && wider
    }

    /// Every state this can be in once `event` was applied next.
    pub(super) fn after(&self, event: &Event, bounds: Bounds) -> Vec<Self> {
        let step = Step { event, bounds, before: Self { now: self.now.max(event.asked), ..self.clone() } };
        let mut after = match (&event.call, event.answer.as_ref().map(|(_, answer)| answer)) {
            (Call::Acquire { member, ttl, .. }, None) => step.grant(member, *ttl, None),
            (Call::Acquire { name, member, .. }, Some(Answer::Acquired(Acquired::Granted(lease)))) => {
                let sound = lease.name == *name && lease.holder == *member;
                if sound { step.grant(member, lease.ttl, Some(lease.term)) } else { Vec::new() }
            }
            (Call::Acquire { member, .. }, Some(Answer::Acquired(Acquired::Refused(view)))) => {
                let others = match &view.tenant {
                    Tenant::Free => false,
                    Tenant::Held { holder, .. } => holder != member,
                    Tenant::Reserved { successor, .. } => *successor != member.node,
                };
                if others { step.seen(view) } else { Vec::new() }
            }
            (Call::Renew { lease }, Some(Answer::Renewed(Renewed::Lost))) => step.lost(lease),
            (Call::Renew { lease }, None | Some(Answer::Renewed(Renewed::Extended))) => step.extended(lease),
            (Call::Release { lease, successor }, None | Some(Answer::Released)) => {
                step.released(lease, successor.as_ref())
            }
            (Call::Current { .. }, None) => vec![step.before.clone()],
            (Call::Current { .. }, Some(Answer::Current(view))) => step.seen(view),
            (_, Some(_)) => unreachable!("an answer to another question"),
        };
        after.retain(|state| state.now <= event.latest());
        after
    }
}

/// One call about to be applied to one state.
struct Step<'a> {
    event: &'a Event,
    bounds: Bounds,
    before: State,
}

impl Step<'_> {
    /// What it is if its time has run out since; nothing if it has no time.
    fn lapsed(&self) -> Option<State> {
        let span = match &self.before.tenancy {
            Tenancy::Free => return None,
            Tenancy::Held { span, .. } | Tenancy::Reserved { span, .. } => span,
        };
        let due = span.since + span.lasts.saturating_sub(self.bounds.early);
        Some(State { now: self.before.now.max(due), tenancy: Tenancy::Free, ..self.before.clone() })
    }

    /// The same, if it can be `lease` that lapsed.
    fn lapsed_under(&self, lease: &Lease) -> Option<State> {
        let may_be = match &self.before.tenancy {
            Tenancy::Held { holder, .. } => *holder == lease.holder && self.before.term.is(lease.term).is_some(),
            Tenancy::Free | Tenancy::Reserved { .. } => false,
        };
        self.lapsed().filter(|_| may_be)
    }

    /// Whether its time can have been still running when the call was applied.
    fn lasts(&self, span: &Span) -> bool {
        let end = span.latest + span.lasts.saturating_add(self.bounds.late);
        self.event.asked <= end
    }

    /// A store may read its clock before others see what it wrote, so a ttl counts from when it was asked for at the earliest.
    /// So does its holder's right.
    fn span(&self, lasts: Duration) -> Span {
        Span { since: self.event.asked, latest: self.event.latest(), lasts }
    }

    /// With `lease` current, if it can be.
    fn current(&self, lease: &Lease) -> Option<State> {
        match &self.before.tenancy {
            Tenancy::Held { holder, span } if *holder == lease.holder && self.lasts(span) => {
                let term = self.before.term.is(lease.term)?;
                Some(State { term, ..self.before.clone() })
            }
            Tenancy::Free | Tenancy::Held { .. } | Tenancy::Reserved { .. } => None,
        }
    }

    /// As it is, if `lease` need not be what it is held under.
    fn unmoved(&self, lease: &Lease) -> Option<State> {
        let is_it = match &self.before.tenancy {
            Tenancy::Held { holder, .. } => *holder == lease.holder && self.before.term == Known::Exactly(lease.term),
            Tenancy::Free | Tenancy::Reserved { .. } => false,
        };
        (!is_it).then(|| self.before.clone())
    }

    fn grant(&self, member: &Member, ttl: Duration, told: Option<Term>) -> Vec<State> {
        let anew = |state: &State| {
            let term = state.term.next(told)?;
            let tenancy = Tenancy::Held { holder: member.clone(), span: self.span(ttl) };
            Some(State { now: state.now, term, tenancy })
        };
        let mut after: Vec<State> = self.lapsed().iter().filter_map(anew).collect();
        match &self.before.tenancy {
            Tenancy::Free => after.extend(anew(&self.before)),
            Tenancy::Reserved { successor, .. } if *successor == member.node => after.extend(anew(&self.before)),
            Tenancy::Held { holder, span } if holder == member && self.lasts(span) => {
                // A repeated question: the same term, for the whole ttl again.
                let term = told.map_or(Some(self.before.term), |told| self.before.term.is(told));
                let tenancy = Tenancy::Held { holder: member.clone(), span: self.span(ttl) };
                after.extend(term.map(|term| State { now: self.before.now, term, tenancy }));
            }
            Tenancy::Held { .. } | Tenancy::Reserved { .. } => {}
        }
        after
    }

    fn extended(&self, lease: &Lease) -> Vec<State> {
        let span = self.span(lease.ttl);
        let tenancy = Tenancy::Held { holder: lease.holder.clone(), span };
        self.current(lease).map(|state| State { tenancy, ..state }).into_iter().collect()
    }

    fn lost(&self, lease: &Lease) -> Vec<State> {
        self.unmoved(lease).into_iter().chain(self.lapsed_under(lease)).collect()
    }

    fn released(&self, lease: &Lease, successor: Option<&NodeId>) -> Vec<State> {
        let freed = self.current(lease).map(|state| {
            let lasts = match &state.tenancy {
                Tenancy::Held { span, .. } => Timing::reservation(span.lasts),
                Tenancy::Free | Tenancy::Reserved { .. } => Duration::ZERO,
            };
            let tenancy = successor.map_or(Tenancy::Free, |successor| Tenancy::Reserved {
                successor: successor.clone(),
                span: self.span(lasts),
            });
            State { tenancy, ..state }
        });
        self.unmoved(lease).into_iter().chain(self.lapsed_under(lease)).chain(freed).collect()
    }

    /// As `view` tells it.
    fn seen(&self, view: &LeaseView) -> Vec<State> {
        let stands = |state: &State| {
            let alike = match (&state.tenancy, &view.tenant) {
                (Tenancy::Free, Tenant::Free) => true,
                (Tenancy::Held { holder, span }, Tenant::Held { holder: told, remaining }) => {
                    holder == told && self.lasts(span) && *remaining <= span.lasts.saturating_add(self.bounds.late)
                }
                (Tenancy::Reserved { successor, span }, Tenant::Reserved { successor: told, remaining }) => {
                    successor == told && self.lasts(span) && *remaining <= span.lasts.saturating_add(self.bounds.late)
                }
                _ => false,
            };
            let term = state.term.is(view.term).filter(|_| alike)?;
            Some(State { term, ..state.clone() })
        };
        std::iter::once(self.before.clone()).chain(self.lapsed()).filter_map(|state| stands(&state)).collect()
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let term = self.term.least();
        match &self.tenancy {
            Tenancy::Free => write!(f, "free after term {term}"),
            Tenancy::Held { holder, .. } => write!(f, "held by {holder} under term {term}"),
            Tenancy::Reserved { successor, .. } => write!(f, "reserved for {successor} after term {term}"),
        }?;
        if matches!(self.term, Known::Above(_)) { f.write_str(" or a higher one") } else { Ok(()) }
    }
}
