use std::collections::{BTreeMap, BTreeSet};

use super::Invariant;
use crate::machine::{CallId, Effect, Input};
use crate::testkit::sim::scene::{Fact, Scene};

/// Each call has an id of its own and gets one outcome, so that no answer is ever taken for another's.
#[derive(Default)]
pub(super) struct CallIds {
    nodes: BTreeMap<usize, Ids>,
}

#[derive(Default)]
struct Ids {
    last: Option<CallId>,
    open: BTreeSet<CallId>,
}

impl Invariant for CallIds {
    fn name(&self) -> &'static str {
        "call-ids"
    }

    fn observe(&mut self, _scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => {
                self.nodes.insert(*node, Ids::default());
            }
            Fact::Wants { node, effect: Effect::Call { id, .. } } => {
                let ids = self.nodes.entry(*node).or_default();
                if ids.last.is_some_and(|last| *id <= last) {
                    return Err(format!("{id:?} comes after {:?}", ids.last));
                }
                ids.last = Some(*id);
                ids.open.insert(*id);
            }
            Fact::Told { node, input: Input::Outcome { id, .. } } => {
                let first = self.nodes.entry(*node).or_default().open.remove(id);
                return if first { Ok(()) } else { Err(format!("{id:?} gets a second outcome")) };
            }
            _ => {}
        }
        Ok(())
    }
}
