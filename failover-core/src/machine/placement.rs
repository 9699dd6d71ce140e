//! Where jobs go: an ordered list of places with room, and the moves that follow from it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{JobId, Member, NodeId};
use crate::job::{JobRecord, Move, Phase, Step};
use crate::machine::mirror::{Entry, Mirror};
use crate::time::Time;

/// A member that may be given jobs, and how much more it can take.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) member: Member,
    pub(super) room: i64,
}

/// What one round of decisions starts from.
pub(super) struct Ground<'a> {
    pub(super) now: Time,
    pub(super) mirror: &'a Mirror,
    /// In order of preference, each with its whole capacity.
    pub(super) places: Vec<Place>,
    /// Whether the right of this owner has provably ended (law 11).
    pub(super) is_dead: &'a dyn Fn(&Member) -> bool,
    /// Nodes whose jobs have to move whether or not there is a place for them.
    pub(super) must_vacate: &'a dyn Fn(&NodeId) -> bool,
    /// A node whose jobs should move where there is room.
    pub(super) should_vacate: Option<&'a NodeId>,
    /// The wait after a job's first failure.
    pub(super) backoff: Duration,
    pub(super) most: usize,
}

/// What one round of decisions comes to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) moves: Vec<Move>,
    /// When a job that failed may be placed again.
    pub(super) wake_at: Option<Time>,
}

/// Decides. `bound` remembers where draining jobs are to go, so that their room is counted on both sides (helix#2468).
pub(super) fn plan(ground: Ground<'_>, bound: &mut BTreeMap<JobId, Member>) -> Plan {
    let Ground { now, mirror, mut places, .. } = ground;
    bound.retain(|job, target| {
        let waits = |r: &JobRecord| matches!(r.phase, Phase::Draining | Phase::Queued);
        mirror.get(job).is_some_and(waits) && places.iter().any(|place| place.member == *target)
    });
    for Entry { record, .. } in mirror.jobs() {
        let target = bound.get(record.spec.id());
        for place in &mut places {
            if record.owner.as_ref() == Some(&place.member) || target == Some(&place.member) {
                place.room -= i64::from(record.spec.weight());
            }
        }
    }
    let mut plan = Plan::default();
    for Entry { record, read_at } in mirror.jobs() {
        if plan.moves.len() == ground.most {
            break;
        }
        let id = record.spec.id();
        let weight = i64::from(record.spec.weight());
        let mut step = None;
        match (&record.owner, record.phase) {
            (Some(owner), _) if (ground.is_dead)(owner) => {
                let to = if record.retiring { None } else { take(&mut places, weight, None) };
                step = Some(Step::Seize { from: owner.clone(), to });
            }
            (Some(owner), Phase::Assigned | Phase::Running) if !record.retiring => {
                let must = (ground.must_vacate)(&owner.node);
                if must || ground.should_vacate == Some(&owner.node) {
                    let target = take(&mut places, weight, Some(&owner.node));
                    if must || target.is_some() {
                        step = Some(Step::Drain);
                    }
                    if let Some(target) = target {
                        bound.insert(id.clone(), target);
                    }
                }
            }
            (None, Phase::Queued | Phase::Lost) => {
                let target = bound.remove(id).or_else(|| take(&mut places, weight, None));
                step = target.map(|to| Step::Place { to });
            }
            (None, Phase::Failed) => {
                let due = *read_at + wait_after(record.failures, ground.backoff);
                if now >= due {
                    step = take(&mut places, weight, None).map(|to| Step::Place { to });
                } else {
                    plan.wake_at = Some(plan.wake_at.map_or(due, |at| at.min(due)));
                }
            }
            (None, Phase::Completed | Phase::Assigned | Phase::Running | Phase::Draining) | (Some(_), _) => {}
        }
        if let Some(step) = step {
            plan.moves.push(Move::new(id.clone(), record.epoch, step));
        }
    }
    plan
}

/// The first place with room, other than `not`; its room is taken.
fn take(places: &mut [Place], weight: i64, not: Option<&NodeId>) -> Option<Member> {
    let place = places.iter_mut().find(|p| p.room >= weight && Some(&p.member.node) != not)?;
    place.room -= weight;
    Some(place.member.clone())
}

/// Doubles with each failure, up to 32 times the first wait.
fn wait_after(failures: u32, first: Duration) -> Duration {
    first * 2_u32.pow(failures.saturating_sub(1).min(5))
}
