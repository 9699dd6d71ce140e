use crate::error::{Error, Invalid};
use crate::ids::Term;

/// Why a record is not known to be published.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The record breaks a rule. Nothing was written.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// This node is not the active one, or is about to stop being it. Nothing was written.
    #[error("this node is not the active one, so nothing was published")]
    Passive,
    /// Another node is active, under this term: the store has refused the record.
    #[error("the store refused the record: another node is active under term {}", current.0)]
    Fenced {
        /// That term.
        current: Term,
    },
    /// The store refused it, for a reason that asking again would not change. Nothing was written.
    #[error("nothing was published: {0}")]
    Failed(#[source] Error),
    /// The node's right ended, or it was stopped, before the store had answered: the record may be in the journal and may not.
    #[error("it is not known whether the record was published: the node's right ended before the store had answered")]
    Unknown,
    /// It is published, and this node's host could not apply it: the text is the host's. The node goes on asking it.
    #[error("the record is published, and this node cannot apply it: {0}")]
    Refused(String),
}

impl PublishError {
    /// Whether the record may be in the journal although this failed. What is in it is applied everywhere.
    pub const fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Unknown | Self::Refused(_) => true,
            Self::Invalid(_) | Self::Passive | Self::Fenced { .. } | Self::Failed(_) => false,
        }
    }
}
