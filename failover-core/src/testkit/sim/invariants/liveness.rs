use std::collections::BTreeSet;
use std::time::Duration;

use super::Invariant;
use crate::control::{self, Settings, Topology};
use crate::heartbeat::Role;
use crate::ids::{Epoch, JobId, Member, NodeId, Revision};
use crate::job::{FailoverPolicy, JobChange, JobRecord, Phase};
use crate::testkit::sim::plan::Setup;
use crate::testkit::sim::scene::{Fact, ProcessScene, Scene};

/// By when everything has to be well again after the faults have ended (law 16).
///
/// - The last renewal of a node that is gone, or of an incarnation that was replaced, reached the store at the latest when the
///   faults ended; so its leases lapse within one ttl. The active node's and its node's lapse side by side.
/// - A candidate asks for the free lease when it is due to lapse, plus its place in line: at most one stagger for each node,
///   and one more attempt if its call was still hanging: a call's deadline and a beat.
/// - The new active node installs its fence, reads and promotes: two round trips, and the hooks' own time. The old one
///   may first have to demote, if it was in the middle of stepping down.
/// - It looks at the heartbeats, fences who is missing, seizes and places: two beats and four round trips. A node that is gone
///   has been silent for longer than its lease has lapsed, so it is missing by then.
/// - The owner reads, starts and reports: a beat without hints, and the job's own time to start. A job that is moved
///   first takes its own time to stop, and so does a node that was losing its lease.
/// - A job that had failed waits for its backoff: up to eight beats after four failures, which run beside all of the above; one
///   that failed more often is not waited for.
///
/// - A run that hangs is told to stop when its promise is broken and cut off one promise later; if that is in vain, its node lets its
///   lease lapse another promise later.
///
/// - A node whose host can never be promoted may be elected first. It gives the lease back and leaves it to the others for longer than
///   they take to ask for it; so that comes on top once.
///
/// - Where a fence was above what the lease store grants, a node that was granted a term in vain asks again six ttls later at the latest, and
///   whoever was active all the same is fenced and elected anew.
///
/// Where the pace changes, all of this goes by the slowest: the last one reaches everybody within its beat.
///
/// Clocks may run slow by the drift, so all of it is stretched by that.
pub(in crate::testkit::sim) fn bound(setup: &Setup) -> Duration {
    let timing = &setup.slowest;
    let nodes = u32::try_from(setup.nodes.len()).unwrap_or(u32::MAX);
    let round_trip = setup.latency.1 * 2 + setup.lateness;
    let hooks = setup.hooks.prepare + setup.hooks.promote + setup.hooks.demote * 2;
    let starting = setup.jobs.iter().map(|job| job.starting).max().unwrap_or_default();
    let stopping = setup.jobs.iter().map(|job| job.stopping).max().unwrap_or_default();
    let elect = timing.ttl() + timing.stagger() * nodes + timing.call() + timing.beat();
    let promote = hooks + round_trip * 4;
    let fence = timing.beat() * 2 + round_trip * 4;
    let place = timing.beat() * 2 + round_trip * 4 + starting + stopping * 2;
    let promises = setup.jobs.iter().filter_map(|job| job.spec.policy().progress);
    let hung = promises.max().map_or(Duration::ZERO, |promise| promise * 3 + timing.ttl());
    // Who was slow until now hears of the last pace at its next look.
    let hear = if setup.slowest == setup.quickest { Duration::ZERO } else { timing.beat() + round_trip };
    // One that cannot be promoted is elected first, and leaves it to the others.
    let refused = if setup.nodes.iter().any(|node| node.hopeless) { elect + promote } else { Duration::ZERO };
    let stood_off = if setup.ahead { timing.ttl() * 6 + elect } else { Duration::ZERO };
    let total = hear + stood_off + elect + promote + refused + fence + place + hung;
    total + total * timing.drift_ppm() / 1_000_000
}

/// Liveness: once the faults have ended, the cluster is whole again within the [`bound`]: one active node, a standby if another
/// node could be one, and every job that has room somewhere runs.
#[derive(Default)]
pub(super) struct Liveness {
    /// Jobs that were on their way at the last look: a run had ended while the store did not know it yet, or one that ended had just
    /// made room for another. They may not be found so a second time.
    passing: BTreeSet<(JobId, Epoch)>,
}

impl Invariant for Liveness {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn observe(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Bound => {
                let mut passing = ending(scene);
                passing.extend(whole(scene)?);
                let before = std::mem::replace(&mut self.passing, passing);
                match self.passing.intersection(&before).next() {
                    Some((job, epoch)) => {
                        Err(format!("{job}#{epoch} could run, or runs for the store and nowhere else"))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Whether the run is where the store says.
fn is_run(scene: &Scene, owner: &Member, record: &JobRecord) -> bool {
    let mut processes = scene.nodes.iter().filter_map(|node| node.process.as_ref());
    let run = (record.spec.id().clone(), record.epoch);
    processes.any(|process| process.member == *owner && process.runs.contains(&run))
}

/// Runs that the store has as running and that run nowhere, while there is somebody to decide what becomes of them.
fn ending(scene: &Scene) -> BTreeSet<(JobId, Epoch)> {
    let settings: Settings = scene.document(&control::settings_key());
    let mut up = scene.nodes.iter().filter_map(|node| node.process.as_ref());
    let cannot = |p: &ProcessScene| p.parked || p.hopeless || !scene.admits(p) || !may_lead(&settings, &p.member.node);
    if up.all(cannot) {
        return BTreeSet::new();
    }
    let running = jobs(scene).into_iter().filter(|record| record.phase == Phase::Running);
    let lost = running.filter(|record| record.owner.as_ref().is_some_and(|owner| !is_run(scene, owner, record)));
    lost.map(|record| (record.spec.id().clone(), record.epoch)).collect()
}

/// Whether a drain of the node holds and jobs are still its own: its maintenance begins after that, and never if what is left there stays.
fn is_emptying(scene: &Scene, process: &ProcessScene) -> bool {
    let settings: Settings = scene.document(&control::settings_key());
    let owned = || jobs(scene).into_iter().any(|record| record.owner.as_ref() == Some(&process.member));
    settings.drains.contains_key(&process.member.node) && owned()
}

/// Whether everything is well. Gives the jobs that are on their way.
fn whole(scene: &Scene) -> Result<BTreeSet<(JobId, Epoch)>, String> {
    let settings = scene.document::<Settings>(&control::settings_key());
    let up = || scene.nodes.iter().filter_map(|node| node.process.as_ref());
    let fit =
        || up().filter(|process| !process.parked && scene.admits(process) && may_lead(&settings, &process.member.node));
    let of = |role: Role| up().filter(move |process| process.role == role).count();
    let eligible = fit().filter(|process| !process.hopeless).count();
    if eligible > 0 && of(Role::Active) != 1 {
        return Err(format!("{} nodes are active, {eligible} could be", of(Role::Active)));
    }
    // That a host can never be promoted nobody knows before.
    if eligible > 0 && fit().count() > 1 && of(Role::Standby) != 1 {
        let fit = fit().count();
        return Err(format!("{} nodes are standby beside the active one, {fit} could be", of(Role::Standby)));
    }
    for process in up() {
        if process.parked != (process.role == Role::Maintenance) && !is_emptying(scene, process) {
            return Err(format!(
                "{} is {}, and meant to be in maintenance: {}",
                process.member, process.role, process.parked
            ));
        }
        if process.node_right(scene.now).is_none() {
            return Err(format!("{} has no lease of its own", process.member));
        }
    }
    if let Some(process) = up().find(|process| process.role == Role::Active)
        && process.active_right(scene.now).is_none()
    {
        return Err(format!("{} is active without the right to", process.member));
    }
    if eligible == 0 {
        // Nobody decides, so nothing moves.
        return Ok(BTreeSet::new());
    }
    let fit: Vec<_> = fit().collect();
    let mut passing = BTreeSet::new();
    for record in jobs(scene) {
        if !is_settled(scene, &record, &fit)? {
            passing.insert((record.spec.id().clone(), record.epoch));
        }
    }
    Ok(passing)
}

fn jobs(scene: &Scene) -> Vec<JobRecord> {
    let changes = scene.world.changes(Revision::ZERO, 10_000).map(|c| c.changes).unwrap_or_default();
    let records = changes.into_iter().filter_map(|change| match change {
        JobChange::Put(record) => Some(record),
        JobChange::Removed { .. } => None,
    });
    records.collect()
}

/// Whether the job runs where the store says, or there is nothing it could do.
fn is_settled(scene: &Scene, record: &JobRecord, fit: &[&ProcessScene]) -> Result<bool, String> {
    match (&record.owner, record.phase) {
        _ if record.retiring => {
            Err(format!("{} was removed and is still there, with {:?}", record.spec.id(), record.owner))
        }
        (None, Phase::Completed) => Ok(true),
        // Its time may not have come: after five failures it waits for longer than the bound.
        (None, Phase::Failed) if record.failures > 4 => Ok(true),
        // That it has ended may be on its way to the store, once.
        (Some(owner), phase) => Ok(phase == Phase::Running || is_run(scene, owner, record)),
        (None, _) => Ok(has_given_up(record) || !fit.iter().any(|process| may_take(scene, process, record))),
    }
}

/// Whether the node may lead, by the cluster's topology.
fn may_lead(settings: &Settings, node: &NodeId) -> bool {
    settings.topology == Topology::Ordered || settings.roster.is_empty() || settings.roster.contains(node)
}

/// Whether its policy wants it to be left alone now.
fn has_given_up(record: &JobRecord) -> bool {
    let over = record.spec.policy().retries.is_some_and(|most| record.course.retries >= most);
    over && matches!(record.phase, Phase::Failed | Phase::Lost)
}

/// Whether the node could take a job that nobody has, by everything that is asked of it.
fn may_take(scene: &Scene, process: &ProcessScene, record: &JobRecord) -> bool {
    let (node, policy, settings) =
        (&process.member.node, record.spec.policy(), scene.document::<Settings>(&control::settings_key()));
    let last = record.runs.last().map(|run| &run.member.node);
    let bound = match policy.failover {
        FailoverPolicy::Automatic => None,
        FailoverPolicy::Manual | FailoverPolicy::Never => record.course.home.as_ref().or(last),
    };
    if bound.is_some_and(|bound| bound != node) || !(policy.pins.is_empty() || policy.pins.contains(node)) {
        return false;
    }
    if settings.cordoned.contains(node) || settings.drains.contains_key(node) {
        return false;
    }
    if settings.topology == Topology::ActiveStandby && process.role != Role::Active {
        return false;
    }
    let others = jobs(scene);
    let is_there = |other: &&JobRecord| {
        let moving = matches!(other.phase, Phase::Draining | Phase::Queued | Phase::Lost | Phase::Failed);
        let owned = other.owner.as_ref().is_some_and(|owner| owner.node == *node);
        other.spec.id() != record.spec.id() && (owned || moving && other.course.target.as_ref() == Some(node))
    };
    let there: Vec<&JobRecord> = others.iter().filter(is_there).collect();
    let apart = policy.apart.is_some() && there.iter().any(|other| other.spec.policy().apart == policy.apart);
    let load: u32 = there.iter().map(|other| other.spec.weight()).sum();
    !apart && process.capacity >= load + record.spec.weight()
}
