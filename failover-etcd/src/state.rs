//! [`StateStore`] on etcd: one key for each document. Its version is the revision that etcd wrote it at, which no key has twice.

use async_trait::async_trait;
use etcd_client::{GetOptions, KeyValue, TxnOp};
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{Lease, Result, StateKey, StateStore, Version, rules};

use crate::connection::Call;
use crate::keys::{self, state_area};
use crate::store::{EtcdStore, Shared};
use crate::txn::{Entry, Op, Plan, View, kvs};

/// How many documents are read in one request, of up to 256 KiB each.
const PAGE: usize = 64;

#[async_trait]
impl StateStore for EtcdStore {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        let shared = &*self.shared;
        let call = Call::new("get");
        let get = vec![TxnOp::get(shared.keys.document(key), None)];
        let (answers, _, _) = shared.within(&call, shared.read(&call, &shared.durable, get)).await?;
        kvs(answers.first()).first().map(|kv| shared.document(&call, kv)).transpose()
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        rules::check_limit("list", limit)?;
        let shared = &*self.shared;
        let call = Call::new("list");
        shared.within(&call, shared.list(&call, prefix, after, limit)).await
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        rules::check_value("put", value)?;
        let shared = &*self.shared;
        let call = Call::new("put");
        let named = shared.named(key, fence);
        let decide = |view: &View| {
            let mut ops = match Shared::passed(&call, &named, view, fence)? {
                Ok(ops) => ops,
                Err(current) => return Ok(Plan::Answer(Written::Fenced { current })),
            };
            let there = version(&call, key, view.at(0))?;
            let as_expected = match expect {
                Expect::Absent => there.is_none(),
                Expect::Version(version) => there == Some(version),
                Expect::Any => true,
            };
            if !as_expected {
                let conflict = Written::Conflict(there);
                return Ok(if ops.is_empty() { Plan::Answer(conflict) } else { Plan::Write(ops, conflict) });
            }
            let mut bytes = keys::value("");
            bytes.extend(value);
            ops.extend([Op::put(named[0].clone(), bytes), Op::hint(shared, &state_area(key))]);
            Ok(Plan::Write(ops, Written::Written(Version::ZERO)))
        };
        let done = shared.within(&call, shared.transact(&call, &shared.durable, &named, decide)).await?;
        Ok(match done {
            (Written::Written(_), revision) => Written::Written(version_at(revision)),
            (answer, _) => answer,
        })
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        rules::check_delete("delete", expect)?;
        let shared = &*self.shared;
        let call = Call::new("delete");
        let named = shared.named(key, fence);
        let decide = |view: &View| {
            let mut ops = match Shared::passed(&call, &named, view, fence)? {
                Ok(ops) => ops,
                Err(current) => return Ok(Plan::Answer(Deleted::Fenced { current })),
            };
            let answer = match version(&call, key, view.at(0))? {
                Some(there) if matches!(expect, Expect::Version(version) if version != there) => {
                    Deleted::Conflict(there)
                }
                Some(_) => {
                    ops.extend([Op::Delete { key: named[0].clone() }, Op::hint(shared, &state_area(key))]);
                    Deleted::Deleted
                }
                None => Deleted::Deleted,
            };
            Ok(if ops.is_empty() { Plan::Answer(answer) } else { Plan::Write(ops, answer) })
        };
        let (answer, _) = shared.within(&call, shared.transact(&call, &shared.durable, &named, decide)).await?;
        Ok(answer)
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.changed_in(&state_area(prefix)).await
    }
}

impl Shared {
    /// A document's key, and its fence's.
    fn named(&self, key: &StateKey, fence: Option<&Lease>) -> Vec<String> {
        let fence = fence.map(|lease| self.keys.state_fence(&lease.name));
        [self.keys.document(key)].into_iter().chain(fence).collect()
    }

    /// The write that raises the fence, if one is given and rises; or the term that has raised it higher.
    fn passed(
        call: &Call,
        named: &[String],
        view: &View,
        fence: Option<&Lease>,
    ) -> Result<std::result::Result<Vec<Op>, failover_core::Term>> {
        let (Some(lease), Some(key)) = (fence, named.get(1)) else { return Ok(Ok(Vec::new())) };
        Ok(crate::fence::pass(call, lease, key, view.at(1))?.map(|raised| raised.into_iter().collect()))
    }

    async fn list(
        &self,
        call: &Call,
        prefix: &StateKey,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        let below = format!("{}/", self.keys.document(prefix));
        // `0` is the character after `/`.
        let end = format!("{}0", self.keys.document(prefix));
        // The key right behind another one is that with a zero byte.
        let behind = |key: &StateKey| format!("{}\0", self.keys.document(key));
        let mut from = after.map_or(below.clone(), |after| behind(after).max(below));
        let mut all = Vec::new();
        while all.len() < limit && from < end {
            let most = (limit - all.len()).min(PAGE);
            let options = GetOptions::new().with_range(end.as_str()).with_limit(i64::try_from(most).unwrap_or(1));
            let get = vec![TxnOp::get(from.as_str(), Some(options))];
            let (answers, _, _) = self.read(call, &self.durable, get).await?;
            let found = kvs(answers.first());
            for kv in found {
                all.push(self.document(call, kv)?);
            }
            match all.last() {
                Some(last) if found.len() == most => from = behind(&last.key),
                _ => break,
            }
        }
        Ok(all)
    }

    fn document(&self, call: &Call, kv: &KeyValue) -> Result<Document> {
        let key = kv.key_str().ok().and_then(|key| self.keys.document_key(key));
        let key = key.ok_or_else(|| keys::corrupt(call.operation, "a document"))?;
        let value = keys::body(call.operation, &what(&key), kv.value())?.to_vec();
        Ok(Document { version: version_at(kv.mod_revision()), key, value })
    }
}

/// The version of what is there, whose format this build knows.
fn version(call: &Call, key: &StateKey, there: Option<&Entry>) -> Result<Option<Version>> {
    let Some(entry) = there else { return Ok(None) };
    keys::body(call.operation, &what(key), &entry.value)?;
    Ok(Some(version_at(entry.modified)))
}

fn version_at(revision: i64) -> Version {
    Version(u64::try_from(revision).unwrap_or(0))
}

fn what(key: &StateKey) -> String {
    format!("document {key}")
}
