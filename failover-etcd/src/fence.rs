//! Fencing a host's own writes: they take effect only while its token is current (law 1).
//!
//! Why conditions in the transaction and not a question before it: between an answer and the write that trusts it a process
//! may be paused for longer than its lease. A condition is judged where the write happens, by agreement of the servers.

use etcd_client::{Compare, CompareOp, KvClient, Txn, TxnOp, TxnResponse};
use failover_core::{Error, ErrorKind, FencingToken, Invalid, JobRecord, Lease, Result, Term};

use crate::classify::{Fault, What};
use crate::connection::Call;
use crate::keys;
use crate::store::EtcdStore;
use crate::txn::{Entry, Op};

/// Conditions on a host's own transaction, in the etcd that also holds this crate's keys: the token is current.
///
/// A lease's is while the servers keep it for its holder under its term; a job's while its owner runs it under that epoch. The store
/// must be the one the token came from. Make it anew for each lease and run; it can be used for any number of transactions.
///
/// ```
/// # async fn example(store: failover_etcd::EtcdStore, lease: failover_core::Lease, mut host: failover_etcd::etcd_client::KvClient)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use failover_etcd::etcd_client::{Compare, CompareOp, Txn, TxnOp};
///
/// let fence = store.fence(&lease);
/// // Alone: written only while the token is current.
/// fence.write(&mut host, [TxnOp::put("accounts/alice", "95", None)]).await??;
/// // With conditions of the host's own.
/// let mut when = fence.compares();
/// when.push(Compare::value("accounts/alice", CompareOp::Equal, "95"));
/// let done = host.txn(Txn::new().when(when).and_then([TxnOp::put("accounts/alice", "90", None)])).await?;
/// if !done.succeeded() {
///     println!("fenced, or the account has changed");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Fence {
    compares: Vec<Compare>,
    token: FencingToken,
}

/// The token is not current any more: nothing may be written under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token {token} is not current any more: stop the work under it and write nothing")]
pub struct Fenced {
    /// The token.
    pub token: FencingToken,
}

impl EtcdStore {
    /// The conditions that this lease is current.
    pub fn fence(&self, lease: &Lease) -> Fence {
        let key = self.shared.keys.hold(&lease.name);
        self.conditions(&key, crate::lease::hold_prefix(lease.term.0, &lease.holder), lease.token())
    }

    /// The conditions that this run of a job is current: its owner has it, under its epoch.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the record has no owner.
    pub fn fence_job(&self, job: &JobRecord) -> Result<Fence> {
        let Some(owner) = &job.owner else {
            let invalid = Invalid::new("job", job.spec.id(), "only a job that has an owner can be fenced");
            return Err(Error::invalid("fence_job", invalid));
        };
        let key = self.shared.keys.job(job.spec.id());
        Ok(self.conditions(&key, crate::job::run_prefix(job.epoch, owner), job.token()))
    }

    /// That the value under `key` begins with `prefix`, which ends with a space: it is greater than that, and less than what
    /// differs from it only in a later last character. A key that is missing fails any condition on its value.
    fn conditions(&self, key: &str, prefix: Vec<u8>, token: FencingToken) -> Fence {
        let mut beyond = prefix.clone();
        if let Some(last) = beyond.last_mut() {
            *last += 1;
        }
        let value = |op, bound| Compare::value(key, op, bound);
        let mut compares = self.shared.same_store().to_vec();
        compares.extend([value(CompareOp::Greater, prefix), value(CompareOp::Less, beyond)]);
        Fence { compares, token }
    }
}

impl Fence {
    /// The conditions, to be added to a transaction's own. Four of the 128 that etcd allows.
    pub fn compares(&self) -> Vec<Compare> {
        self.compares.clone()
    }

    /// What is fenced.
    pub fn token(&self) -> &FencingToken {
        &self.token
    }

    /// Makes these operations, if the token is current: all of them or none.
    ///
    /// # Errors
    /// Of kind [`Unknown`](ErrorKind::Unknown) if they may have been applied, else as the servers refuse them. Without a timeout of
    /// the client's own this waits as long as the servers do.
    pub async fn write(
        &self,
        client: &mut KvClient,
        operations: impl Into<Vec<TxnOp>>,
    ) -> Result<std::result::Result<TxnResponse, Fenced>> {
        let txn = Txn::new().when(self.compares()).and_then(operations);
        match client.txn(txn).await.map_err(Fault::from) {
            Ok(done) if done.succeeded() => Ok(Ok(done)),
            Ok(_) => Ok(Err(Fenced { token: self.token.clone() })),
            Err(fault) if fault.what == What::Lost => {
                let message = format!("no answer: it may have been applied ({})", fault.text);
                Err(Error::new(ErrorKind::Unknown, "fenced write", message))
            }
            Err(fault) => Err(Call::new("fenced write").error(fault)),
        }
    }
}

/// Passes the fence under `key`, which remembers the highest term: with the write that raises it, if it rises.
///
/// # Errors
/// The inner one is the term that has raised it higher.
pub(crate) fn pass(
    call: &Call,
    lease: &Lease,
    key: &str,
    there: Option<&Entry>,
) -> Result<std::result::Result<Option<Op>, Term>> {
    let what = format!("the fence of lease {}", lease.name);
    let highest = there.map(|entry| keys::text(call.operation, &what, &entry.value)).transpose()?;
    let highest = highest.map(|text| text.parse().map_err(|_| keys::corrupt(call.operation, &what))).transpose()?;
    let highest = Term(highest.unwrap_or(0));
    if highest > lease.term {
        return Ok(Err(highest));
    }
    let rises = lease.term > highest || there.is_none();
    Ok(Ok(rises.then(|| Op::put(key.to_owned(), keys::value(lease.term)))))
}
