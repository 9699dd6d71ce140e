use super::Invariant;
use crate::machine::Effect;
use crate::testkit::sim::scene::{Fact, Scene};

/// Exclusion of the active right in true time (law 1): no two nodes may act under `active` at one moment, each judged by its
/// own clock. A paused holder counts: it may go on at any moment.
///
/// Not claimed across a wipe, where the new store cannot know the old one's grants: there the resource's check of tokens
/// protects, see [`resource`](super::resource).
pub(super) struct ActiveExclusion;

impl Invariant for ActiveExclusion {
    fn name(&self) -> &'static str {
        "active-exclusion"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Wants { node, effect: Effect::Hold { lease, .. } } = fact else { return Ok(()) };
        let Some(mine) = scene.process(*node).and_then(|p| p.active_right(scene.now)) else { return Ok(()) };
        if lease.name != mine.lease.name {
            return Ok(());
        }
        for (other, process) in scene.others(*node) {
            if let Some(theirs) = process.active_right(scene.now) {
                return Err(format!(
                    "{} may act under active#{} until {:?}, and {} under active#{} until {:?}",
                    scene.nodes[*node].id, mine.lease.term, mine.until, other.id, theirs.lease.term, theirs.until
                ));
            }
        }
        Ok(())
    }
}
