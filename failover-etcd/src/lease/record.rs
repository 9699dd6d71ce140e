//! What the keys of a lease say.

use failover_core::{Incarnation, Lease, LeaseName, Member, NodeId, Result, Term};

use crate::connection::Call;
use crate::keys;
use crate::txn::{Entry, View};

/// How a lease stands: its keys, read at one revision, in the order `term`, `hold`, `reserve`, `floor`.
#[derive(Debug)]
pub(super) struct Standing {
    /// The highest term ever granted.
    pub(super) term: u64,
    pub(super) tenant: Claim,
    floor: Floor,
}

/// Who has a lease, with the etcd lease that this hangs on.
#[derive(Debug)]
pub(super) enum Claim {
    Free,
    Held { holder: Member, etcd_lease: i64 },
    Reserved { successor: NodeId, etcd_lease: i64 },
}

impl Standing {
    pub(super) fn parse(call: &Call, name: &LeaseName, view: &View) -> Result<Self> {
        let what = format!("lease {name}");
        let corrupt = || keys::corrupt(call.operation, &what);
        let text = |entry: &Entry| keys::text(call.operation, &what, &entry.value).map(str::to_owned);
        let term = view.at(0).map(&text).transpose()?;
        let term = term.map(|term| term.parse::<u64>().map_err(|_| corrupt())).transpose()?.unwrap_or(0);
        let held = view.at(1).map(|entry| parse_hold(call, name, entry)).transpose()?;
        let reserved =
            view.at(2).map(|entry| Ok::<_, failover_core::Error>((text(entry)?, entry.lease))).transpose()?;
        let tenant = match (held, reserved) {
            // A hold that is of another term than the last one granted was written by nobody we know.
            (Some((of, _, _)), _) if of.0 != term => return Err(corrupt()),
            (Some((_, holder, etcd_lease)), _) => Claim::Held { holder, etcd_lease },
            (None, Some((node, etcd_lease))) => {
                Claim::Reserved { successor: NodeId::new(node).map_err(|_| corrupt())?, etcd_lease }
            }
            (None, None) => Claim::Free,
        };
        Ok(Self { term, tenant, floor: Floor::parse(call, view.at(3))? })
    }

    /// The term of a grant that is decided on this view.
    pub(super) fn next_term(&self, view: &View) -> u64 {
        let revision = u64::try_from(view.revision).unwrap_or(0);
        revision.max(self.term + 1).max(self.floor.term + 1)
    }

    /// The etcd lease that the tenant's claim hangs on.
    pub(super) fn etcd_lease(&self) -> Option<i64> {
        match self.tenant {
            Claim::Held { etcd_lease, .. } | Claim::Reserved { etcd_lease, .. } => Some(etcd_lease),
            Claim::Free => None,
        }
    }

    /// The same, if `lease` is what is held now.
    pub(super) fn held_under(&self, lease: &Lease) -> Option<i64> {
        match &self.tenant {
            Claim::Held { holder, etcd_lease } if *holder == lease.holder && self.term == lease.term.0 => {
                Some(*etcd_lease)
            }
            _ => None,
        }
    }
}

/// Who holds, under which term, by which etcd lease.
fn parse_hold(call: &Call, name: &LeaseName, entry: &Entry) -> Result<(Term, Member, i64)> {
    let what = format!("lease {name}");
    let text = keys::text(call.operation, &what, &entry.value)?;
    let mut parts = text.split(' ');
    let mut next = || parts.next();
    let parsed = (|| {
        let term = next()?.parse().ok().map(Term)?;
        let node = NodeId::new(next()?).ok()?;
        Some((term, Member::new(node, next()?.parse::<Incarnation>().ok()?), entry.lease))
    })();
    parsed.ok_or_else(|| keys::corrupt(call.operation, &what))
}

/// How a hold's value begins: with its token. What may follow it, a later build of the same format decides. A
/// [`Fence`](crate::Fence) is a condition on it.
pub(crate) fn hold_prefix(term: u64, holder: &Member) -> Vec<u8> {
    keys::value(format_args!("{term} {} {} ", holder.node, holder.incarnation))
}

pub(super) fn hold_value(term: u64, holder: &Member) -> Vec<u8> {
    let mut value = hold_prefix(term, holder);
    value.extend(b"{}");
    value
}

pub(super) fn reserve_value(node: &NodeId) -> Vec<u8> {
    keys::value(node)
}

/// Above what terms and epochs go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Floor {
    pub(super) term: u64,
    pub(super) epoch: u64,
}

impl Floor {
    pub(super) fn parse(call: &Call, entry: Option<&Entry>) -> Result<Self> {
        let Some(entry) = entry else { return Ok(Self::default()) };
        let text = keys::text(call.operation, "the floor", &entry.value)?;
        let parsed = text.split_once(' ').and_then(|(term, epoch)| {
            Some(Self { term: term.parse().ok()?, epoch: epoch.split(' ').next()?.parse().ok()? })
        });
        parsed.ok_or_else(|| keys::corrupt(call.operation, "the floor"))
    }

    pub(super) fn value(self) -> Vec<u8> {
        keys::value(format_args!("{} {}", self.term, self.epoch))
    }
}
