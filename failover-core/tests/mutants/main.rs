//! The simulation proves itself: bugs, seeded at the boundary of machine and store, are each caught by the invariant that
//! is there for them.

mod machines;
mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use failover_core::control::{self, HoldOff, Settings};
use failover_core::health::Health;
use failover_core::job::Assigned;
use failover_core::lease::{Acquired, Tenant};
use failover_core::machine::{Call, CallId, Config, Effect, Fault, Input, Reply};
use failover_core::memory::World;
use failover_core::record;
use failover_core::state::{Expect, Written};
use failover_core::testkit::sim::{self, Options, Tamper, Violation};
use failover_core::time::{Stamp, Time};
use failover_core::{Capacity, Lease, LeaseName, Member, Revision, StateKey, Timing, Version};

/// Runs schedules until an invariant breaks.
fn caught(tamper: fn() -> Box<dyn Tamper>) -> Violation {
    let violation = (0..10_000).find_map(|seed| sim::run(seed, Options::tampered(tamper)).err());
    let violation = violation.expect("10 000 schedules do not find the bug");
    println!("{violation}");
    *violation
}

/// Machines that reckon with longer leases than they get. The store is asked for, and told, the true ttl.
struct Longer {
    believed: Duration,
    /// How much of the belief holds for a grant that took this long to arrive.
    told: fn(granted: Duration, waited: Duration) -> Duration,
}

impl Longer {
    const TTL: Duration = Duration::from_secs(5);
}

impl Tamper for Longer {
    fn config(&mut self, config: &mut Config) {
        config.timing = Timing::builder(config.timing.beat(), self.believed)
            .call(config.timing.call())
            .missing(config.timing.missing())
            .margin(config.timing.margin())
            .grace(config.timing.grace())
            .stagger(config.timing.stagger())
            .build()
            .expect("only its ttl is longer");
    }

    fn effect(&mut self, _member: &Member, effect: &mut Effect) {
        let Effect::Call { call, .. } = effect else { return };
        match call {
            Call::Acquire { ttl, .. } => *ttl = Self::TTL,
            Call::Renew(lease) | Call::Release { lease, .. } => lease.ttl = Self::TTL,
            _ => {}
        }
    }

    fn input(&mut self, _member: &Member, waited: Option<Duration>, input: &mut Input) {
        if let (Input::Outcome { outcome: Ok(Reply::Acquired(Acquired::Granted(lease))), .. }, Some(waited)) =
            (input, waited)
        {
            lease.ttl = (self.told)(lease.ttl, waited);
        }
    }
}

#[test]
fn a_holder_without_a_deadline_of_its_own_is_caught() {
    let violation = caught(|| Box::new(Longer { believed: Duration::from_hours(1), told: |ttl, _| ttl * 720 }));
    assert_eq!(violation.invariant, "self-fence");
}

#[test]
fn a_deadline_counted_from_the_reply_is_caught() {
    let violation = caught(|| Box::new(Longer { believed: Duration::from_secs(8), told: |ttl, waited| ttl + waited }));
    assert_eq!(violation.invariant, "self-fence");
}

/// A store that frees a lease whoever gives it back, under whatever term.
struct Unchecked;

impl Tamper for Unchecked {
    fn store(&mut self, world: &mut World, now: Time, _by: &Member, call: &Call) -> Option<Result<Reply, Fault>> {
        let Call::Release { lease, successor } = call else { return None };
        let view = world.current(now, &lease.name);
        if let Tenant::Held { holder, .. } = view.tenant {
            let lease = Lease { holder, term: view.term, ..lease.clone() };
            world.release(now, &lease, successor.as_ref());
        }
        Some(Ok(Reply::Done))
    }
}

#[test]
fn a_release_that_does_not_check_the_token_is_caught() {
    assert_eq!(caught(|| Box::new(Unchecked)).invariant, "active-exclusion");
}

/// A store that knows nodes but not their incarnations: it grants and renews a lease to whoever bears its holder's name.
struct Nameless;

impl Nameless {
    fn holder(world: &World, now: Time, name: &LeaseName, by: &Member) -> Option<Member> {
        match world.current(now, name).tenant {
            Tenant::Held { holder, .. } if holder.node == by.node && holder != *by => Some(holder),
            _ => None,
        }
    }
}

impl Tamper for Nameless {
    fn store(&mut self, world: &mut World, now: Time, by: &Member, call: &Call) -> Option<Result<Reply, Fault>> {
        match call {
            Call::Acquire { name, ttl } => {
                let holder = Self::holder(world, now, name, by)?;
                let granted = world.acquire(now, name, &holder, *ttl).ok()?;
                Some(Ok(Reply::Acquired(match granted {
                    Acquired::Granted(lease) => Acquired::Granted(Lease { holder: by.clone(), ..lease }),
                    refused @ Acquired::Refused(_) => refused,
                })))
            }
            Call::Renew(lease) => {
                let holder = Self::holder(world, now, &lease.name, by)?;
                Some(Ok(Reply::Renewed(world.renew(now, &Lease { holder, ..lease.clone() }))))
            }
            _ => None,
        }
    }
}

#[test]
fn an_incarnation_that_is_ignored_is_caught() {
    assert_eq!(caught(|| Box::new(Nameless)).invariant, "terms");
}

/// A wrapper that takes a lost node's lease for granted after a mere look at it.
#[derive(Default)]
struct Presumptuous {
    asked: BTreeMap<(Member, CallId), LeaseName>,
}

impl Tamper for Presumptuous {
    fn effect(&mut self, member: &Member, effect: &mut Effect) {
        let Effect::Call { id, call } = effect else { return };
        if let Call::Acquire { name, .. } = call
            && *name != LeaseName::active()
            && *name != LeaseName::node(&member.node)
        {
            self.asked.insert((member.clone(), *id), name.clone());
            *call = Call::Current(name.clone());
        }
    }

    fn input(&mut self, member: &Member, _waited: Option<Duration>, input: &mut Input) {
        let Input::Outcome { id, outcome } = input else { return };
        if let (Some(name), Ok(Reply::View(view))) = (self.asked.remove(&(member.clone(), *id)), &outcome) {
            let ttl = Duration::from_secs(5);
            let lease = Lease { name, holder: member.clone(), term: view.term.next(), ttl };
            *outcome = Ok(Reply::Acquired(Acquired::Granted(lease)));
        }
    }
}

#[test]
fn jobs_that_move_without_their_nodes_lease_being_taken_are_caught() {
    assert_eq!(caught(|| Box::<Presumptuous>::default()).invariant, "unplanned-moves");
}

/// Nodes that all tell the same version, whichever they are.
struct Disguised;

impl Tamper for Disguised {
    fn config(&mut self, config: &mut Config) {
        config.version = config.version.take().map(|_| "1.1.0".to_owned());
    }
}

#[test]
fn a_node_of_another_version_that_passes_for_one_of_this_is_caught() {
    assert_eq!(caught(|| Box::new(Disguised)).invariant, "version-gate");
}

/// Guards that give back what their host holds when it merely stands still.
struct Rash;

impl Tamper for Rash {
    fn takes_a_pause_for_death(&self) -> bool {
        true
    }
}

#[test]
fn a_guard_that_acts_while_its_host_lives_is_caught() {
    let violation = caught(|| Box::new(Rash));
    assert!(
        ["active-exclusion", "run-exclusion", "self-fence", "unplanned-moves"].contains(&violation.invariant),
        "{violation}"
    );
}

/// A node that promises more room than it has.
struct Boastful;

impl Tamper for Boastful {
    fn config(&mut self, config: &mut Config) {
        config.capacity = Capacity::default();
    }
}

#[test]
fn a_node_that_is_given_more_than_it_can_run_is_caught() {
    let violation = caught(|| Box::new(Boastful));
    assert_eq!(violation.invariant, "placement");
}

/// A node that pays no heed to its host's watchdog.
struct Unwatched;

impl Tamper for Unwatched {
    fn config(&mut self, config: &mut Config) {
        config.watchdog = None;
    }
}

#[test]
fn a_hung_host_that_keeps_its_role_is_caught() {
    assert_eq!(caught(|| Box::new(Unwatched)).invariant, "hung-host");
}

/// A node that asks no witness whether it is cut off, and gives its work hardly any time to stop: so the end that is forced on it is well after the moment at
/// which a witness would have told, wherever its reads fall between its renewals.
struct Incurious;

impl Tamper for Incurious {
    fn config(&mut self, config: &mut Config) {
        config.witnessed = false;
        let timing = Timing::builder(config.timing.beat(), config.timing.ttl()).grace(Duration::from_millis(1)).build();
        config.timing = timing.expect("only its grace is shorter");
    }
}

#[test]
fn a_node_that_stays_active_although_it_is_cut_off_is_caught() {
    assert_eq!(caught(|| Box::new(Incurious)).invariant, "cut-off");
}

/// A store that keeps no claims of actions: it writes over them, and does not show them.
struct Forgetful;

impl Forgetful {
    fn is_claim(key: &StateKey) -> bool {
        key.as_str().contains("/action/")
    }
}

impl Tamper for Forgetful {
    fn store(&mut self, world: &mut World, _now: Time, _by: &Member, call: &Call) -> Option<Result<Reply, Fault>> {
        match call {
            Call::Put { key, value, expect: Expect::Absent, fence } if Self::is_claim(key) => {
                let written = world.put(key, value, Expect::Any, Some(fence)).ok()?;
                Some(Ok(Reply::Written(written)))
            }
            Call::List { prefix, after, limit } => {
                let mut documents = world.list(prefix, after.as_ref(), *limit).ok()?;
                documents.retain(|document| !Self::is_claim(&document.key));
                Some(Ok(Reply::Documents(documents)))
            }
            _ => None,
        }
    }
}

#[test]
fn a_response_that_is_begun_twice_is_caught() {
    assert_eq!(caught(|| Box::new(Forgetful)).invariant, "one-response");
}

/// A store that says of its feed, when it installs a fence, that there is nothing in it.
struct Concealing;

impl Tamper for Concealing {
    fn store(&mut self, world: &mut World, _now: Time, _by: &Member, call: &Call) -> Option<Result<Reply, Fault>> {
        let Call::Assign { fence, moves } = call else { return None };
        if !moves.is_empty() {
            return None;
        }
        let answer = world.assign(fence, moves, Stamp(0)).ok()?;
        Some(Ok(Reply::Assigned(match answer {
            Assigned::Applied(_) => Assigned::Applied(Revision::ZERO),
            other @ (Assigned::Stale(_) | Assigned::Fenced { .. }) => other,
        })))
    }
}

#[test]
fn a_new_active_node_that_decides_without_knowing_what_there_is_is_caught() {
    assert_eq!(caught(|| Box::new(Concealing)).invariant, "fence-first");
}

/// A store that says it has written how a switchover ended, and forgets it.
struct Negligent;

impl Tamper for Negligent {
    fn store(&mut self, world: &mut World, _now: Time, _by: &Member, call: &Call) -> Option<Result<Reply, Fault>> {
        let Call::Put { key, value, .. } = call else { return None };
        let ends = [r#""phase":"done""#, r#""phase":"failed""#];
        let text = String::from_utf8_lossy(value);
        let is_end = key.as_str() == "control/switchover" && ends.iter().any(|end| text.contains(end));
        let version = world.get(key).filter(|_| is_end)?.version;
        Some(Ok(Reply::Written(Written::Written(Version(version.0 + 1)))))
    }
}

#[test]
fn a_switchover_that_is_forgotten_is_caught() {
    assert_eq!(caught(|| Box::new(Negligent)).invariant, "closed");
}

/// A wrapper that asks for the active lease instead of looking at the heartbeats, once it has read that the cluster is paused.
#[derive(Default)]
struct Restless {
    paused: BTreeSet<Member>,
}

impl Tamper for Restless {
    fn effect(&mut self, member: &Member, effect: &mut Effect) {
        if let Effect::Call { call: call @ Call::Sightings, .. } = effect
            && self.paused.contains(member)
        {
            *call = Call::Acquire { name: LeaseName::active(), ttl: Duration::from_secs(5) };
        }
    }

    fn input(&mut self, member: &Member, _waited: Option<Duration>, input: &mut Input) {
        let Input::Outcome { outcome: Ok(Reply::Documents(documents)), .. } = input else { return };
        for document in documents.iter().filter(|document| document.key.as_str() == "control/cluster") {
            if String::from_utf8_lossy(&document.value).contains(r#""paused":{"#) {
                self.paused.insert(member.clone());
            } else {
                self.paused.remove(member);
            }
        }
    }
}

#[test]
fn a_node_that_does_not_rest_while_the_cluster_is_paused_is_caught() {
    assert_eq!(caught(|| Box::<Restless>::default()).invariant, "standstill");
}

/// A node that does not hold off after a relief.
struct Hasty;

impl Tamper for Hasty {
    fn input(&mut self, _member: &Member, _waited: Option<Duration>, input: &mut Input) {
        let Input::Outcome { outcome: Ok(Reply::Documents(documents)), .. } = input else { return };
        for document in documents.iter_mut().filter(|document| document.key == control::settings_key()) {
            let Ok(mut settings) = record::decode::<Settings>("get", "settings", &document.value) else { continue };
            settings.hold_off = HoldOff(Duration::from_millis(1));
            document.value = record::encode("put", &settings).expect("settings can be written").into_bytes();
        }
    }
}

#[test]
fn a_role_that_is_carried_to_and_fro_is_caught() {
    assert_eq!(caught(|| Box::new(Hasty)).invariant, "relief");
}

/// Nodes that take everybody but themselves for healthy.
struct Blind;

impl Tamper for Blind {
    fn input(&mut self, _member: &Member, _waited: Option<Duration>, input: &mut Input) {
        let Input::Outcome { outcome: Ok(Reply::Sightings(sightings)), .. } = input else { return };
        for sighting in sightings {
            sighting.heartbeat.news.health = Health::default();
        }
    }
}

#[test]
fn a_relief_by_a_node_in_no_better_health_is_caught() {
    let violation = caught(|| Box::new(Blind));
    assert!(["relief", "hung-host"].contains(&violation.invariant), "{violation}");
}
