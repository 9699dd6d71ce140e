//! How a scenario shows things.

#![expect(clippy::format_push_string, reason = "a line is built piece by piece, and writing to a String cannot fail")]

use std::time::Duration;

use crate::ids::{LeaseName, NodeId, Revision};
use crate::job::JobChange;
use crate::lease::Tenant;
use crate::machine::{Event, EventKind};
use crate::testkit::sim::engine::Engine;

/// One event as a line: when, who tells it, what, about what, why.
pub(super) fn event(at: Duration, by: &NodeId, event: &Event) -> String {
    let mut line = format!("{:>8.3} {by} {}", at.as_secs_f64(), event.kind);
    if event.node != *by {
        line += &format!(" {}", event.node);
    }
    if let Some(role) = event.role {
        line += &format!(" {role}");
    }
    if let (Some(job), Some(epoch)) = (&event.job, event.epoch) {
        line += &format!(" {job}#{epoch}");
    }
    // An incarnation would say nothing to a reader.
    let tells = !matches!(
        event.kind,
        EventKind::NodeJoined
            | EventKind::NodeFenced
            | EventKind::NodeMissing
            | EventKind::NodeReturned
            | EventKind::FencingAsked
    );
    if let Some(detail) = event.detail.as_ref().filter(|_| tells) {
        line += &format!(" {detail}");
    }
    if let Some(term) = event.term {
        line += &format!(" #{term}");
    }
    format!("{line}: {}", event.reason)
}

/// Who is what, who holds what, what runs.
pub(super) fn status(engine: &Engine) -> Vec<String> {
    let scene = &engine.scene;
    let mut lines = Vec::new();
    for (node, plan) in engine.setup.nodes.iter().enumerate() {
        let Some((process, machine)) = scene.process(node).zip(engine.machine(node)) else {
            lines.push(format!("{} down", plan.id));
            continue;
        };
        let mut line = format!("{} {:?} {}", plan.id, machine.stage(), machine.role()).to_lowercase();
        if process.paused {
            line += " paused";
        }
        for (name, right) in &process.rights {
            let left = right.until.since(scene.now).as_secs_f64();
            line += &format!(" {name}#{} for {left:.3}s", right.lease.term);
        }
        for (job, epoch) in &process.runs {
            line += &format!(" runs {job}#{epoch}");
        }
        lines.push(line);
    }
    let names = std::iter::once(LeaseName::active()).chain(engine.setup.nodes.iter().map(|n| LeaseName::node(&n.id)));
    for name in names {
        let view = scene.world.current(scene.now, &name);
        lines.push(match view.tenant {
            Tenant::Free => format!("{name}#{} free", view.term),
            Tenant::Held { holder, remaining } => {
                format!("{name}#{} held by {} for {:.3}s", view.term, holder.node, remaining.as_secs_f64())
            }
            Tenant::Reserved { successor, remaining } => {
                format!("{name}#{} reserved for {successor} for {:.3}s", view.term, remaining.as_secs_f64())
            }
        });
    }
    for change in scene.world.changes(Revision::ZERO, 1_000).map(|c| c.changes).unwrap_or_default() {
        if let JobChange::Put(record) = change {
            let owner = record.owner.map_or_else(|| "nobody".to_owned(), |owner| owner.node.to_string());
            lines.push(format!("{}#{} {} {owner}", record.spec.id(), record.epoch, record.phase));
        }
    }
    lines
}
