use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::entry::{Kind, Record};
use super::shared::Shared;
use super::{MAX_RECORD, PublishError};
use crate::error::Invalid;

/// A record's place among all that were ever published: the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is asked of the one that leads.
#[derive(Debug)]
pub(super) enum Request {
    Publish(Record, Answer),
    Snapshot(Answer),
}

pub(super) type Answer = oneshot::Sender<Result<Position, PublishError>>;

/// Publishes records of a [`Replica`](super::Replica), while its node is the active one. Clones publish to the same journal.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Publishes a record, and waits until the store has it under this node's term and this node has applied it. From then on no takeover
    /// loses it. Records that are published at the same time share the store's calls; those of one caller that waits for each keep their order.
    ///
    /// A call whose answer is lost is repeated for as long as the node's right lasts; bound it with a timeout of your own if that is too long.
    /// Dropped before it returns, the record may be published and may not.
    ///
    /// # Errors
    /// [`PublishError`]; see [`is_outcome_unknown`](PublishError::is_outcome_unknown).
    pub async fn publish(&self, record: impl Into<Vec<u8>>) -> Result<Position, PublishError> {
        let bytes = record.into();
        if bytes.len() > MAX_RECORD {
            let rule = format!("it must be at most {MAX_RECORD} bytes; publish where it is to be found instead");
            return Err(Invalid::new("record", format!("{} bytes", bytes.len()), rule).into());
        }
        self.ask(|answer| Request::Publish(Record { kind: Kind::Change, bytes }, answer)).await
    }

    /// Publishes a state as a whole, of any size: every node, this one too, [restores](super::Replicated::restore) it in the place of all it had, and goes on with
    /// the records behind it. For a host that begins with data of its own.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_state(&self, state: impl Into<Vec<u8>>) -> Result<Position, PublishError> {
        let record = Record { kind: Kind::State, bytes: state.into() };
        self.ask(|answer| Request::Publish(record, answer)).await
    }

    /// Writes a snapshot of the state as it is now, and cuts the journal behind it; up to which record it goes. Done by itself every so often; see
    /// [`ReplicaBuilder::snapshot_after`](super::ReplicaBuilder::snapshot_after). Cancel safe: it goes on.
    ///
    /// # Errors
    /// [`PublishError::Passive`] if this node is not the active one; the others if the store does not take it. The last snapshot stays the one that counts.
    pub async fn snapshot(&self) -> Result<Position, PublishError> {
        self.ask(Request::Snapshot).await
    }

    /// Whether a record would be taken at this moment. What counts is the answer of [`publish`](Self::publish).
    pub fn is_open(&self) -> bool {
        self.shared.door().is_some()
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<Position, PublishError> {
        let door = self.shared.door().ok_or(PublishError::Passive)?;
        let (answer, answered) = oneshot::channel();
        door.send(request(answer)).await.map_err(|_| PublishError::Passive)?;
        // Dropped without an answer: whoever had it was stopped where it stood.
        answered.await.unwrap_or(Err(PublishError::Unknown))
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("open", &self.is_open()).finish_non_exhaustive()
    }
}
