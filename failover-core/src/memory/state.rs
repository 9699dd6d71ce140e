use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;

use super::{Fences, MemoryStore, Watch, World};
use crate::error::Result;
use crate::ids::{StateKey, Version};
use crate::lease::Lease;
use crate::rules;
use crate::state::{Deleted, Document, Expect, StateStore, Written};

#[derive(Debug, Clone, Default)]
pub(super) struct Documents {
    by_key: BTreeMap<StateKey, Stored>,
    fences: Fences,
    /// One counter for all keys: a key's versions need not be dense, and a deleted key leaves nothing behind.
    version: Version,
    /// The last deletion of any key. It wakes everybody, which a hint may, and again leaves nothing behind.
    deleted: u64,
    pub(super) wiped: u64,
}

#[derive(Debug, Clone)]
struct Stored {
    version: Version,
    value: Vec<u8>,
    stamp: u64,
}

impl Documents {
    fn below<'a>(
        &'a self,
        prefix: &'a StateKey,
        after: Option<&'a StateKey>,
    ) -> impl Iterator<Item = (&'a StateKey, &'a Stored)> {
        // A key below the prefix sorts after it; keys that only begin with the same text lie in between.
        let from = after.map_or(prefix, |after| after.max(prefix));
        let range = self.by_key.range::<StateKey, _>((Bound::Excluded(from), Bound::Unbounded));
        range.take_while(|(key, _)| key.as_str().starts_with(prefix.as_str())).filter(|(key, _)| key.is_below(prefix))
    }

    pub(super) fn stamp(&self, prefix: &StateKey) -> u64 {
        let at = self.by_key.get(prefix).map_or(0, |stored| stored.stamp);
        let below = self.below(prefix, None).map(|(_, stored)| stored.stamp).max().unwrap_or(0);
        at.max(below).max(self.deleted).max(self.wiped)
    }
}

impl World {
    /// [`StateStore::get`].
    pub fn get(&self, key: &StateKey) -> Option<Document> {
        self.state.by_key.get(key).map(|stored| document(key, stored))
    }

    /// [`StateStore::list`].
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a limit of zero.
    pub fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        rules::check_limit("list", limit)?;
        Ok(self.state.below(prefix, after).take(limit).map(|(key, stored)| document(key, stored)).collect())
    }

    /// [`StateStore::put`].
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for an oversized value.
    pub fn put(&mut self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        rules::check_value("put", value)?;
        if let Some(Err(current)) = fence.map(|lease| self.state.fences.pass(lease)) {
            return Ok(Written::Fenced { current });
        }
        let there = self.state.by_key.get(key).map(|stored| stored.version);
        let as_expected = match expect {
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there == Some(version),
            Expect::Any => true,
        };
        if !as_expected {
            return Ok(Written::Conflict(there));
        }
        let stamp = self.next_stamp();
        let version = self.state.version.next();
        self.state.version = version;
        self.state.by_key.insert(key.clone(), Stored { version, value: value.to_vec(), stamp });
        Ok(Written::Written(version))
    }

    /// [`StateStore::delete`].
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for expecting absence.
    pub fn delete(&mut self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        rules::check_delete("delete", expect)?;
        if let Some(Err(current)) = fence.map(|lease| self.state.fences.pass(lease)) {
            return Ok(Deleted::Fenced { current });
        }
        let Some(there) = self.state.by_key.get(key).map(|stored| stored.version) else { return Ok(Deleted::Deleted) };
        if matches!(expect, Expect::Version(version) if version != there) {
            return Ok(Deleted::Conflict(there));
        }
        self.state.by_key.remove(key);
        self.state.deleted = self.next_stamp();
        Ok(Deleted::Deleted)
    }
}

fn document(key: &StateKey, stored: &Stored) -> Document {
    Document { key: key.clone(), version: stored.version, value: stored.value.clone() }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        self.with("get", |world, _| world.get(key))
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        self.with("list", |world, _| world.list(prefix, after, limit))?
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        self.with("put", |world, _| world.put(key, value, expect, fence))?
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        self.with("delete", |world, _| world.delete(key, expect, fence))?
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.changed("changed", Watch::State(prefix)).await
    }
}
