use std::collections::BTreeMap;

use super::Invariant;
use crate::ids::{LeaseName, Member, Term};
use crate::lease::{Acquired, Lease};
use crate::machine::{Effect, Reply};
use crate::testkit::sim::scene::{Fact, Scene};

/// Terms only grow and no token is issued twice (laws 1 and 2), as the store grants them and as the nodes hold them.
#[derive(Default)]
pub(super) struct Terms {
    granted: BTreeMap<LeaseName, (Term, Member)>,
    held: BTreeMap<LeaseName, (Term, Member)>,
}

impl Invariant for Terms {
    fn name(&self) -> &'static str {
        "terms"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Applied { answer: Ok(Reply::Acquired(Acquired::Granted(lease))), .. } => {
                grows(&mut self.granted, "granted", lease)
            }
            // A right of the store before a wipe may be held a little longer: terms go on, so it is only lower.
            Fact::Wants { node, effect: Effect::Hold { lease, .. } }
                if scene.process(*node).is_some_and(|p| p.era == scene.era) =>
            {
                grows(&mut self.held, "held", lease)
            }
            _ => Ok(()),
        }
    }
}

fn grows(highest: &mut BTreeMap<LeaseName, (Term, Member)>, verb: &str, lease: &Lease) -> Result<(), String> {
    let Lease { name, holder, term, .. } = lease;
    if let Some((before, by)) = highest.get(name)
        && (term < before || (term == before && holder != by))
    {
        return Err(format!("{name}#{term} is {verb} by {holder} after #{before} was by {by}"));
    }
    highest.insert(name.clone(), (*term, holder.clone()));
    Ok(())
}
