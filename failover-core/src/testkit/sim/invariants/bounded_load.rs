use std::collections::BTreeMap;

use super::Invariant;
use crate::ids::{LeaseName, Member, Term};
use crate::lease::Acquired;
use crate::machine::{Call, Effect, Reply};
use crate::testkit::sim::scene::{Fact, Scene};
use crate::time::Time;

/// The most calls of a node in a beat of a second, whatever the number of jobs; with shorter beats, as many more in a second. A good part of them is for
/// what is written once, a call each: the steps of a switchover, a failure's claim, its actions and times, the history. What comes nearest is a
/// node that takes the role over twice in a second, and both times finds two nodes dead: it fences them and looks whose claims there are each time.
const MOST: u32 = 72;

/// The most terms of the active lease that a node is granted in ten beats of a second: a role that goes to and fro, and a fence found out.
const MOST_TERMS: u32 = 12;

/// Bounded load (law 17): a constant number of calls for each node and second. What comes in batches of up to a hundred jobs
/// is not counted, because it is bounded by what there is to say. Nor is anybody elected again and again in vain.
#[derive(Default)]
pub(super) struct BoundedLoad {
    nodes: BTreeMap<usize, (u64, u32)>,
    /// Each member's last term, in which ten seconds, and how many there were in those.
    terms: BTreeMap<Member, (Term, u64, u32)>,
}

impl BoundedLoad {
    fn elected(&mut self, scene: &Scene, by: &Member, term: Term) -> Result<(), String> {
        let now = scene.now.since(Time::ZERO).as_secs() / 10;
        let (last, when, terms) = self.terms.entry(by.clone()).or_default();
        if *last == term {
            return Ok(());
        }
        *terms = if *when == now { *terms + 1 } else { 1 };
        (*last, *when) = (term, now);
        let most = MOST_TERMS * scene.haste;
        if *terms > most { Err(format!("{by} is elected more than {most} times in ten seconds")) } else { Ok(()) }
    }
}

impl Invariant for BoundedLoad {
    fn name(&self) -> &'static str {
        "bounded-load"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Applied { by, answer: Ok(Reply::Acquired(Acquired::Granted(lease))), .. } = fact
            && lease.name == LeaseName::active()
        {
            return self.elected(scene, by, lease.term);
        }
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
        let most = MOST * scene.haste;
        if *calls > most {
            return Err(format!("{} makes more than {most} calls in a second", scene.nodes[*node].id));
        }
        Ok(())
    }
}
