use super::Invariant;
use crate::heartbeat::Role;
use crate::lease::Lease;
use crate::machine::Effect;
use crate::testkit::sim::scene::{Fact, ProcessScene, Scene};
use crate::time::Time;

/// Self-fence (law 4): no right, no run and no active role outlasts the lease by the store's clock, and a right that is over
/// by the holder's own clock is dropped before anything else is done.
pub(super) struct SelfFence;

impl Invariant for SelfFence {
    fn name(&self) -> &'static str {
        "self-fence"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Wants { node, effect: Effect::Hold { lease, .. } } => {
                let Some(process) = scene.process(*node) else { return Ok(()) };
                let Some(until) = scene.ledger.until(process.era, lease) else {
                    return Err(format!(
                        "{} holds {}#{} that was never granted to it",
                        process.member, lease.name, lease.term
                    ));
                };
                let ends = process.rights.get(&lease.name).map_or(Time::ZERO, |right| right.until);
                if ends > until {
                    let Lease { name, term, .. } = lease;
                    return Err(format!(
                        "{name}#{term} ends at {until:?}, but its holder believes in it until {ends:?}"
                    ));
                }
                Ok(())
            }
            // Before it can do anything about it: it should have done so before.
            Fact::Told { node, .. } | Fact::Dying { node } => match scene.process(*node) {
                Some(process) if scene.was_awake(process) => in_time(scene, process),
                _ => Ok(()),
            },
            Fact::Handled { node } => scene.process(*node).map_or(Ok(()), |process| dropped(scene, process)),
            Fact::Bound => scene.nodes.iter().filter_map(|n| n.process.as_ref()).try_for_each(|p| in_time(scene, p)),
            _ => Ok(()),
        }
    }
}

/// Nothing is left of a right that the store has ended.
fn in_time(scene: &Scene, process: &ProcessScene) -> Result<(), String> {
    for (name, right) in &process.rights {
        let until = scene.ledger.until(process.era, &right.lease).unwrap_or(Time::ZERO);
        if scene.now > until {
            return Err(format!("{} still holds {name}, which ended at {until:?}", process.member));
        }
    }
    Ok(())
}

/// Nothing is left of a right that the holder's clock has ended.
fn dropped(scene: &Scene, process: &ProcessScene) -> Result<(), String> {
    let member = &process.member;
    if let Some((name, right)) = process.rights.iter().find(|(_, right)| right.until <= scene.now) {
        return Err(format!("{member} still holds {name}, which ended by its own clock at {:?}", right.until));
    }
    if !process.runs.is_empty() && !process.rights.contains_key(&process.own) {
        return Err(format!("{member} runs {:?} without its own lease", process.runs));
    }
    if process.role == Role::Active && !process.rights.contains_key(&process.active) {
        return Err(format!("{member} calls itself active without the lease"));
    }
    if !process.host.is_quiet() && !process.rights.contains_key(&process.active) {
        return Err(format!("{member}'s host acts as active without the lease"));
    }
    Ok(())
}
