//! Transactions: read some keys, decide, and write on the condition that none of them has changed.
//!
//! Every transaction, also one that only reads, has the condition that the store is the one this handle was opened on. What a handle
//! has seen of a key it remembers, and takes for a guess: a right guess makes a call one round trip, a wrong one is put right by
//! the same answer that refuses it, and costs one more. Nothing is ever answered from a guess alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use failover_core::Result;

use crate::classify::Fault;
use crate::connection::{Access, Call, Lane, jitter};
use crate::store::{Shared, lock};

/// How many keys are remembered at most.
const MOST: usize = 50_000;

/// Values longer than this are not remembered: only documents and jobs' specs are.
const LONG: usize = 16 * 1024;

/// A key as etcd has it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) value: Arc<[u8]>,
    pub(crate) modified: i64,
    pub(crate) lease: i64,
}

impl Entry {
    pub(crate) fn of(kv: &KeyValue) -> Self {
        Self { value: kv.value().into(), modified: kv.mod_revision(), lease: kv.lease() }
    }
}

/// Some keys at one revision.
#[derive(Debug)]
pub(crate) struct View {
    entries: Vec<(String, Option<Entry>)>,
    /// Whether the store said so during this call.
    pub(crate) fresh: bool,
    /// They were like this at this revision, if they are `fresh`; otherwise the store has come at least so far since.
    pub(crate) revision: i64,
    pub(crate) raft_term: u64,
}

impl View {
    /// The key at this place of those that were asked for.
    pub(crate) fn at(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index).and_then(|(_, entry)| entry.as_ref())
    }
}

/// A write.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Put { key: String, value: Vec<u8>, lease: i64 },
    Delete { key: String },
}

impl Op {
    pub(crate) fn put(key: String, value: Vec<u8>) -> Self {
        Self::Put { key, value, lease: 0 }
    }

    /// Wakes who waits for changes in an area.
    pub(crate) fn hint(shared: &Shared, area: &str) -> Self {
        Self::put(shared.keys.hint(area), crate::keys::value(""))
    }
}

/// What is decided on a [`View`].
pub(crate) enum Plan<T> {
    /// There is nothing to write.
    Answer(T),
    /// To be written, and then answered.
    Write(Vec<Op>, T),
}

/// What became of a write.
pub(crate) enum Commit {
    /// It was applied at this revision, and the servers' election was at least this one by then. What was to be read with it is here.
    Applied { revision: i64, election: u64, read: Vec<Option<Entry>> },
    /// Nothing was: the keys are like this by now.
    Moved(View),
}

/// What this handle has seen of keys, and at which revision.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<String, (Option<Entry>, i64)>>);

impl Cache {
    /// A key as it was at this revision, unless it was seen later than that.
    fn keep(&self, key: &str, entry: Option<&Entry>, revision: i64) {
        let mut entries = lock(&self.0);
        if entries.len() >= MOST {
            entries.clear();
        }
        if entries.get(key).is_some_and(|(_, seen)| *seen > revision) {
            return;
        }
        match entry {
            Some(entry) if entry.value.len() > LONG => drop(entries.remove(key)),
            entry => drop(entries.insert(key.to_owned(), (entry.cloned(), revision))),
        }
    }

    /// What a watch tells of a key. One that nobody has asked for is not kept.
    pub(crate) fn heard(&self, key: &str, entry: Option<&Entry>, revision: i64) {
        let known = lock(&self.0).contains_key(key);
        if known {
            self.keep(key, entry, revision);
        }
    }

    fn view(&self, keys: &[String], revision: i64) -> Option<View> {
        let known = lock(&self.0);
        let entries = keys.iter().map(|key| Some((key.clone(), known.get(key)?.0.clone())));
        Some(View { entries: entries.collect::<Option<_>>()?, fresh: false, revision, raft_term: 0 })
    }
}

impl Shared {
    /// Decides on these keys and writes what was decided, again while others are quicker. Returns the answer and the revision
    /// at which it was true.
    pub(crate) async fn transact<T>(
        &self,
        call: &Call,
        lane: &Lane,
        keys: &[String],
        decide: impl FnMut(&View) -> Result<Plan<T>>,
    ) -> Result<(T, i64)> {
        self.transact_and_read(call, lane, keys, &[], decide).await.map(|(answer, revision, _)| (answer, revision))
    }

    /// The same, and reads other keys with the write, if there is one.
    pub(crate) async fn transact_and_read<T>(
        &self,
        call: &Call,
        lane: &Lane,
        keys: &[String],
        others: &[String],
        mut decide: impl FnMut(&View) -> Result<Plan<T>>,
    ) -> Result<(T, i64, Option<Vec<Option<Entry>>>)> {
        let mut view = match self.guess(keys) {
            Some(view) => view,
            None => self.fetch(call, lane, keys).await?,
        };
        let mut attempt = 0_u64;
        loop {
            let (ops, answer) = match decide(&view) {
                Ok(Plan::Write(ops, answer)) => (ops, answer),
                Ok(Plan::Answer(answer)) if view.fresh => return Ok((answer, view.revision, None)),
                Err(error) if view.fresh => return Err(error),
                Ok(Plan::Answer(_)) | Err(_) => {
                    view = self.fetch(call, lane, keys).await?;
                    continue;
                }
            };
            let done = self.commit_and_read(call, lane, &view, ops, others).await;
            match done.map_err(|fault| call.error(fault))?? {
                Commit::Applied { revision, read, .. } => return Ok((answer, revision, Some(read))),
                Commit::Moved(fresh) => view = fresh,
            }
            attempt += 1;
            if attempt > 2 {
                // Different for everybody, so that those who collided do not collide again.
                tokio::time::sleep(jitter(Duration::from_millis(attempt.min(20)))).await;
            }
        }
    }

    /// Keys as this handle saw them last, if it has seen all of them.
    pub(crate) fn guess(&self, keys: &[String]) -> Option<View> {
        self.cache.view(keys, self.revision())
    }

    /// Reads keys as they are now, by a linearizable read.
    pub(crate) async fn fetch(&self, call: &Call, lane: &Lane, keys: &[String]) -> Result<View> {
        let gets = keys.iter().map(|key| TxnOp::get(key.as_str(), None)).collect();
        let (answers, revision, raft_term) = self.read(call, lane, gets).await?;
        Ok(self.view(keys, &answers, revision, raft_term))
    }

    /// Makes several reads at one revision, in the same store as ever.
    pub(crate) async fn read(
        &self,
        call: &Call,
        lane: &Lane,
        gets: Vec<TxnOp>,
    ) -> Result<(Vec<TxnOpResponse>, i64, u64)> {
        let txn = Txn::new().when(self.same_store()).and_then(gets).or_else([self.get_meta()]);
        let before = self.revision();
        let response = send(call, lane, Access::Read, &txn).await.map_err(|fault| call.error(fault))?;
        let (revision, raft_term) = self.header(call, &response, before)?;
        let answers = response.op_responses();
        if response.succeeded() {
            return Ok((answers, revision, raft_term));
        }
        Err(self.judged(call, &answers))
    }

    /// Writes, if the keys are still as `view` has them.
    pub(crate) async fn commit(
        &self,
        call: &Call,
        lane: &Lane,
        view: &View,
        ops: Vec<Op>,
    ) -> Result<Result<Commit>, Fault> {
        self.commit_and_read(call, lane, view, ops, &[]).await
    }

    /// The same, and reads other keys with it, so that this handle has seen them.
    pub(crate) async fn commit_and_read(
        &self,
        call: &Call,
        lane: &Lane,
        view: &View,
        ops: Vec<Op>,
        others: &[String],
    ) -> Result<Result<Commit>, Fault> {
        let unchanged = view.entries.iter().map(|(key, entry)| {
            Compare::mod_revision(key.as_str(), CompareOp::Equal, entry.as_ref().map_or(0, |entry| entry.modified))
        });
        let compares: Vec<Compare> = self.same_store().into_iter().chain(unchanged).collect();
        let gets = view.entries.iter().map(|(key, _)| TxnOp::get(key.as_str(), None));
        let gets: Vec<TxnOp> = [self.get_meta()].into_iter().chain(gets).collect();
        let also = others.iter().map(|key| TxnOp::get(key.as_str(), None));
        let writes: Vec<TxnOp> = ops.iter().map(Op::request).chain(also).collect();
        let txn = Txn::new().when(compares).and_then(writes).or_else(gets);
        let before = self.revision();
        let response = send(call, lane, Access::Write, &txn).await?;
        let (revision, raft_term) = match self.header(call, &response, before) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        if response.succeeded() {
            call.was_applied();
            let answers = response.op_responses();
            let read = self.view(others, answers.get(ops.len()..).unwrap_or_default(), revision, raft_term);
            for op in ops {
                match op {
                    Op::Put { key, value, lease } => {
                        let entry = Entry { value: value.into(), modified: revision, lease };
                        self.cache.keep(&key, Some(&entry), revision);
                    }
                    Op::Delete { key } => self.cache.keep(&key, None, revision),
                }
            }
            let read = read.entries.into_iter().map(|(_, entry)| entry).collect();
            return Ok(Ok(Commit::Applied { revision, election: raft_term, read }));
        }
        let mut answers = response.op_responses();
        let rest = answers.split_off(answers.len().min(1));
        if let Some(error) = self.judge(call, kvs(answers.first()).first()) {
            return Ok(Err(error));
        }
        let keys: Vec<String> = view.entries.iter().map(|(key, _)| key.clone()).collect();
        Ok(Ok(Commit::Moved(self.view(&keys, &rest, revision, raft_term))))
    }

    fn view(&self, keys: &[String], answers: &[TxnOpResponse], revision: i64, raft_term: u64) -> View {
        let mut entries = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            let entry = kvs(answers.get(index)).first().map(Entry::of);
            self.cache.keep(key, entry.as_ref(), revision);
            entries.push((key.clone(), entry));
        }
        View { entries, fresh: true, revision, raft_term }
    }

    fn header(&self, call: &Call, response: &TxnResponse, before: i64) -> Result<(i64, u64)> {
        let revision = self.take_in(call, response.header(), before)?;
        Ok((revision, response.header().map_or(0, etcd_client::ResponseHeader::raft_term)))
    }

    /// Why a transaction without other conditions was refused.
    pub(crate) fn judged(&self, call: &Call, answers: &[TxnOpResponse]) -> failover_core::Error {
        let error = self.judge(call, kvs(answers.first()).first());
        error.unwrap_or_else(|| crate::keys::corrupt(call.operation, "the store's identity"))
    }

    /// The condition of every transaction. The id alone would miss records that were written back one by one, the revision
    /// alone a store that was begun anew: both begin with the same few revisions.
    pub(crate) fn same_store(&self) -> [Compare; 2] {
        let meta = self.keys.meta();
        let id = Compare::value(meta.as_str(), CompareOp::Equal, crate::keys::value(&self.identity.store));
        [id, Compare::mod_revision(meta, CompareOp::Equal, self.identity.revision)]
    }

    pub(crate) fn get_meta(&self) -> TxnOp {
        TxnOp::get(self.keys.meta(), None)
    }
}

impl Op {
    fn request(&self) -> TxnOp {
        match self {
            Self::Put { key, value, lease: 0 } => TxnOp::put(key.as_str(), value.as_slice(), None),
            Self::Put { key, value, lease } => {
                TxnOp::put(key.as_str(), value.as_slice(), Some(PutOptions::new().with_lease(*lease)))
            }
            Self::Delete { key } => TxnOp::delete(key.as_str(), None),
        }
    }
}

/// Makes one transaction, whatever its conditions.
pub(crate) async fn send(call: &Call, lane: &Lane, access: Access, txn: &Txn) -> Result<TxnResponse, Fault> {
    let ask = |mut connection: crate::connection::Connection| {
        let txn = txn.clone();
        async move { connection.kv.txn(txn).await.map_err(Fault::from) }
    };
    lane.run(call, access, ask).await
}

/// What a read in a transaction found.
pub(crate) fn kvs(answer: Option<&TxnOpResponse>) -> &[KeyValue] {
    match answer {
        Some(TxnOpResponse::Get(found)) => found.kvs(),
        _ => &[],
    }
}
