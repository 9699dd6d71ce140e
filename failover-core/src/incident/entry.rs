use serde::{Deserialize, Serialize};

use super::Phases;
use crate::ids::{NodeId, Term};
use crate::time::Stamp;

/// How many entries of the history are kept. The oldest make room.
pub const MAX_ENTRIES: usize = 1_000;

/// One line of the cluster's history: what happened, who did it, why, and how long it took.
///
/// Appended by an active node under its fence, once, and never changed. What it tells is in a document before, so what an active node had not yet written when it
/// died is written by the next one. Only a takeover may be missing: of a node that died before anything else it did as the active one was in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The term under which it happened.
    pub term: Term,
    /// Counts what happened under this term, with gaps. The takeover is zero.
    pub number: u64,
    /// When, by the wall clock of whoever wrote that down first. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Stamp>,
    /// What sort of thing happened.
    pub deed: Deed,
    /// The node it happened to.
    pub node: NodeId,
    /// The name of what it tells of, if that has one: a switchover's id, the configuration's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What happened, in words.
    pub what: String,
    /// Who did it: a node, or the operator who asked for it.
    pub who: String,
    /// Why.
    pub why: String,
    /// How long it took.
    #[serde(default)]
    pub phases: Phases,
}

/// An entry's place in the history: reserved, in the document that it tells of, before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EntryId {
    /// The term under which it happened.
    pub term: Term,
    /// Its number under that term.
    pub number: u64,
}

impl EntryId {
    /// The first under a term.
    pub(crate) const fn takeover(term: Term) -> Self {
        Self { term, number: 0 }
    }
}

/// The sorts of things that are in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Deed {
    /// A node became active.
    Takeover,
    /// The active role was handed over, or was to be, as an operator wished.
    Switchover,
    /// Jobs were returned to a node, or were to be, as an operator wished.
    Failback,
    /// A job was moved, or was to be, as an operator wished.
    Move,
    /// An incarnation of a node was lost.
    Incident,
    /// A response action is over.
    Action,
    /// An operator has seen an incident.
    Ack,
    /// An operator had an action retried.
    Retry,
    /// An operator changed the cluster's settings.
    Settings,
}

impl Deed {
    /// The deed's name, as it is written to logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Takeover => "takeover",
            Self::Switchover => "switchover",
            Self::Failback => "failback",
            Self::Move => "move",
            Self::Incident => "incident",
            Self::Action => "action",
            Self::Ack => "ack",
            Self::Retry => "retry",
            Self::Settings => "settings",
        }
    }
}
