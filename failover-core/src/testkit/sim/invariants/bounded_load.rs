use std::collections::BTreeMap;

use super::Invariant;
use crate::machine::{Call, Effect};
use crate::testkit::sim::scene::{Fact, Scene};
use crate::time::Time;

/// The most calls of a node in a second, whatever the number of jobs.
const MOST: u32 = 60;

/// Bounded load (law 17): a constant number of calls for each node and second. What comes in batches of up to a hundred jobs
/// is not counted, because it is bounded by what there is to say.
#[derive(Default)]
pub(super) struct BoundedLoad {
    nodes: BTreeMap<usize, (u64, u32)>,
}

impl Invariant for BoundedLoad {
    fn name(&self) -> &'static str {
        "bounded-load"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Wants { node, effect: Effect::Call { call, .. } } = fact else { return Ok(()) };
        if matches!(call, Call::Assign { .. } | Call::Report(_)) {
            return Ok(());
        }
        let second = scene.now.since(Time::ZERO).as_secs();
        let (current, calls) = self.nodes.entry(*node).or_default();
        if *current != second {
            (*current, *calls) = (second, 0);
        }
        *calls += 1;
        if *calls > MOST {
            return Err(format!("{} makes more than {MOST} calls in a second", scene.nodes[*node].id));
        }
        Ok(())
    }
}
