use super::Invariant;
use crate::control::{self, Switchover};
use crate::heartbeat::Role;
use crate::record;
use crate::testkit::sim::scene::{Fact, Scene};

/// No switchover is forgotten: once the faults have ended and a node is active, none is open.
pub(super) struct Closed;

impl Invariant for Closed {
    fn name(&self) -> &'static str {
        "closed"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Bound = fact else { return Ok(()) };
        let processes = scene.nodes.iter().filter_map(|node| node.process.as_ref());
        if !processes.into_iter().any(|process| process.role == Role::Active) {
            return Ok(());
        }
        let Some(document) = scene.world.get(&control::switchover_key()) else { return Ok(()) };
        match record::decode::<Switchover>("get", "control/switchover", &document.value) {
            Ok(wish) if !wish.phase.is_over() => Err(format!("{} is still {}", wish.id, wish.phase.as_str())),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
