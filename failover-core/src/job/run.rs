//! What a job's record remembers of its way: [`Run`], who ran it when under which epoch, and [`Course`], where it goes.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Member, NodeId};
use crate::time::Stamp;

/// How many of a job's runs its record remembers: the latest ones.
pub const MAX_RUNS: usize = 8;

/// The most bytes that the record of a run keeps of its last progress or failure.
pub const MAX_RUN_DETAIL: usize = 256;

/// One placement of a job: who had it, when, under which epoch, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Which placement.
    pub epoch: Epoch,
    /// Who had it.
    pub member: Member,
    /// When it was placed, for people to read: nothing is decided by it.
    pub placed: Stamp,
    /// When and how it ended; nothing while it is the member's.
    pub end: Option<RunEnd>,
}

/// The end of a [`Run`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunEnd {
    /// When, for people to read.
    pub at: Stamp,
    /// How.
    pub outcome: Outcome,
    /// The last progress or failure it told, cut to [`MAX_RUN_DETAIL`] bytes.
    pub detail: String,
}

/// How a [`Run`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It stopped because it was told to.
    Stopped,
    /// It did what it had to.
    Completed,
    /// It broke.
    Failed,
    /// Its node was fenced while it was open.
    Lost,
}

impl Outcome {
    /// The outcome's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Run {
    /// A run that begins.
    pub fn begin(epoch: Epoch, member: Member, placed: Stamp) -> Self {
        Self { epoch, member, placed, end: None }
    }
}

impl RunEnd {
    /// An end, with as much of `detail` as is kept.
    pub fn new(at: Stamp, outcome: Outcome, detail: &str) -> Self {
        Self { at, outcome, detail: detail[..detail.floor_char_boundary(MAX_RUN_DETAIL)].to_owned() }
    }
}

/// Where a job comes from and where it goes: what the active node notes with each [`Move`](super::Move), so that its successor goes on where it
/// stopped. Owners' reports leave it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Course {
    /// The node it was moved from because that was lost or drained: where a failback returns it to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<NodeId>,
    /// The node it is on its way to while it is draining, and until it is placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<NodeId>,
    /// How often in a row it was started again after it failed or was lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
