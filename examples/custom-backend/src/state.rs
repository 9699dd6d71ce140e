use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use async_trait::async_trait;
use failover_core::lease::Lease;
use failover_core::state::{Deleted, Document, Expect, StateStore, Written};
use failover_core::{ErrorKind, LeaseName, Result, StateKey, Term, Version, rules};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::NatsStore;
use crate::blob::Blobs;
use crate::keys::Topic;
use crate::table::{Area, Blob, Table};

/// The highest term that has written under each lease's name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fences(BTreeMap<LeaseName, Term>);

impl Fences {
    /// Raises the fence to the lease's term, or tells which higher one has raised it before.
    pub(crate) fn pass(&mut self, lease: &Lease) -> std::result::Result<(), Term> {
        let highest = self.0.entry(lease.name.clone()).or_default();
        if *highest > lease.term {
            return Err(*highest);
        }
        *highest = lease.term;
        Ok(())
    }
}

/// Which documents there are. What they say is kept beside the table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Documents {
    by_key: BTreeMap<StateKey, Stored>,
    fences: Fences,
    /// One counter for all keys, so that a deleted one leaves nothing behind.
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Stored {
    version: Version,
    value: Uuid,
}

impl Table for Documents {
    const AREA: Area = Area::Documents;
}

impl Documents {
    pub(crate) fn values(&self) -> BTreeSet<Uuid> {
        self.by_key.values().map(|stored| stored.value).collect()
    }

    fn page(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Vec<(StateKey, Stored)> {
        let from = after.map_or(prefix, |after| after.max(prefix));
        let range = self.by_key.range::<StateKey, _>((Bound::Excluded(from), Bound::Unbounded));
        // A key below the prefix sorts after it; keys that only begin with the same text lie in between.
        let below = range.take_while(|(key, _)| key.as_str().starts_with(prefix.as_str()));
        let below = below.filter(|(key, _)| key.is_below(prefix));
        below.take(limit).map(|(key, stored)| (key.clone(), *stored)).collect()
    }

    /// The answer, and the value that nothing names any more.
    fn put(&mut self, key: &StateKey, value: Uuid, expect: Expect, fence: Option<&Lease>) -> (Written, Option<Uuid>) {
        if let Some(Err(current)) = fence.map(|lease| self.fences.pass(lease)) {
            return (Written::Fenced { current }, Some(value));
        }
        let there = self.by_key.get(key).copied();
        let version = there.map(|stored| stored.version);
        let as_expected = match expect {
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version == Some(expected),
            Expect::Any => true,
        };
        if !as_expected {
            return (Written::Conflict(version), Some(value));
        }
        self.version = self.version.next();
        self.by_key.insert(key.clone(), Stored { version: self.version, value });
        (Written::Written(self.version), there.map(|stored| stored.value))
    }

    fn delete(&mut self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> (Deleted, Option<Uuid>) {
        if let Some(Err(current)) = fence.map(|lease| self.fences.pass(lease)) {
            return (Deleted::Fenced { current }, None);
        }
        let Some(there) = self.by_key.get(key).copied() else { return (Deleted::Deleted, None) };
        if matches!(expect, Expect::Version(version) if version != there.version) {
            return (Deleted::Conflict(there.version), None);
        }
        self.by_key.remove(key);
        (Deleted::Deleted, Some(there.value))
    }
}

/// The documents of a page with what they say.
fn documents(page: Vec<(StateKey, Stored)>, blobs: &Blobs) -> Vec<Document> {
    let document = |(key, stored): (StateKey, Stored)| {
        let value = blobs.get(&stored.value).cloned().unwrap_or_default();
        Document { key, version: stored.version, value }
    };
    page.into_iter().map(document).collect()
}

#[async_trait]
impl StateStore for NatsStore {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        let pick = |table: &Documents| {
            let page: Vec<_> = table.by_key.get(key).map(|stored| (key.clone(), *stored)).into_iter().collect();
            let wanted = page.iter().map(|(_, stored)| stored.value).collect();
            (page, wanted)
        };
        let get = async {
            let (page, blobs) = self.read("get", pick).await?;
            Ok(documents(page, &blobs).pop())
        };
        self.within("get", ErrorKind::Unavailable, get).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        rules::check_limit("list", limit)?;
        let pick = |table: &Documents| {
            let page = table.page(prefix, after, limit);
            let wanted = page.iter().map(|(_, stored)| stored.value).collect();
            (page, wanted)
        };
        let list = async {
            let (page, blobs) = self.read("list", pick).await?;
            Ok(documents(page, &blobs))
        };
        self.within("list", ErrorKind::Unavailable, list).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        rules::check_value("put", value)?;
        let blob = Blob { id: Uuid::now_v7(), bytes: value };
        let put = async {
            let change = |table: &mut Documents| table.put(key, blob.id, expect, fence);
            let ((answer, unnamed), written) = self.change("put", Some(blob), change).await?;
            if written {
                self.hint(&Topic::Area(Area::Documents)).await;
            }
            self.discard(Area::Documents, unnamed).await;
            Ok(answer)
        };
        self.within("put", ErrorKind::Unknown, put).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        rules::check_delete("delete", expect)?;
        let delete = async {
            let change = |table: &mut Documents| table.delete(key, expect, fence);
            let ((answer, unnamed), written) = self.change("delete", None, change).await?;
            if written {
                self.hint(&Topic::Area(Area::Documents)).await;
            }
            self.discard(Area::Documents, unnamed).await;
            Ok(answer)
        };
        self.within("delete", ErrorKind::Unknown, delete).await
    }

    /// Wakes for any document: a hint may come for nothing.
    async fn changed(&self, _prefix: &StateKey) -> Result<()> {
        self.hinted(&Topic::Area(Area::Documents)).await
    }
}
