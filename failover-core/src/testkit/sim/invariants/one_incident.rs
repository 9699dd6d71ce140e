use std::collections::BTreeSet;

use super::Invariant;
use crate::machine::{Effect, EventKind};
use crate::testkit::sim::scene::{Fact, Scene};

/// One incident for each failed incarnation (law 14), whoever is active: the event names the node and the term of its lease
/// under which it was found dead, and no two of them may be of one incarnation.
#[derive(Default)]
pub(super) struct OneIncident {
    told: BTreeSet<(u32, String, Option<String>)>,
}

impl Invariant for OneIncident {
    fn name(&self) -> &'static str {
        "one-incident"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Wants { node, effect: Effect::Tell(event) } = fact else { return Ok(()) };
        if event.kind != EventKind::NodeFenced {
            return Ok(());
        }
        let era = scene.process(*node).map_or(0, |process| process.era);
        if self.told.insert((era, event.node.to_string(), event.detail.clone())) {
            Ok(())
        } else {
            Err(format!("{} was fenced twice: {event:?}", event.node))
        }
    }
}
