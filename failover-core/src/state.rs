//! What the nodes share: versioned, fenced [`Document`]s in a [`StateStore`].

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::ids::{StateKey, Term, Version};
use crate::lease::Lease;

/// The most bytes of a document's value.
pub const MAX_VALUE: usize = 256 * 1024;

/// A document as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its key.
    pub key: StateKey,
    /// Its version; grows with every change.
    pub version: Version,
    /// Its value, opaque to the store.
    pub value: Vec<u8>,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing under this key.
    Absent,
    /// This version.
    Version(Version),
    /// Whatever is there.
    Any,
}

/// The answer to [`StateStore::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is written, under this version.
    Written(Version),
    /// Something else was there than expected: this version, or nothing.
    Conflict(Option<Version>),
    /// A higher term has installed its fence.
    Fenced {
        /// That term.
        current: Term,
    },
}

/// The answer to [`StateStore::delete`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// There is nothing under the key now.
    Deleted,
    /// Another version was there than expected.
    Conflict(Version),
    /// A higher term has installed its fence.
    Fenced {
        /// That term.
        current: Term,
    },
}

/// Where shared documents are kept.
///
/// # Effects
/// 1. `put` writes if what it expects is there, under a version higher than any this key ever had (also before a deletion);
///    else it changes nothing and tells what is there.
/// 2. `delete` removes if what it expects is there. Deleting what is absent is `Deleted`, whatever was expected: a repeated call.
/// 3. `get` returns the document as last written, value unchanged, or nothing.
/// 4. `list(prefix, after, limit)` returns the documents strictly below `prefix` (part by part), in order of their keys,
///    starting after `after`, at most `limit` of them. Paging by the last key returned repeats and skips nothing that stood
///    still meanwhile.
/// 5. With a fence, the store remembers the highest term per lease name; a lower one is `Fenced` and changes nothing (law 1). The
///    fence is judged before the expectation. A write without a fence is bound by none.
/// 6. Of concurrent writes that expect the same version, one is written.
/// 7. `changed(prefix)` completes soon after a document at or below `prefix` was written or deleted. It may complete early or for
///    nothing; it may also never (law 7).
///
/// # Failure
/// 1. An `Err` of kind [`Unknown`](crate::ErrorKind::Unknown) may have been applied, at once or later. Repeating an `Absent` or `Version` write that
///    was applied gives `Conflict` with the version it wrote.
/// 2. A value longer than [`MAX_VALUE`], `delete` expecting `Absent`, or a `limit` of zero is [`Invalid`](crate::ErrorKind::Invalid).
/// 3. A record of a newer format is [`TooNew`](crate::ErrorKind::TooNew) and is left as it is (law 15).
/// 4. A store that was wiped or replaced answers [`StoreChanged`](crate::ErrorKind::StoreChanged) to everyone who knew the old one.
///
/// Every method is cancel safe in the sense of failure 1.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Reads one document.
    async fn get(&self, key: &StateKey) -> Result<Option<Document>>;

    /// Reads the documents below a key.
    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>>;

    /// Writes one document.
    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written>;

    /// Removes one document.
    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted>;

    /// Waits for a hint that something at or below `prefix` has changed. Cancel safe.
    async fn changed(&self, _prefix: &StateKey) -> Result<()> {
        std::future::pending().await
    }
}

#[async_trait]
impl<T: StateStore + ?Sized> StateStore for Arc<T> {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        (**self).get(key).await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        (**self).list(prefix, after, limit).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        (**self).put(key, value, expect, fence).await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        (**self).delete(key, expect, fence).await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        (**self).changed(prefix).await
    }
}
