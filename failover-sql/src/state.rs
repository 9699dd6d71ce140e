//! [`StateStore`] on SQL: versioned documents, and the fences both they and the jobs are written under.

use async_trait::async_trait;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{Lease, Result, StateKey, StateStore, Term, Version, record, rules};

use crate::dialect::{Fault, Lane, Row, args};
use crate::hot::Hot;
use crate::keys::{STATE, state_area};
use crate::store::SqlStore;
use crate::tx::{STATE_VERSION, Tx};

const DOCUMENT: &str = "SELECT format, path, version, content FROM {documents} WHERE cluster = ? AND path = ?";

const LIST: &str = "SELECT format, path, version, content FROM {documents} \
    WHERE cluster = ? AND path > ? AND path < ? AND path > ? ORDER BY path LIMIT ?";

#[async_trait]
impl StateStore for SqlStore {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        if let Some((_, rows)) =
            self.glance("get", Lane::Durable, DOCUMENT, args![self.cluster().as_str(), key.as_str()]).await?
        {
            return rows.first().map(document).transpose();
        }
        self.read("get", Lane::Durable, move |tx| {
            Box::pin(async move {
                let row = tx.row(DOCUMENT, args![tx.cluster(), key.as_str()]).await?;
                Ok(row.as_ref().map(document).transpose()?)
            })
        })
        .await
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        rules::check_limit("list", limit)?;
        // Keys below `a` are those from `a/` to, exclusively, `a0`, the character after the slash.
        let low = format!("{prefix}/");
        let high = format!("{prefix}0");
        let after = after.map_or("", StateKey::as_str);
        let (low, high) = (low.as_str(), high.as_str());
        let args = args![self.cluster().as_str(), low, high, after, limit];
        if let Some((_, rows)) = self.glance("list", Lane::Durable, LIST, args).await? {
            let mut documents = rows.iter().map(document).collect::<Result<Vec<_>>>()?;
            documents.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
            return Ok(documents);
        }
        self.read("list", Lane::Durable, move |tx| {
            Box::pin(async move {
                let rows = tx.rows(LIST, args![tx.cluster(), low, high, after, limit]).await?;
                let documents: Result<Vec<Document>> = rows.iter().map(document).collect();
                Ok(documents?)
            })
        })
        .await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        rules::check_value("put", value)?;
        let over = match expect {
            Expect::Absent => Some(None),
            Expect::Version(version) => Some(Some(version)),
            Expect::Any => None,
        };
        if let Some(over) = over {
            let hot = Hot::Put { key, value, over, fence, seen: self.seen("") };
            if let Some(version) = self.shortcut("put", hot).await? {
                self.shown(STATE_VERSION.to_owned(), version);
                return Ok(Written::Written(Version(version)));
            }
        }
        self.write("put", Lane::Durable, move |tx| {
            Box::pin(async move {
                let counters = tx.counters().await?;
                if let Some(current) = tx.fenced(STATE, fence).await? {
                    return Ok(Written::Fenced { current });
                }
                let there = tx.version(key).await?;
                let fits = match expect {
                    Expect::Absent => there.is_none(),
                    Expect::Version(version) => there == Some(version),
                    Expect::Any => true,
                };
                if !fits {
                    return Ok(Written::Conflict(there));
                }
                // From one counter for all keys: higher than any this key ever had, with nothing kept of deleted ones.
                let version = counters.state_version + 1;
                tx.run("UPDATE {clusters} SET state_version = ? WHERE cluster = ?", args![version, tx.cluster()])
                    .await?;
                let (place, content) = (key.as_str(), value);
                if there.is_some() {
                    tx.run(
                        "UPDATE {documents} SET format = ?, version = ?, content = ? WHERE cluster = ? AND path = ?",
                        args![record::FORMAT, version, content, tx.cluster(), place],
                    )
                    .await?;
                } else {
                    tx.run(
                        "INSERT INTO {documents} (cluster, path, format, version, content) VALUES (?, ?, ?, ?, ?)",
                        args![tx.cluster(), place, record::FORMAT, version, content],
                    )
                    .await?;
                }
                tx.raised(STATE_VERSION, version);
                tx.hint(state_area(key));
                Ok(Written::Written(Version(version)))
            })
        })
        .await
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        rules::check_delete("delete", expect)?;
        self.write("delete", Lane::Durable, move |tx| {
            Box::pin(async move {
                tx.counters().await?;
                if let Some(current) = tx.fenced(STATE, fence).await? {
                    return Ok(Deleted::Fenced { current });
                }
                match (tx.version(key).await?, expect) {
                    (None, _) => return Ok(Deleted::Deleted),
                    (Some(there), Expect::Version(version)) if there != version => return Ok(Deleted::Conflict(there)),
                    _ => {}
                }
                tx.run("DELETE FROM {documents} WHERE cluster = ? AND path = ?", args![tx.cluster(), key.as_str()])
                    .await?;
                tx.hint(state_area(key));
                Ok(Deleted::Deleted)
            })
        })
        .await
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.changed_in(&state_area(prefix)).await
    }
}

fn document(row: &Row) -> Result<Document> {
    let key: StateKey = row.id(1)?;
    row.check_format(0, || format!("document {key}"))?;
    Ok(Document { key, version: Version(row.number(2)?), value: row.bytes(3)?.to_owned() })
}

impl Tx<'_> {
    /// The version under a key, if there is one; fails on one of a newer format, which must not be overwritten.
    async fn version(&mut self, key: &StateKey) -> Result<Option<Version>, Fault> {
        let row = self
            .row(
                "SELECT format, version FROM {documents} WHERE cluster = ? AND path = ? {lock}",
                args![self.cluster(), key.as_str()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        row.check_format(0, || format!("document {key}"))?;
        Ok(Some(Version(row.number(1)?)))
    }

    /// Installs a fence, or tells the higher term that is installed already (law 1). The term is remembered here, not asked of
    /// whoever granted the lease, which may be another store. The caller holds the cluster's row locked.
    pub(crate) async fn fenced(&mut self, area: &'static str, fence: Option<&Lease>) -> Result<Option<Term>, Fault> {
        let Some(fence) = fence else { return Ok(None) };
        let row = self
            .row(
                "SELECT term FROM {fences} WHERE cluster = ? AND area = ? AND lease = ? {lock}",
                args![self.cluster(), area, &fence.name],
            )
            .await?;
        let current = row.map(|row| row.number(0)).transpose()?;
        self.install(area, fence, current).await
    }

    /// Installs a fence over the one that was read under the cluster's lock; see [`fenced`](Self::fenced).
    pub(crate) async fn install(
        &mut self,
        area: &'static str,
        fence: &Lease,
        current: Option<u64>,
    ) -> Result<Option<Term>, Fault> {
        match current {
            Some(current) if current > fence.term.0 => return Ok(Some(Term(current))),
            Some(current) if current == fence.term.0 => {}
            Some(_) => {
                self.run(
                    "UPDATE {fences} SET term = ? WHERE cluster = ? AND area = ? AND lease = ?",
                    args![fence.term.0, self.cluster(), area, &fence.name],
                )
                .await?;
            }
            None => {
                self.run(
                    "INSERT INTO {fences} (cluster, area, lease, term) VALUES (?, ?, ?, ?)",
                    args![self.cluster(), area, &fence.name, fence.term.0],
                )
                .await?;
            }
        }
        Ok(None)
    }
}
