mod machines;

use std::collections::BTreeSet;
use std::time::Duration;

use super::plan::{Act, Beside, Hints, HookPlan, JobFate, JobPlan, NodePlan, ResponsePlan, Setup, Target, Weather};
use super::rng::Rng;
use crate::control::{Drain, Errand, Overdue, Pace, Settings, StrategyName, Topology, VersionRule};
use crate::ids::{ActionName, FailureName, GroupName, JobId, NodeId};
use crate::job::{Failback, FailoverPolicy, JobPolicy, JobSpec};
use crate::machine::{Command, Switch};
use crate::timing::Timing;

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Everything that befalls one simulated cluster, drawn from a seed: the same seed gives the same schedule, for ever.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub(super) seed: u64,
    pub(super) setup: Setup,
    /// In order of time.
    pub(super) acts: Vec<(Duration, Act)>,
    /// When the faults end.
    pub(super) heals: Duration,
}

impl Schedule {
    /// Draws the schedule of this seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let heals = rng.millis(5_000, 18_000);
        let nodes = nodes(rng);
        let mut setup = Setup {
            timing: Timing::default(),
            slowest: Timing::default(),
            quickest: Timing::default(),
            jobs: jobs(rng, &nodes),
            nodes,
            latency: (Duration::from_millis(1), rng.millis(2, 40)),
            lateness: if rng.percent(50) { Duration::ZERO } else { rng.millis(0, 5) },
            hints: hints(rng),
            hooks: HookPlan { prepare: hook(rng), promote: hook(rng), demote: hook(rng) },
            watchdog: None,
            witnessed: false,
            guards: None,
            fencers: None,
            responses: Vec::new(),
            ahead: false,
            nudges: 100,
        };
        let mut acts = Vec::new();
        for (i, _) in setup.jobs.iter().enumerate() {
            let at = if rng.percent(70) { rng.millis(0, 1_000) } else { rng.between(Duration::ZERO, heals) };
            acts.push((at, Act::Submit(i)));
            if rng.percent(8) {
                acts.push((rng.between(at, heals), Act::Remove(i)));
            }
        }
        let wipes = rng.percent(4);
        for _ in 0..rng.below(9) {
            // Most of it after the cluster has formed, some of it while it forms.
            let from = if rng.percent(85) { Duration::from_millis(2_500) } else { Duration::ZERO };
            acts.push((rng.between(from, heals), act(rng, &setup.nodes, heals)));
        }
        if wipes {
            acts.push((rng.between(Duration::from_secs(2), heals), Act::Wipe));
        }
        for (at, pace) in paces(rng, heals) {
            acts.push((at, Act::Pace(pace)));
            if let Some(Ok(timing)) = pace.map(|pace| setup.timing.at_pace(pace.beat, pace.ttl)) {
                let (slow, quick) = (setup.slowest.ttl(), setup.quickest.ttl());
                setup.slowest = if timing.ttl() > slow { timing } else { setup.slowest };
                setup.quickest = if timing.ttl() < quick { timing } else { setup.quickest };
            }
        }
        // Drawn last, so that what is drawn before is what it always was.
        health(rng, &mut setup, heals, &mut acts);
        acts.extend(upgrades(rng, &mut setup.nodes, heals));
        setup.responses = responses(rng);
        if !setup.responses.is_empty() {
            for _ in 0..rng.below(4) {
                let number = rng.index(8);
                let act = if rng.percent(70) { Act::Retry(number) } else { Act::Ack(number) };
                acts.push((rng.between(Duration::from_secs(4), heals), act));
            }
        }
        operators(rng, &setup.nodes, heals, &mut acts);
        machines::guards(rng, &mut setup, heals, &mut acts);
        refusals(rng, &mut setup.nodes, heals, &mut acts);
        if rng.percent(10) {
            setup.ahead = true;
            let beside = if rng.percent(60) { Beside::Jobs } else { Beside::Documents };
            let at = rng.between(Duration::ZERO, heals);
            acts.push((at, Act::Ahead(beside, [1, 3, 40, 1_000][rng.index(4)])));
            // Whoever is elected next runs into it at once.
            acts.push((at + rng.millis(0, 500), Act::Crash(Target::Active, Some(rng.millis(5, 500)))));
        }
        machines::fencers(rng, &mut setup, heals, &mut acts);
        acts.sort_by_key(|(at, _)| *at);
        Self { seed, setup, acts, heals }
    }

    /// The seed it was drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

fn nodes(rng: &mut Rng) -> Vec<NodePlan> {
    // Mostly the few that clusters are made of: larger ones cost more and show little more.
    let count = match rng.below(20) {
        0..6 => 2,
        6..15 => 3,
        15..18 => 4,
        _ => 5,
    };
    let keeper = rng.index(count);
    let plan = |(i, name): (usize, &&str)| NodePlan {
        id: NodeId::new(name).unwrap_or_else(|e| unreachable!("{e}")),
        origin: rng.below(1_000_000_000_000),
        ppm: match rng.below(4) {
            0 => -50_000,
            1 => 50_000,
            _ => i32::try_from(rng.below(100_001)).unwrap_or(0) - 50_000,
        },
        version: None,
        capacity: if rng.percent(60) { 50 } else { 1 + u32::try_from(rng.below(6)).unwrap_or(0) },
        starts: Some(if rng.percent(80) { rng.millis(0, 1_000) } else { rng.millis(0, 9_000) }),
        returns: i == keeper || rng.percent(80),
        hopeless: false,
    };
    NODES.iter().take(count).enumerate().map(plan).collect()
}

fn jobs(rng: &mut Rng, nodes: &[NodePlan]) -> Vec<JobPlan> {
    let count = rng.below(7);
    let plan = |i: u64| {
        let id = JobId::new(format!("job-{i}")).unwrap_or_else(|e| unreachable!("{e}"));
        let weight = if rng.percent(75) { 1 } else { 1 + u32::try_from(rng.below(4)).unwrap_or(0) };
        let spec = JobSpec::new(id, "").and_then(|spec| spec.with_weight(weight));
        let policy = if rng.percent(60) { JobPolicy::default() } else { policy(rng, nodes) };
        let promises = policy.progress.is_some();
        let spec = spec.and_then(|spec| spec.with_policy(policy));
        JobPlan {
            spec: spec.unwrap_or_else(|e| unreachable!("{e}")),
            starting: if rng.percent(70) { rng.millis(0, 50) } else { rng.millis(0, 3_000) },
            stopping: if rng.percent(70) { rng.millis(0, 300) } else { rng.millis(0, 4_000) },
            end: match rng.below(10) {
                _ if promises && rng.percent(50) => JobFate::Hangs(rng.millis(10, 9_000)),
                0 => JobFate::Completes(rng.millis(100, 12_000)),
                1 => JobFate::Breaks(rng.millis(10, 8_000)),
                _ => JobFate::Never,
            },
            stubborn: rng.percent(12),
        }
    };
    (0..count).map(plan).collect()
}

/// Where a job may run and what becomes of it, when it is not as most are.
fn policy(rng: &mut Rng, nodes: &[NodePlan]) -> JobPolicy {
    let priority = i32::try_from(rng.below(3)).unwrap_or(0) - 1;
    let mut policy = JobPolicy { priority, ..JobPolicy::default() };
    match rng.below(6) {
        0 => {
            let mut pins: Vec<NodeId> = nodes.iter().map(|node| node.id.clone()).collect();
            rng.shuffle(&mut pins);
            pins.truncate(1 + rng.index(2));
            policy.pins = pins;
        }
        1 => policy.failover = FailoverPolicy::Manual,
        2 => policy.failover = FailoverPolicy::Never,
        3 => policy.retries = Some(u32::try_from(rng.below(3)).unwrap_or(0)),
        4 => policy.failback = Some(Failback::Automatic { stable_for: rng.millis(500, 6_000) }),
        _ => policy.apart = GroupName::new("apart").ok(),
    }
    if rng.percent(40) {
        policy.progress = Some(rng.millis(400, 3_000));
    }
    policy
}

fn settings(rng: &mut Rng, nodes: &[NodePlan], roster: Vec<NodeId>, maintenance: BTreeSet<NodeId>) -> Settings {
    let mut settings = Settings { roster, maintenance, ..Settings::default() };
    let node = nodes[rng.index(nodes.len())].id.clone();
    match rng.below(8) {
        0 => drop(settings.cordoned.insert(node)),
        1 | 2 => {
            let then = if rng.percent(50) { Overdue::Abort } else { Overdue::Force };
            let mut drain = Drain::new(rng.millis(100, 6_000), then);
            drain.at_once = rng.percent(30);
            // Two drains of the same schedule are told apart, and the same schedule is the same for ever.
            drain.id = rng.below(1_000_000).to_string();
            settings.drains.insert(node, drain);
        }
        3 => settings.failback = Failback::Automatic { stable_for: rng.millis(200, 5_000) },
        4 => settings.strategy = StrategyName("spread".into()),
        _ => {}
    }
    settings
}

fn errand(rng: &mut Rng, nodes: &[NodePlan]) -> Errand {
    let node = nodes[rng.index(nodes.len())].id.clone();
    if rng.percent(50) {
        return Errand::Failback { node };
    }
    let job = JobId::new(format!("job-{}", rng.below(6))).unwrap_or_else(|e| unreachable!("{e}"));
    Errand::Move { job, to: node }
}

/// How fast the cluster is told to be, and when. Mostly not at all; drawn last, so that everything else is as it was without.
fn paces(rng: &mut Rng, heals: Duration) -> Vec<(Duration, Option<Pace>)> {
    if !rng.percent(30) {
        return Vec::new();
    }
    let mut paces = Vec::new();
    for _ in 0..=rng.below(4) {
        let ttl = [1_500, 2_500, 5_000, 9_000][rng.index(4)];
        let beat = Duration::from_millis(ttl / 5);
        let pace = if rng.percent(20) { None } else { Pace::new(beat, Duration::from_millis(ttl)).ok() };
        paces.push((rng.between(Duration::from_millis(1_500), heals), pace));
    }
    paces
}

/// The version gate, and nodes that come back as another version. Drawn last, like the paces.
fn upgrades(rng: &mut Rng, nodes: &mut [NodePlan], heals: Duration) -> Vec<(Duration, Act)> {
    if !rng.percent(15) {
        return Vec::new();
    }
    for node in nodes.iter_mut() {
        node.version = Some("1.0.0");
    }
    let rule = if rng.percent(70) { VersionRule::Compatible } else { VersionRule::Exact };
    let mut acts = vec![(rng.millis(1_500, 3_000), Act::Versions(rule, None))];
    for _ in 0..=rng.below(4) {
        let version = if rng.percent(80) { "1.1.0" } else { "2.0.0" };
        acts.push((rng.between(Duration::from_secs(2), heals), Act::Upgrade(target(rng, nodes), version)));
    }
    if rng.percent(30) {
        acts.push((rng.between(Duration::from_secs(3), heals), Act::Versions(rule, Some("1.1.0"))));
    }
    acts
}

fn responses(rng: &mut Rng) -> Vec<ResponsePlan> {
    let count = if rng.percent(40) { 0 } else { 1 + rng.index(2) };
    let plan = |name: &&str| ResponsePlan {
        name: ActionName::new(*name).unwrap_or_else(|e| unreachable!("{e}")),
        takes: if rng.percent(60) { rng.millis(0, 100) } else { rng.millis(0, 6_000) },
        fails: rng.percent(20),
    };
    ["mail", "unlock"].iter().take(count).map(plan).collect()
}

fn hook(rng: &mut Rng) -> Duration {
    match rng.below(10) {
        0..7 => rng.millis(0, 40),
        7..9 => rng.millis(0, 800),
        _ => rng.millis(0, 5_000),
    }
}

fn hints(rng: &mut Rng) -> Hints {
    match rng.below(4) {
        0 => Hints::Never,
        1 => Hints::Within(rng.millis(100, 3_000), 0),
        2 => Hints::Within(Duration::from_millis(20), 0),
        _ => Hints::Within(Duration::from_millis(20), 30),
    }
}

fn target(rng: &mut Rng, nodes: &[NodePlan]) -> Target {
    match rng.below(10) {
        0..4 => Target::Active,
        4 => Target::Standby,
        5 => Target::Busiest,
        _ => Target::Node(rng.index(nodes.len())),
    }
}

fn weather(rng: &mut Rng) -> Weather {
    match rng.below(6) {
        0 | 1 => Weather::Slow(if rng.percent(50) { rng.millis(50, 1_200) } else { rng.millis(500, 6_000) }),
        2 | 3 => Weather::Lossy { requests: rng.below(60), replies: rng.below(80) },
        4 => Weather::Refusing,
        _ => Weather::Hanging { applied: rng.below(101) },
    }
}

/// Hosts that hang or fail, and nodes that are cut off.
fn health(rng: &mut Rng, setup: &mut Setup, heals: Duration, acts: &mut Vec<(Duration, Act)>) {
    let from = Duration::from_secs(2);
    if rng.percent(35) {
        setup.watchdog = Some(rng.millis(1_000, 3_000));
        for _ in 0..=rng.below(3) {
            acts.push((rng.between(from, heals), Act::Hang(target(rng, &setup.nodes), rng.millis(200, 9_000))));
        }
    }
    if rng.percent(35) {
        setup.witnessed = true;
        for _ in 0..=rng.below(2) {
            let (whom, lasts) = (target(rng, &setup.nodes), rng.millis(500, 9_000));
            let act = if rng.percent(70) { Act::CutOff(whom, lasts) } else { Act::Unwitnessed(whom, lasts) };
            acts.push((rng.between(from, heals), act));
        }
    }
    if rng.percent(35) {
        acts.push((rng.between(Duration::ZERO, from), Act::HoldOff(rng.millis(300, 6_000))));
        for _ in 0..=rng.below(7) {
            let name = FailureName::new(["disk", "line"][rng.index(2)]).unwrap_or_else(|e| unreachable!("{e}"));
            let whom = target(rng, &setup.nodes);
            let weight = [0, 1, 10, 10, 100][rng.index(5)];
            let act = if rng.percent(70) { Act::Report(whom, name, weight) } else { Act::Clear(whom, name) };
            acts.push((rng.between(from, heals), act));
        }
    }
}

fn act(rng: &mut Rng, nodes: &[NodePlan], heals: Duration) -> Act {
    match rng.below(100) {
        0..22 => {
            let back =
                rng.percent(80).then(|| if rng.percent(50) { rng.millis(5, 500) } else { rng.millis(500, 9_000) });
            Act::Crash(target(rng, nodes), back)
        }
        22..42 => {
            let most = if rng.percent(40) { 4_000 } else { 10_000 };
            Act::Pause(target(rng, nodes), rng.millis(100, most))
        }
        42..66 => {
            let whom = rng.percent(65).then(|| target(rng, nodes));
            Act::Weather(whom, rng.millis(300, 9_000).min(heals), weather(rng))
        }
        66..70 => Act::RestartStore(rng.millis(20, 3_000)),
        70..82 => Act::Switchover(match rng.below(8) {
            0..3 => None,
            3 => Some(NodeId::new("nobody").unwrap_or_else(|e| unreachable!("{e}"))),
            _ => Some(nodes[rng.index(nodes.len())].id.clone()),
        }),
        82..89 => {
            let mut roster: Vec<NodeId> = nodes.iter().map(|n| n.id.clone()).collect();
            rng.shuffle(&mut roster);
            roster.truncate(rng.index(nodes.len() + 1));
            let mut maintenance = BTreeSet::new();
            if rng.percent(50) {
                maintenance.insert(nodes[rng.index(nodes.len())].id.clone());
            }
            Act::Settings(Box::new(settings(rng, nodes, roster, maintenance)))
        }
        89..92 => Act::Command(target(rng, nodes), Command::Maintenance(Switch::On)),
        92..94 => Act::Order(errand(rng, nodes)),
        94..96 => Act::Command(Target::Node(rng.index(nodes.len())), Command::Maintenance(Switch::Off)),
        _ => Act::Command(target(rng, nodes), Command::Leave),
    }
}

/// What operators do to the whole cluster, and what befalls it in the middle of that.
fn operators(rng: &mut Rng, nodes: &[NodePlan], heals: Duration, acts: &mut Vec<(Duration, Act)>) {
    if rng.percent(15) {
        acts.push((rng.millis(0, 2_000), Act::Topology(Topology::ActiveStandby)));
    }
    if rng.percent(20) {
        let from = rng.between(Duration::from_millis(1_500), heals);
        acts.push((from, Act::Standstill(Switch::On)));
        acts.push((rng.between(from, heals), Act::Standstill(Switch::Off)));
        if rng.percent(40) {
            acts.push((rng.between(from, heals), Act::Activate(nodes[rng.index(nodes.len())].id.clone())));
        }
    }
    if rng.percent(30) {
        let at = rng.between(Duration::from_secs(2), heals);
        acts.push((at, Act::Switchover(rng.percent(60).then(|| nodes[rng.index(nodes.len())].id.clone()))));
        let whom = if rng.percent(50) { Target::Active } else { Target::Standby };
        let act = match rng.below(4) {
            0 | 1 => Act::Crash(whom, Some(rng.millis(200, 6_000))),
            2 => Act::Pause(whom, rng.millis(200, 6_000)),
            _ => Act::Weather(Some(whom), rng.millis(100, 3_000), weather(rng)),
        };
        // Any step of it may be the last.
        acts.push((at + rng.millis(0, 600), act));
    }
}

/// Hosts that cannot be promoted: for a while, or one that never can.
fn refusals(rng: &mut Rng, nodes: &mut [NodePlan], heals: Duration, acts: &mut Vec<(Duration, Act)>) {
    if !rng.percent(25) {
        return;
    }
    for _ in 0..=rng.below(2) {
        let whom = if rng.percent(50) { Target::Standby } else { target(rng, nodes) };
        acts.push((rng.between(Duration::ZERO, heals), Act::Refuse(whom, rng.millis(500, 12_000))));
    }
    if rng.percent(40) {
        nodes[rng.index(nodes.len())].hopeless = true;
    }
}
