//! What is too large for a table: payloads of jobs, values of documents. Each is written once, under a name of its own, and
//! then only named.

use std::collections::{BTreeMap, BTreeSet};

use failover_core::{Error, ErrorKind, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use crate::NatsStore;
use crate::table::{Area, Sheet, Table};

/// How many blobs are asked for at once.
const AT_ONCE: usize = 16;

/// Blobs by their names.
pub(crate) type Blobs = BTreeMap<Uuid, Vec<u8>>;

/// Blobs a handle has read before. As they never change, nothing here can be out of date.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    blobs: Blobs,
    bytes: usize,
}

impl Cache {
    const MOST: usize = 16 * 1024 * 1024;

    fn keep(&mut self, id: Uuid, bytes: &[u8]) {
        if self.bytes + bytes.len() > Self::MOST {
            *self = Self::default();
        }
        self.bytes += bytes.len();
        self.blobs.insert(id, bytes.to_vec());
    }
}

impl NatsStore {
    /// Reads a table and the blobs that `pick` wants of it.
    pub(crate) async fn read<T: Table, A>(
        &self,
        operation: &'static str,
        pick: impl Fn(&T) -> (A, Vec<Uuid>),
    ) -> Result<(A, Blobs)> {
        let mut before = 0;
        loop {
            let Sheet { table, revision } = self.load::<T>(operation).await?;
            let (answer, wanted) = pick(&table);
            if let Some(blobs) = self.blobs(T::AREA, operation, wanted).await? {
                return Ok((answer, blobs));
            }
            // One was removed after the table was read, which a later table knows of.
            if revision == before {
                let message = format!("the table of {} names something that is not there", T::AREA.as_str());
                return Err(Error::new(ErrorKind::Corrupt, operation, message));
            }
            before = revision;
        }
    }

    /// Nothing if one of them is not there.
    async fn blobs(&self, area: Area, operation: &'static str, wanted: Vec<Uuid>) -> Result<Option<Blobs>> {
        let mut found = Blobs::new();
        let mut missing = Vec::new();
        {
            let cache = self.cache();
            for id in wanted {
                match cache.blobs.get(&id) {
                    Some(bytes) => drop(found.insert(id, bytes.clone())),
                    None => missing.push(id),
                }
            }
        }
        let fetch = |id| async move {
            let message = self.latest(area, operation, &self.shared.keys.blob(area, id)).await?;
            Ok::<_, Error>((id, message))
        };
        let mut fetched = futures_util::stream::iter(missing).map(fetch).buffer_unordered(AT_ONCE);
        while let Some((id, message)) = fetched.try_next().await? {
            let Some(message) = message else { return Ok(None) };
            self.cache().keep(id, &message.payload);
            found.insert(id, message.payload);
        }
        Ok(Some(found))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.shared.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Removes blobs that no table names any more. What fails here is found by the next [`sweep`](Self::sweep).
    pub(crate) async fn discard(&self, area: Area, blobs: impl IntoIterator<Item = Uuid>) {
        for id in blobs {
            let Ok(live) = self.link(area).live("discard").await else { return };
            let subject = self.shared.keys.blob(area, id);
            let purge = async {
                let stream = live.jetstream.get_stream_no_info(self.shared.keys.stream()).await.ok()?;
                stream.purge().filter(subject).await.ok()
            };
            let _done = live.answer("discard", ErrorKind::Unknown, purge).await;
        }
    }

    /// Removes blobs whose writers died before they could name them. A writer names a blob only in a table that replaces one
    /// older than the blob, so a blob that is older than the table and not named in it never will be.
    pub(crate) async fn sweep<T: Table>(&self, named: impl Fn(&T) -> BTreeSet<Uuid>) -> Result<()> {
        const OPERATION: &str = "open";
        let live = self.link(T::AREA).live(OPERATION).await?;
        let prefix = self.shared.keys.blobs(T::AREA);
        let there = async {
            let stream = live.jetstream.get_stream_no_info(self.shared.keys.stream()).await.ok()?;
            let subjects = stream.info_with_subjects(format!("{prefix}>")).await.ok()?;
            Some(subjects.filter_map(async |subject| subject.ok()).collect::<Vec<_>>().await)
        };
        let Some(there) = live.answer(OPERATION, ErrorKind::Unavailable, there).await? else { return Ok(()) };
        let Sheet { table, revision } = self.load::<T>(OPERATION).await?;
        let named = named(&table);
        for (subject, _) in there {
            let id = subject.strip_prefix(&prefix).and_then(|id| Uuid::try_parse(id).ok());
            let Some(id) = id.filter(|id| !named.contains(id)) else { continue };
            let Some(message) = self.latest(T::AREA, OPERATION, &subject).await? else { continue };
            if message.revision < revision {
                self.discard(T::AREA, [id]).await;
            }
        }
        Ok(())
    }
}
