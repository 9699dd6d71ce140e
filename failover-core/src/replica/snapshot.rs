//! Snapshots: a head that names one, its parts, and what is cut once it counts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::journal::{Fenced, Journal, Page, corrupt};
use super::keys::Keys;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Lease;
use crate::record;
use crate::state::{Expect, MAX_VALUE, Written};

/// The snapshot that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Below which its parts are.
    pub(super) id: String,
    pub(super) parts: u64,
    pub(super) bytes: u64,
    /// The last entry whose records it holds. That entry stays in the journal: it shows to a reader that is further behind that there is
    /// a gap.
    pub(super) entry: u64,
    /// The last record that it holds.
    pub(super) position: u64,
}

impl Journal {
    /// The snapshot that goes further than the entry of this number.
    pub(super) async fn snapshot(&self, number: u64) -> Result<Page> {
        let mut tried = None;
        loop {
            let head = self.head().await?.map(|(_, head)| head).filter(|head| head.entry > number);
            let Some(head) = head else {
                // What a list that is not one moment of the store may show.
                let message = format!("the journal goes on behind a gap after entry {number}; it will be read again");
                return Err(Error::new(ErrorKind::Unavailable, "replica", message));
            };
            if tried.as_ref() == Some(&head.id) {
                return Err(corrupt(&self.keys.part(&head.id, 0)));
            }
            if let Some(bytes) = self.parts(&head).await? {
                return Ok(Page::Snapshot(head, bytes));
            }
            // A later one has taken its place meanwhile.
            tried = Some(head.id);
        }
    }

    async fn head(&self) -> Result<Option<(Expect, Head)>> {
        let key = self.keys.head();
        let Some(there) = self.get(&key).await? else { return Ok(None) };
        Ok(Some((Expect::Version(there.version), record::decode("get", key.as_str(), &there.value)?)))
    }

    async fn parts(&self, head: &Head) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        for part in 0..head.parts {
            match self.get(&self.keys.part(&head.id, part)).await? {
                Some(there) => bytes.extend(there.value),
                None => return Ok(None),
            }
        }
        Ok((u64::try_from(bytes.len()) == Ok(head.bytes)).then_some(bytes))
    }

    /// Writes a snapshot, makes it the one that counts, and removes what it replaces. Every step may be the last: until the head is written, the one before
    /// counts, and what is not removed is removed by the next one.
    pub(super) async fn write(&self, state: &[u8], entry: u64, position: u64, fence: &Lease) -> Result<Fenced> {
        let id = format!("{}-{}", fence.term.0, Uuid::now_v7());
        let mut parts = 0;
        for part in state.chunks(MAX_VALUE) {
            match self.put(&self.keys.part(&id, parts), part, Expect::Any, fence).await? {
                Written::Fenced { current } => return Ok(Fenced::By(current)),
                Written::Written(_) | Written::Conflict(_) => parts += 1,
            }
        }
        let bytes = u64::try_from(state.len()).unwrap_or(u64::MAX);
        let head = Head { id, parts, bytes, entry, position };
        let value = record::encode("put", &head)?;
        loop {
            let (expect, earlier) = self.head().await?.unzip();
            if earlier.as_ref() == Some(&head) {
                break;
            }
            // One that is further is a later one's, whose write of this same term came first.
            if earlier.is_some_and(|earlier| earlier.entry > head.entry) {
                return Ok(Fenced::Done);
            }
            let expect = expect.unwrap_or(Expect::Absent);
            match self.put(&self.keys.head(), value.as_bytes(), expect, fence).await? {
                Written::Written(_) => break,
                Written::Fenced { current } => return Ok(Fenced::By(current)),
                Written::Conflict(_) => {}
            }
        }
        self.cut(&head, fence).await
    }

    /// Removes the entries before the snapshot's last one, in order, and the parts of every other snapshot.
    async fn cut(&self, head: &Head, fence: &Lease) -> Result<Fenced> {
        loop {
            let documents = self.list(self.keys.journal(), None).await?;
            let old: Vec<_> =
                documents.iter().filter(|d| Keys::number(&d.key).is_some_and(|number| number < head.entry)).collect();
            for document in &old {
                if let fenced @ Fenced::By(_) = self.delete(&document.key, fence).await? {
                    return Ok(fenced);
                }
            }
            if old.is_empty() || old.len() < documents.len() {
                break;
            }
        }
        let mut after = None;
        loop {
            let documents = self.list(self.keys.snapshots(), after.as_ref()).await?;
            let Some(last) = documents.last() else { return Ok(Fenced::Done) };
            after = Some(last.key.clone());
            for document in documents.iter().filter(|d| !self.keys.is_part_of(&d.key, &head.id)) {
                if let fenced @ Fenced::By(_) = self.delete(&document.key, fence).await? {
                    return Ok(fenced);
                }
            }
        }
    }
}
