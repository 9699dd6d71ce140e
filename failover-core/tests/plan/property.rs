//! What holds whatever happens: random nodes, policies, failures and edits, with a board that decides and a store that does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use failover_core::job::{Course, Failback, FailoverPolicy, JobStatus, Phase, Step};
use failover_core::plan::{Board, Decision, Exit, Gate, Place, Rules, Shut, Spread, State, Verdict, Why};
use failover_core::{Capacity, Epoch, GroupName, JobId, JobPolicy, JobRecord, Member, NodeId};
use proptest::prelude::*;

use crate::world::{World, id, member, node};

const NODES: [&str; 4] = ["a", "b", "c", "d"];
const JOBS: u8 = 9;

/// One thing that happens, with three numbers to choose what exactly.
type Event = (u8, u8, u8, u8);

/// What the test knows besides the store.
struct Trial {
    world: World,
    spread: bool,
    rules: Rules,
    wanted: BTreeMap<JobId, NodeId>,
    returning: BTreeSet<NodeId>,
    starts: u128,
    /// Who had a job under an epoch.
    had: BTreeMap<(JobId, Epoch), Member>,
}

fn name(of: u8) -> &'static str {
    NODES[usize::from(of) % NODES.len()]
}

fn job(of: u8) -> JobId {
    id(&format!("j{}", of % JOBS))
}

fn policy(a: u8, b: u8) -> JobPolicy {
    let mut policy = JobPolicy::default();
    policy.priority = i32::from(a % 3);
    policy.failover = match a / 3 % 5 {
        0 => FailoverPolicy::Manual,
        1 => FailoverPolicy::Never,
        _ => FailoverPolicy::Automatic,
    };
    policy.pins = match b % 8 {
        0 => vec![node(name(a))],
        1 => vec![node(name(a)), node("unknown"), node(name(a.wrapping_add(1)))],
        _ => Vec::new(),
    };
    if (b / 8).is_multiple_of(4) {
        policy.requires.insert("zone".to_owned(), "x".to_owned());
    }
    if b / 8 % 4 == 1 {
        policy.prefers.insert("zone".to_owned(), "x".to_owned());
    }
    policy.apart = a.is_multiple_of(4).then(|| GroupName::new("g").unwrap());
    policy.retries = b.is_multiple_of(5).then_some(2);
    policy.progress = b.is_multiple_of(7).then_some(Duration::from_secs(45));
    if policy.failover != FailoverPolicy::Never {
        policy.failback = match a / 16 % 4 {
            0 => Some(Failback::Never),
            1 => Some(Failback::Automatic { stable_for: Duration::from_secs(3) }),
            _ => None,
        };
    }
    policy
}

impl Trial {
    fn new(capacities: &[(u32, u32)], spread: bool) -> Self {
        let open = |(at, (jobs, weight)): (usize, &(u32, u32))| {
            let mut place =
                Place::open(member(NODES[at], 1), Capacity::of(*jobs).unwrap().with_weight(*weight).unwrap());
            place.labels.extend((at % 2 == 0).then(|| ("zone".to_owned(), "x".to_owned())));
            place
        };
        let world = World::new(capacities.iter().enumerate().map(open).collect());
        let rules = Rules::default();
        let (wanted, returning, had) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let mut trial = Self { world, spread, rules, wanted, returning, starts: 1, had };
        trial.world.board = trial.tell(trial.world.another_board(Board::new()));
        trial
    }

    /// Tells a board everything but the jobs and nodes.
    fn tell(&self, mut board: Board) -> Board {
        if self.spread {
            board.set_strategy(Arc::new(Spread));
        }
        board.set_rules(self.rules);
        board.set_wanted(self.wanted.clone());
        board.set_returning(self.returning.clone());
        board
    }

    fn happens(&mut self, (what, a, b, c): Event) {
        let (there, known) = (name(a), self.world.records.contains_key(&job(a)));
        let world = &mut self.world;
        match what % 18 {
            0..3 if !known => drop(world.submit(job(a).as_str(), u32::from(c % 3) + 1, policy(b, c))),
            3 => world.remove(&job(a)),
            4 if known => world.revise(&job(a), |old| *old = policy(b, c)),
            5 => world.lose(there),
            6 | 7 => {
                self.starts += 1;
                // The one before is gone for good, or nobody could have come back under its name.
                world.lose(there);
                world.back(there, self.starts);
            }
            8 => world.place_mut(there, |place| {
                place.gate = if b % 2 == 0 { Gate::Open } else { Gate::Shut(Shut::Cordoned) };
            }),
            9 => world.place_mut(there, |place| {
                place.exit = [Exit::Stay, Exit::Stay, Exit::WhenReady, Exit::AtOnce, Exit::Follow][usize::from(b) % 5];
            }),
            10 => world.place_mut(there, |place| {
                place.capacity = Capacity::of(u32::from(b % 4) + 1).unwrap().with_weight(u32::from(c % 6) + 1).unwrap();
            }),
            11 => {
                let asked = b % 2 == 0;
                let _ = if asked { self.wanted.insert(job(a), node(name(c))) } else { self.wanted.remove(&job(a)) };
                self.world.board.set_wanted(self.wanted.clone());
            }
            12 => {
                let _ =
                    if b % 2 == 0 { self.returning.insert(node(there)) } else { self.returning.remove(&node(there)) };
                self.world.board.set_returning(self.returning.clone());
            }
            13 => {
                let failback =
                    [Failback::Never, Failback::Manual, Failback::Automatic { stable_for: Duration::from_secs(2) }];
                self.rules = Rules::new(
                    failback[usize::from(a) % 3],
                    self.rules.damping,
                    Duration::from_secs(u64::from(b % 4) + 1),
                );
                self.world.board.set_rules(self.rules);
            }
            14 => world.now = world.now + Duration::from_millis(u64::from(b) * 40),
            _ if known => self.owner_says(&job(a), b),
            _ => {}
        }
    }

    fn owner_says(&mut self, job: &JobId, what: u8) {
        let record = &self.world.records[job];
        if record.owner.as_ref().is_none_or(|owner| self.world.dead.contains(owner)) {
            return;
        }
        let draining = record.phase == Phase::Draining || record.retiring;
        let status = match what % 6 {
            0 => JobStatus::Failed("no".to_owned()),
            1 => JobStatus::Completed,
            2 => JobStatus::Stopped,
            3 | 4 if draining => JobStatus::Stopped,
            _ => JobStatus::Running,
        };
        self.world.report(job, status);
    }

    /// One round of the active node, which may be cut short.
    fn round(&mut self, most: usize) -> bool {
        let plan = self.world.board.decide(self.world.now, most);
        let mut other = self.tell(self.world.another_board(Board::new()));
        assert_eq!(plan, other.decide(self.world.now, most), "the same board decides the same");
        if plan.decisions.is_empty() && most > 0 {
            self.nothing_is_forgotten();
        }
        for decision in &plan.decisions {
            self.may_be(decision);
            assert!(self.world.apply(&decision.mv), "{decision:?} is stale");
            if let Some(record) = self.world.records.get(&decision.mv.job)
                && let Some(owner) = &record.owner
            {
                let had = self.had.entry((decision.mv.job.clone(), record.epoch)).or_insert_with(|| owner.clone());
                assert_eq!(had, owner, "two nodes under one epoch");
            }
        }
        !plan.decisions.is_empty()
    }

    /// The nodes on which a job takes room.
    fn seats<'a>(&self, record: &'a JobRecord) -> BTreeSet<&'a NodeId> {
        let here = record.owner.as_ref().filter(|owner| !self.world.dead.contains(owner)).map(|owner| &owner.node);
        let moving = matches!(record.phase, Phase::Draining | Phase::Queued | Phase::Failed | Phase::Lost);
        here.into_iter().chain(record.course.target.as_ref().filter(|_| moving)).collect()
    }

    /// Whether all that was promised of a decision holds at the moment it comes true.
    fn may_be(&self, decision: &Decision) {
        let record = &self.world.records[&decision.mv.job];
        let policy = record.spec.policy();
        let place = |node: &NodeId| self.world.places.iter().find(|place| place.node == *node);
        if let Some(to) = &decision.to {
            let place = place(to).expect("a place");
            assert_eq!(place.closed(), None, "{decision:?} goes to a closed place");
            assert!(policy.pins.is_empty() || policy.pins.contains(to), "{decision:?} breaks a pin");
            let labels = policy.requires.iter().all(|(label, value)| place.labels.get(label) == Some(value));
            assert!(labels, "{decision:?} breaks a label");
            let there =
                self.world.records.values().filter(|r| r.spec.id() != &decision.mv.job && self.seats(r).contains(to));
            let (mut jobs, mut weight) = (1, record.spec.weight());
            for other in there {
                (jobs, weight) = (jobs + 1, weight + other.spec.weight());
                let apart = policy.apart.is_some() && policy.apart == other.spec.policy().apart;
                assert!(!apart, "{decision:?} does not keep apart from {}", other.spec.id());
            }
            let fits = jobs <= place.capacity.jobs && weight <= place.capacity.weight;
            assert!(fits, "{decision:?}: {jobs} jobs of weight {weight} where {:?} may be", place.capacity);
        }
        let exit = decision.from.as_ref().and_then(place).map_or(Exit::Stay, |place| place.exit);
        let asked = self.wanted.get(&decision.mv.job).is_some_and(|to| Some(to) == decision.to.as_ref());
        let held = policy.failover != FailoverPolicy::Automatic && !asked;
        match (&decision.mv.step, &record.owner) {
            (Step::Seize { from, to }, Some(owner)) => {
                assert!(from == owner && self.world.dead.contains(owner), "{decision:?} is taken from the living");
                assert!(!held || to.is_none(), "{decision:?} fails over against its policy");
            }
            (Step::Drain, Some(owner)) => {
                assert!(!self.world.dead.contains(owner) && !record.retiring, "{decision:?}");
                let home = record.course.home.is_some() && record.course.home == decision.to;
                assert!(asked || home || exit != Exit::Stay, "{decision:?}: nobody wanted it to move");
                assert!(!held || home || exit == Exit::AtOnce, "{decision:?} leaves against its policy");
            }
            (Step::Place { to }, None) => {
                let Course { home, target, .. } = &record.course;
                let last = record.runs.last().map(|run| &run.member.node);
                let bound = home.as_ref().or(last);
                let free = bound.is_none() || bound == Some(&to.node) || target.as_ref() == Some(&to.node);
                assert!(!held || free, "{decision:?} leaves its node against its policy");
                let over = policy.retries.is_some_and(|most| record.course.retries >= most);
                let ended = matches!(record.phase, Phase::Failed | Phase::Lost);
                assert!(asked || !over || !ended, "{decision:?} had given up");
            }
            (step, owner) => panic!("{step:?} of a job of {owner:?}"),
        }
        assert_eq!(decision.why == Why::Asked, asked && decision.why == Why::Asked, "{decision:?}");
    }

    /// Nothing follows, so every job is running, on its way, waiting for a reason that is told, or done.
    fn nothing_is_forgotten(&self) {
        for (job, record) in &self.world.records {
            let told = self.world.board.explain(self.world.now, job).expect("it is known");
            let owned = record.owner.is_some();
            let fine = match &told.state {
                State::Running { .. } | State::Starting { .. } | State::Moving { .. } | State::Retiring { .. } => owned,
                State::Completed => record.phase == Phase::Completed,
                State::Queued => told.verdicts.iter().all(|(_, verdict)| *verdict != Verdict::WouldTake),
                State::Bound { to } | State::Held { to } => {
                    told.verdicts.iter().all(|(node, verdict)| node != to || *verdict != Verdict::WouldTake)
                }
                State::BackingOff { until } => *until > self.world.now,
                State::GaveUp { retries } => record.spec.policy().retries.is_some_and(|most| *retries >= most),
                // About to be moved, and yet nothing follows.
                _ => false,
            };
            assert!(fine && owned == record.phase.is_owned(), "{job} is forgotten: {told:?}, {record:?}");
        }
    }

    /// No more trouble: it comes to rest, and what can run runs.
    fn heal(&mut self) {
        for there in &NODES[..self.world.places.len()] {
            self.starts += 1;
            self.world.lose(there);
            self.world.back(there, self.starts);
            let room = Capacity::of(100).unwrap();
            self.world.place_mut(there, |place| (place.capacity, place.exit) = (room, Exit::Stay));
        }
        for _ in 0..200 {
            self.world.now = self.world.now + Duration::from_mins(10);
            let moved = self.round(usize::MAX);
            if !self.world.obey() && !moved {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", self.world.records);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(
        capacities in prop::collection::vec((1_u32..4, 1_u32..7), 1..=NODES.len()),
        spread: bool,
        events in prop::collection::vec((any::<Event>(), 0_usize..4), 1..60),
    ) {
        let mut trial = Trial::new(&capacities, spread);
        for (event, most) in events {
            let exists = usize::from(event.1) % NODES.len() < capacities.len();
            if exists || !(5..=10).contains(&(event.0 % 18)) {
                trial.happens(event);
            }
            // Now and then a round is cut short, or does not come to it.
            trial.round(if most == 3 { usize::MAX } else { most });
        }
        trial.heal();
    }
}
