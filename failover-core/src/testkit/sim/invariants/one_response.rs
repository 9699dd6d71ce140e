use std::collections::BTreeSet;

use super::Invariant;
use crate::control::{self, Errand, Orders, Settings};
use crate::heartbeat::Role;
use crate::ids::{ActionName, Member};
use crate::incident::{ActionRecord, ActionState, Claim, Part, action_key, incidents, part};
use crate::machine::{Call, Effect};
use crate::record;
use crate::testkit::sim::scene::{Fact, Scene};

/// A response action of an incident is begun once, by whoever has claimed it, and once more for each operator's order that wants it;
/// the active lease is not given back while one runs. And once all is well, none is left that nobody has begun.
#[derive(Default)]
pub(super) struct OneResponse {
    begun: BTreeSet<(u32, Member, ActionName, u32)>,
    obeyed: BTreeSet<(u32, String)>,
    /// What nobody had begun at the last look after the faults.
    due: BTreeSet<(Member, ActionName)>,
}

impl Invariant for OneResponse {
    fn name(&self) -> &'static str {
        "one-response"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Wants { node, effect: Effect::Respond { action, attempt, incident } } => {
                let Some(process) = scene.process(*node) else { return Ok(()) };
                let what = || format!("{action} for {}, attempt {attempt}, on {}", incident.member(), process.member);
                if !self.begun.insert((process.era, incident.member(), action.clone(), *attempt)) {
                    return Err(format!("{} is begun again", what()));
                }
                if process.era != scene.era {
                    return Ok(());
                }
                let record: Option<ActionRecord> = read(scene, &incident.member(), action);
                let is_own = |record: &&ActionRecord| record.by.as_ref() == Some(&process.member);
                let claim = record.as_ref().filter(is_own).filter(|record| record.attempt == *attempt);
                let Some(claim) = claim.filter(|claim| claim.state == ActionState::Claimed) else {
                    return Err(format!("{} is begun while the store has {record:?}", what()));
                };
                match (&claim.order, attempt) {
                    (None, 1) => Ok(()),
                    (Some(order), 2..) if self.obeyed.insert((scene.era, order.clone())) && is_asked(scene, order) => {
                        Ok(())
                    }
                    _ => Err(format!("{} is begun for {:?}, and nobody asked for it", what(), claim.order)),
                }
            }
            Fact::Wants { node, effect: Effect::Call { call: Call::Release { lease, .. }, .. } } => {
                // Its own: another's, whose machine is off, it gives back whenever it likes.
                let process = scene.process(*node).filter(|process| process.active == lease.name);
                let process = process.filter(|process| process.member == lease.holder);
                match process.filter(|process| !process.responding.is_empty()) {
                    Some(process) => {
                        Err(format!("{} gives the lease back while it runs {:?}", process.member, process.responding))
                    }
                    None => Ok(()),
                }
            }
            Fact::Bound => self.look(scene),
            _ => Ok(()),
        }
    }
}

impl OneResponse {
    /// What is due and could be begun may be so for a moment, not from one look to the next.
    fn look(&mut self, scene: &Scene) -> Result<(), String> {
        let up = || scene.nodes.iter().filter_map(|node| node.process.as_ref());
        // Those of one incident follow one another, and so many may run that others wait.
        let is_free =
            up().any(|process| process.role == Role::Active) && up().all(|process| process.responding.is_empty());
        let settings: Settings = scene.document(&control::settings_key());
        let due = if is_free && settings.paused.is_none() { due(scene) } else { BTreeSet::new() };
        let before = std::mem::replace(&mut self.due, due);
        match self.due.intersection(&before).next() {
            Some((member, action)) => Err(format!("nobody begins {action} for {member}")),
            None => Ok(()),
        }
    }
}

fn due(scene: &Scene) -> BTreeSet<(Member, ActionName)> {
    let documents = scene.world.list(&incidents(), None, 1_000).unwrap_or_default();
    let claims = documents.iter().filter(|document| part(&document.key).is_some_and(|(_, part)| part == Part::Claim));
    let claims = claims.filter_map(|document| record::decode::<Claim>("look", "claim", &document.value).ok());
    let due = claims.flat_map(|claim| claim.due.clone().into_iter().map(move |action| (claim.member(), action)));
    due.filter(|(member, action)| read::<ActionRecord>(scene, member, action).is_none()).collect()
}

fn read<T: serde::de::DeserializeOwned>(scene: &Scene, member: &Member, action: &ActionName) -> Option<T> {
    let document = scene.world.get(&action_key(member, action)?)?;
    record::decode("look", "action", &document.value).ok()
}

fn is_asked(scene: &Scene, order: &str) -> bool {
    let orders: Orders = scene.document(&control::orders_key());
    orders.orders.get(order).is_some_and(|order| matches!(order.what, Errand::Retry { .. }))
}
