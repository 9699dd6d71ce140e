//! The trace: one line for each thing that happens, as a reader of a failed simulation wants it.

#![expect(clippy::format_push_string, reason = "a line is built piece by piece, and writing to a String cannot fail")]

use super::scene::{Fact, Scene};
use super::store;
use crate::lease::{Acquired, LeaseView, Tenant};
use crate::machine::{Call, Effect, Fault, Input, Reply};

/// The fact's line; nothing for what only repeats another.
pub(super) fn line(scene: &Scene, fact: &Fact<'_>) -> Option<String> {
    let id = |node: &usize| scene.nodes[*node].id.as_str();
    Some(match fact {
        Fact::Born { node } => format!("  {} starts as {}", id(node), scene.process(*node)?.member),
        Fact::Dying { node } => format!("  {} is gone", id(node)),
        Fact::Told { node, input } => format!("> {} {}", id(node), told(input)),
        Fact::Wants { node, effect } => format!("  {} < {}", id(node), wants(effect)),
        Fact::Handled { .. } | Fact::Nudged { .. } => return None,
        Fact::Applied { by, call, answer, .. } => {
            format!("  {} * {} -> {}", by.node, asks(call), answered(answer))
        }
        Fact::RunEnded { node, job, epoch } => format!("  {} {job}#{epoch} has ended", id(node)),
        Fact::Wiped => "  the store is another, and empty".into(),
        Fact::Healed => "  healed".into(),
        Fact::Bound => "  the bound for healing".into(),
    })
}

fn told(input: &Input) -> String {
    match input {
        Input::Wake => "wake".into(),
        Input::Outcome { id, outcome } => format!("{id:?} {}", answered(outcome)),
        Input::Hint(hint) => format!("hint {hint:?}"),
        Input::Host(input) => format!("{input:?}"),
        Input::Command(command) => format!("{command:?}"),
    }
}

fn wants(effect: &Effect) -> String {
    match effect {
        Effect::Call { id, call } => format!("{id:?} {}", asks(call)),
        Effect::Hold { lease, stop_at, ends_at } => {
            format!("Hold {}#{} stop at {stop_at:?} ends at {ends_at:?}", lease.name, lease.term)
        }
        Effect::Tell(event) => {
            let mut line = format!("Tell {} {}", event.kind, event.node);
            if let Some(role) = event.role {
                line += &format!(" {role}");
            }
            if let (Some(job), Some(epoch)) = (&event.job, event.epoch) {
                line += &format!(" {job}#{epoch}");
            }
            if let Some(term) = event.term {
                line += &format!(" term {term}");
            }
            format!("{line}: {}", event.reason)
        }
        other => format!("{other:?}"),
    }
}

fn asks(call: &Call) -> String {
    match call {
        Call::Acquire { name, .. } | Call::Current(name) => format!("{} {name}", store::verb(call)),
        Call::Renew(lease) => format!("renew {}#{}", lease.name, lease.term),
        Call::Release { lease, successor } => format!("release {}#{} to {successor:?}", lease.name, lease.term),
        Call::Beat(beat) => format!("beat {}.{} {:?}", beat.term, beat.seq, beat.news.role),
        Call::Assign { fence, moves } => format!("assign under {} {moves:?}", fence.term),
        Call::Report(reports) => format!("report {reports:?}"),
        Call::Changes { since, .. } => format!("changes since {since}"),
        Call::Put { key, value, expect, .. } => format!("put {key} {expect:?} {}", String::from_utf8_lossy(value)),
        Call::List { prefix, after, .. } => format!("list {prefix} after {after:?}"),
        Call::Delete { key, expect, .. } => format!("delete {key} {expect:?}"),
        Call::Sightings | Call::Forget(_) => store::verb(call).into(),
    }
}

fn answered(answer: &Result<Reply, Fault>) -> String {
    let view = |LeaseView { term, tenant }: &LeaseView| match tenant {
        Tenant::Free => format!("free after {term}"),
        Tenant::Held { holder, remaining } => format!("held by {holder} under {term} for {remaining:?}"),
        Tenant::Reserved { successor, remaining } => format!("reserved for {successor} for {remaining:?}"),
    };
    match answer {
        Ok(Reply::Done) => "done".into(),
        Ok(Reply::Sightings(seen)) => {
            let one = |s: &crate::Sighting| format!("{} {:?}", s.heartbeat.member.node, s.age);
            format!("sightings {}", seen.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Ok(Reply::Acquired(Acquired::Granted(lease))) => format!("granted {}#{}", lease.name, lease.term),
        Ok(Reply::Acquired(Acquired::Refused(v)) | Reply::View(v)) => view(v),
        Ok(Reply::Renewed(renewed)) => format!("{renewed:?}"),
        Ok(Reply::Changes(changes)) => {
            let one = |c: &crate::job::JobChange| match c {
                crate::job::JobChange::Put(r) => {
                    let owner = r.owner.as_ref().map(|m| m.node.to_string()).unwrap_or_default();
                    format!("{}#{} {} {owner}", r.spec.id(), r.epoch, r.phase)
                }
                crate::job::JobChange::Removed { id, .. } => format!("{id} removed"),
            };
            let list = changes.changes.iter().map(one).collect::<Vec<_>>().join(", ");
            format!("changes upto {} [{list}]{}", changes.upto, if changes.reset { " reset" } else { "" })
        }
        Ok(Reply::Assigned(assigned)) => format!("{assigned:?}"),
        Ok(Reply::Reported(reported)) => format!("{reported:?}"),
        Ok(Reply::Documents(documents)) => format!("{} documents", documents.len()),
        Ok(Reply::Written(written)) => format!("{written:?}"),
        Ok(Reply::Deleted(deleted)) => format!("{deleted:?}"),
        Err(fault) => format!("{fault:?}!"),
    }
}
