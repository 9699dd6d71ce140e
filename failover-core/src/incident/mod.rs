//! What is known of each failure: an [`Incident`] for every incarnation of a node that was lost (law 14), the response actions
//! that were run for it, and the [`history`](Entry) of everything that happened to the cluster.
//!
//! ```text
//! incident/<node>/<incarnation>/claim           one node was active when this incarnation was found dead: it claimed the failure
//! incident/<node>/<incarnation>/action/<name>   begun by one active node, once; then done or failed
//! incident/<node>/<incarnation>/course          how long what followed took
//! incident/<node>/<incarnation>/ack             an operator has seen it
//! history/<term>-<number>                       append-only
//! ```
//!
//! Only the active node writes below these keys, and always under its fence (law 1): what a deposed one says late changes nothing.
//! Operators ask it through [`Admin`](crate::Admin).

mod action;
mod entry;
mod keys;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use action::{ActionRecord, ActionState, MAX_ACTIONS, MAX_OUTPUT};
pub use entry::{Deed, Entry, EntryId, MAX_ENTRIES};
pub(crate) use keys::{Part, ack_key, action_key, claim_key, course_key, entry_key, history, incidents, part};

use crate::ids::{ActionName, Incarnation, Member, NodeId, Term};
use crate::job::optional_millis;
use crate::time::Stamp;

/// So many of the newest incidents are kept, whatever became of them. An older one goes once it is acknowledged.
pub const KEPT: usize = 100;

/// So many incidents are kept at all: beyond, the oldest go although nobody has acknowledged them. What the history says of them stays.
pub const MAX_INCIDENTS: usize = 1_000;

/// The failure of one incarnation of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incident {
    /// How the failure was found and claimed.
    pub claim: Claim,
    /// How long what followed took, as far as it was measured.
    pub phases: Phases,
    /// Its response actions by name: those that were due when it was claimed.
    pub actions: BTreeMap<ActionName, ActionRecord>,
    /// Who has seen it. Open until somebody has.
    pub ack: Option<Ack>,
}

/// How a failure was found and claimed: the document `incident/<node>/<incarnation>/claim`, written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// The node that was lost.
    pub node: NodeId,
    /// Which start of its process.
    pub incarnation: Incarnation,
    /// The term of the node's lease when it was found dead.
    pub term: Term,
    /// Why it counts as dead.
    pub reason: String,
    /// The node that was active then and has claimed it.
    pub fenced_by: NodeId,
    /// The term under which that node was active.
    pub active_term: Term,
    /// Grows with each failure that node claimed under this term; the place of its entry in the history.
    #[serde(default)]
    pub number: u64,
    /// Whether the lost incarnation said in its last heartbeat that it was active.
    #[serde(default)]
    pub was_active: bool,
    /// When, by the claimer's wall clock. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Stamp>,
    /// What was measured until then.
    #[serde(default)]
    pub phases: Phases,
    /// The response actions that are to be run for it, in this order.
    #[serde(default)]
    pub due: Vec<ActionName>,
}

/// How long each part of a failover took, each measured by one node's own clock (law 10). What nobody measured is absent.
/// What the parts of a switchover are: [`Switchover::phases`](crate::control::Switchover::phases).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phases {
    /// From the last heartbeat until it was noticed that there are no more.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub detect: Option<Duration>,
    /// Until the lease was taken: of the node that was lost, or the active one.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub decide: Option<Duration>,
    /// Until nothing was left with the node: its jobs were taken from it.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub stop: Option<Duration>,
    /// Until all of that runs elsewhere: its jobs run, or the new active node is promoted.
    #[serde(default, with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub start: Option<Duration>,
}

/// That an operator has seen an incident: the document `incident/<node>/<incarnation>/ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ack {
    /// Who.
    pub by: String,
    /// What they had to say.
    #[serde(default)]
    pub note: String,
    /// When, by the wall clock of the node that wrote it down. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Stamp>,
}

/// The measured times: the document `incident/<node>/<incarnation>/course`, written once there is nothing more to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Course {
    #[serde(default)]
    pub(crate) phases: Phases,
}

/// An incident as JSON shows it.
#[derive(Serialize)]
struct Shown<'a> {
    node: &'a NodeId,
    incarnation: Incarnation,
    reason: &'a str,
    was_active: bool,
    term: Term,
    fenced_by: &'a NodeId,
    active_term: Term,
    at: Option<Stamp>,
    phases: &'a Phases,
    actions: &'a BTreeMap<ActionName, ActionRecord>,
    ack: &'a Option<Ack>,
}

impl Serialize for Incident {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { claim, phases, actions, ack } = self;
        let Claim { node, incarnation, reason, was_active, term, fenced_by, active_term, at, .. } = claim;
        Shown {
            node,
            incarnation: *incarnation,
            reason,
            was_active: *was_active,
            term: *term,
            fenced_by,
            active_term: *active_term,
            at: *at,
            phases,
            actions,
            ack,
        }
        .serialize(to)
    }
}

impl Incident {
    /// The incarnation that was lost.
    pub fn member(&self) -> Member {
        self.claim.member()
    }

    /// Whether nobody has acknowledged it.
    pub fn is_open(&self) -> bool {
        self.ack.is_none()
    }
}

impl Claim {
    /// The incarnation that was lost.
    pub fn member(&self) -> Member {
        Member::new(self.node.clone(), self.incarnation)
    }

    /// Sorts incidents by age: terms grow, and so do the numbers within one.
    pub(crate) fn age(&self) -> (Term, u64) {
        (self.active_term, self.number)
    }
}

impl Phases {
    /// These, and what `later` knows beside.
    pub(crate) fn or(self, later: Self) -> Self {
        Self {
            detect: self.detect.or(later.detect),
            decide: self.decide.or(later.decide),
            stop: self.stop.or(later.stop),
            start: self.start.or(later.start),
        }
    }

    /// Each part's name and how long it took.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let parts = [("detect", self.detect), ("decide", self.decide), ("stop", self.stop), ("start", self.start)];
        parts.into_iter().filter_map(|(name, took)| Some((name, took?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_an_earlier_build_can_be_read() {
        let text = r#"{"node":"a","incarnation":"00000000-0000-0000-0000-000000000007","term":3,"reason":"r","fenced_by":"b","active_term":2}"#;
        let claim: Claim = serde_json::from_str(text).unwrap();
        assert_eq!((claim.number, claim.due.len(), claim.phases), (0, 0, Phases::default()));
    }

    #[test]
    fn what_was_not_measured_is_absent_and_not_zero() {
        let phases = Phases { detect: Some(Duration::from_millis(3_100)), ..Phases::default() };
        assert_eq!(serde_json::to_string(&phases).unwrap(), r#"{"detect":3100}"#);
        assert_eq!(serde_json::from_str::<Phases>(r#"{"detect":3100}"#).unwrap(), phases);
        assert_eq!(phases.parts().collect::<Vec<_>>(), [("detect", Duration::from_millis(3_100))]);
    }
}
