use super::Invariant;
use crate::testkit::sim::scene::{Fact, Scene};

/// Waking a machine too often is harmless: before its deadline, time alone changes nothing.
pub(super) struct EarlyWakes;

impl Invariant for EarlyWakes {
    fn name(&self) -> &'static str {
        "early-wakes"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Nudged { node, effects } if !effects.is_empty() => {
                Err(format!("{} was woken before its time and wants {effects:?}", scene.nodes[*node].id))
            }
            _ => Ok(()),
        }
    }
}
