//! The simulation proves itself: six bugs, seeded at the boundary of machine and store, are each caught by the invariant that
//! is there for them.

use std::collections::BTreeMap;
use std::time::Duration;

use failover_core::lease::{Acquired, Tenant};
use failover_core::machine::{Call, CallId, Config, Effect, Fault, Input, Reply};
use failover_core::memory::World;
use failover_core::testkit::sim::{self, Options, Tamper, Violation};
use failover_core::time::Time;
use failover_core::{Capacity, Lease, LeaseName, Member, Timing};

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
