//! The replica's documents, call by call: each under a deadline, each told apart from what another writer has put there.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::entry::{Draft, Entry, Mark};
use super::keys::Keys;
use super::snapshot::Head;
use crate::driver::bounded;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Member, StateKey, Term};
use crate::lease::Lease;
use crate::record;
use crate::state::{Deleted, Document, Expect, StateStore, Written};
use crate::time::{Clock, Time};

/// How many documents are read at once: four MiB at most.
const PAGE: usize = 16;

/// The documents of one replica.
#[derive(Clone)]
pub(super) struct Journal {
    state: Arc<dyn StateStore>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a call may take.
    call: Duration,
}

/// Who publishes.
#[derive(Debug, Serialize, Deserialize)]
struct Writer {
    member: Member,
    term: Term,
}

/// What lies behind an entry.
#[derive(Debug)]
pub(super) enum Page {
    /// The entries that follow it, without a gap.
    Entries {
        entries: Vec<(u64, Entry)>,
        /// There may be more.
        more: bool,
        /// When this was asked.
        sent: Time,
    },
    /// The journal was cut there: a snapshot to go on from.
    Snapshot(Head, Vec<u8>),
}

/// What became of a write under a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fenced {
    /// It is there.
    Done,
    /// Another term is higher.
    By(Term),
}

impl Journal {
    pub(super) fn new(state: Arc<dyn StateStore>, keys: Keys, clock: Arc<dyn Clock>, call: Duration) -> Self {
        Self { state, keys, clock, call }
    }

    pub(super) async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        bounded(&*self.clock, self.clock.now() + self.call, "get", self.state.get(key)).await
    }

    pub(super) async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: &Lease) -> Result<Written> {
        let deadline = self.clock.now() + self.call;
        bounded(&*self.clock, deadline, "put", self.state.put(key, value, expect, Some(fence))).await
    }

    pub(super) async fn delete(&self, key: &StateKey, fence: &Lease) -> Result<Fenced> {
        let deadline = self.clock.now() + self.call;
        let delete = self.state.delete(key, Expect::Any, Some(fence));
        match bounded(&*self.clock, deadline, "delete", delete).await? {
            Deleted::Deleted => Ok(Fenced::Done),
            Deleted::Fenced { current } => Ok(Fenced::By(current)),
            Deleted::Conflict(_) => Err(Error::new(ErrorKind::Corrupt, "delete", "any version was to be deleted")),
        }
    }

    /// The first documents below a key, behind another one.
    pub(super) async fn list(&self, below: &StateKey, after: Option<&StateKey>) -> Result<Vec<Document>> {
        bounded(&*self.clock, self.clock.now() + self.call, "list", self.state.list(below, after, PAGE)).await
    }

    /// Waits for a hint that the journal goes on.
    pub(super) async fn changed(&self) -> Result<()> {
        self.state.changed(self.keys.journal()).await
    }

    /// Writes under this fence, whatever else is there, so that nothing of a lower term comes after it.
    pub(super) async fn raise(&self, fence: &Lease) -> Result<Fenced> {
        let key = self.keys.writer();
        let value = record::encode("put", &Writer { member: fence.holder.clone(), term: fence.term })?;
        loop {
            let expect = match self.get(&key).await? {
                None => Expect::Absent,
                Some(there) => {
                    // One of a newer format is left as it is (law 15).
                    record::decode::<Writer>("get", key.as_str(), &there.value)?;
                    Expect::Version(there.version)
                }
            };
            match self.put(&key, value.as_bytes(), expect, fence).await? {
                Written::Written(_) => return Ok(Fenced::Done),
                Written::Fenced { current } => return Ok(Fenced::By(current)),
                Written::Conflict(_) => {}
            }
        }
    }

    /// What comes behind the entry of this number.
    pub(super) async fn read(&self, number: u64) -> Result<Page> {
        let sent = self.clock.now();
        let after = (number > 0).then(|| self.keys.entry(number));
        let documents = self.list(self.keys.journal(), after.as_ref()).await?;
        let more = documents.len() == PAGE;
        let mut entries = Vec::with_capacity(documents.len());
        for document in &documents {
            let found = Keys::number(&document.key).ok_or_else(|| corrupt(&document.key))?;
            let expected = number + 1 + u64::try_from(entries.len()).unwrap_or(0);
            if found != expected {
                break;
            }
            entries.push((found, Entry::decode(document.key.as_str(), &document.value)?));
        }
        if entries.is_empty() && !documents.is_empty() {
            return self.snapshot(number).await;
        }
        let more = more || entries.len() < documents.len();
        Ok(Page::Entries { entries, more, sent })
    }

    /// Up to which record the journal goes, behind the entry of this number, which is there.
    pub(super) async fn end(&self, number: u64, known: u64) -> Result<u64> {
        let (mut low, mut high, mut end) = (number, None, known);
        let mut step = 1;
        loop {
            let probe = match high {
                None => low + step,
                Some(high) if high - low > 1 => u64::midpoint(low, high),
                Some(_) => return Ok(end),
            };
            step *= 2;
            let key = self.keys.entry(probe);
            match self.get(&key).await? {
                Some(there) => {
                    low = probe;
                    end = end.max(Entry::decode(key.as_str(), &there.value)?.end());
                }
                None => high = Some(probe),
            }
        }
    }

    /// Puts an entry where nothing is yet. Asked again after an unknown outcome, it finds its own.
    pub(super) async fn append(&self, number: u64, mark: Mark, draft: &Draft, fence: &Lease) -> Result<Fenced> {
        let key = self.keys.entry(number);
        match self.put(&key, &draft.value, Expect::Absent, fence).await? {
            Written::Written(_) => Ok(Fenced::Done),
            Written::Fenced { current } => Ok(Fenced::By(current)),
            Written::Conflict(_) => match self.get(&key).await? {
                Some(there) if Entry::decode(key.as_str(), &there.value)?.mark == mark => Ok(Fenced::Done),
                _ => {
                    let message =
                        format!("{key} is another writer's under the same term, which no node of this cluster is");
                    Err(Error::new(ErrorKind::Corrupt, "put", message))
                }
            },
        }
    }
}

pub(super) fn corrupt(key: &StateKey) -> Error {
    Error::new(ErrorKind::Corrupt, "replica", format!("{key} cannot be read and was left as it is"))
}
