//! The check of lease histories: it takes what a sound store does, and rejects what a broken one does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use failover_core::lease::{Acquired, LeaseView, Renewed, Tenant};
use failover_core::memory::MemoryStore;
use failover_core::testkit::faults::{Fault, Faulty};
use failover_core::testkit::history::{Answer, Bounds, Call, Event, History, Play, Verdict, check};
use failover_core::time::Time;
use failover_core::{Durability, ErrorKind, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId, Result, Term};

const TTL: Duration = Duration::from_millis(100);
/// To the nanosecond: these histories are written by hand.
const EXACT: Bounds = Bounds { early: Duration::ZERO, late: Duration::MAX };

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn member(name: &str) -> Member {
    Member::new(node(name), Incarnation::from_u128(1))
}

fn lease(holder: &str, term: u64) -> Lease {
    Lease { name: LeaseName::active(), holder: member(holder), term: Term(term), ttl: TTL }
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// Asked and answered at these milliseconds.
fn event(asked: u64, answered: u64, call: Call, answer: Answer) -> Event {
    Event { call, asked: at(asked), answer: Some((at(answered), answer)) }
}

fn open(asked: u64, call: Call) -> Event {
    Event { call, asked: at(asked), answer: None }
}

fn acquire(who: &str) -> Call {
    Call::Acquire { name: LeaseName::active(), member: member(who), ttl: TTL }
}

fn granted(asked: u64, answered: u64, who: &str, term: u64) -> Event {
    event(asked, answered, acquire(who), Answer::Acquired(Acquired::Granted(lease(who, term))))
}

fn held(who: &str, term: u64) -> LeaseView {
    LeaseView { term: Term(term), tenant: Tenant::Held { holder: member(who), remaining: TTL / 2 } }
}

fn free(term: u64) -> LeaseView {
    LeaseView { term: Term(term), tenant: Tenant::Free }
}

fn reserved(term: u64, who: &str) -> LeaseView {
    LeaseView { term: Term(term), tenant: Tenant::Reserved { successor: node(who), remaining: TTL / 6 } }
}

fn refused(asked: u64, answered: u64, who: &str, view: LeaseView) -> Event {
    event(asked, answered, acquire(who), Answer::Acquired(Acquired::Refused(view)))
}

fn renewed(asked: u64, answered: u64, who: &str, term: u64, how: Renewed) -> Event {
    event(asked, answered, Call::Renew { lease: lease(who, term) }, Answer::Renewed(how))
}

fn release(who: &str, term: u64, successor: Option<&str>) -> Call {
    Call::Release { lease: lease(who, term), successor: successor.map(node) }
}

fn released(asked: u64, answered: u64, who: &str, term: u64, successor: Option<&str>) -> Event {
    event(asked, answered, release(who, term, successor), Answer::Released)
}

fn seen(asked: u64, answered: u64, view: LeaseView) -> Event {
    event(asked, answered, Call::Current { name: LeaseName::active() }, Answer::Current(view))
}

/// Histories, each told by its name, and whether a sound store can have had it.
macro_rules! histories {
    ($verdict:ident: $($name:ident: [$($event:expr),* $(,)?])*) => {$(
        #[test]
        fn $name() {
            let history = [$($event),*];
            let verdict = check(&history, EXACT);
            assert!(verdict.$verdict() && verdict != Ok(Verdict::Undecided), "{verdict:#?}");
        }
    )*};
}

mod sound {
    use super::*;

    histories! { is_ok:
        nothing_at_all: []
        a_grant_a_renewal_a_release: [
            granted(0, 1, "a", 1), renewed(50, 51, "a", 1, Renewed::Extended), released(60, 61, "a", 1, None),
            granted(62, 63, "b", 2),
        ]
        a_grant_after_the_ttl: [granted(0, 1, "a", 1), granted(99, 101, "b", 2)]
        terms_with_gaps: [granted(0, 1, "a", 70), released(2, 3, "a", 70, None), granted(4, 5, "a", 900)]
        concurrent_calls_in_either_order: [
            granted(0, 20, "a", 2), seen(1, 2, free(0)), granted(3, 9, "b", 1), released(3, 10, "b", 1, None),
        ]
        a_repeated_acquire_keeps_its_term: [granted(0, 1, "a", 1), granted(2, 3, "a", 1)]
        a_repeated_acquire_restarts_the_ttl: [
            granted(0, 1, "a", 1), granted(50, 51, "a", 1), renewed(140, 141, "a", 1, Renewed::Extended),
        ]
        a_lost_grant_that_was_applied: [open(0, acquire("a")), refused(5, 6, "b", held("a", 3)), granted(7, 8, "a", 3)]
        a_lost_grant_that_was_never_applied: [open(0, acquire("a")), granted(5, 6, "b", 1)]
        a_lost_grant_that_was_applied_late: [
            open(0, acquire("a")), granted(5, 6, "b", 1), released(7, 8, "b", 1, None), seen(9, 10, held("a", 2)),
        ]
        a_lost_grant_whose_term_nobody_saw: [open(0, acquire("a")), granted(101, 102, "b", 2)]
        a_lost_release_that_was_applied: [
            granted(0, 1, "a", 1), open(2, release("a", 1, None)), granted(3, 4, "b", 2),
        ]
        a_lost_renewal_that_was_applied: [
            granted(0, 1, "a", 1), open(90, Call::Renew { lease: lease("a", 1) }), seen(150, 151, held("a", 1)),
            granted(189, 190, "b", 2),
        ]
        a_lease_that_lapsed_while_a_call_was_under_way: [
            granted(0, 10, "a", 1), renewed(90, 120, "a", 1, Renewed::Lost), seen(121, 122, free(1)),
        ]
        a_reservation: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, Some("b")), refused(4, 5, "c", reserved(1, "b")),
            granted(6, 7, "b", 2),
        ]
        a_reservation_that_lapsed: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, Some("b")), granted(36, 37, "c", 2),
        ]
        a_replayed_release_does_nothing: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, None), granted(4, 5, "a", 2), released(6, 7, "a", 1, None),
            renewed(8, 9, "a", 2, Renewed::Extended),
        ]
        leases_of_other_names: [
            granted(0, 1, "a", 1),
            event(2, 3, Call::Current { name: LeaseName::node(&node("x")) }, Answer::Current(free(0))),
        ]
    }
}

mod broken {
    use super::*;

    histories! { is_err:
        two_holders_at_once: [granted(0, 1, "a", 1), granted(2, 3, "b", 2)]
        a_grant_just_before_the_ttl: [granted(0, 1, "a", 1), granted(98, 99, "b", 2)]
        a_grant_before_the_end_of_a_renewal: [
            granted(0, 1, "a", 1), renewed(50, 51, "a", 1, Renewed::Extended), granted(120, 121, "b", 2),
        ]
        a_token_issued_twice: [granted(0, 1, "a", 1), released(2, 3, "a", 1, None), granted(4, 5, "b", 1)]
        a_token_issued_twice_after_a_lapse: [granted(0, 1, "a", 7), granted(200, 201, "b", 7)]
        a_term_that_fell: [granted(0, 1, "a", 7), released(2, 3, "a", 7, None), granted(4, 5, "b", 3)]
        a_term_that_a_lost_grant_must_have_had: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, None), open(4, acquire("b")),
            refused(5, 6, "c", LeaseView { term: Term(1), ..held("b", 1) }),
        ]
        a_renewal_after_anothers_grant: [
            granted(0, 1, "a", 1), granted(150, 151, "b", 2), renewed(152, 153, "a", 1, Renewed::Extended),
        ]
        a_renewal_after_the_release: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, None), renewed(4, 5, "a", 1, Renewed::Extended),
        ]
        a_renewal_of_what_was_seen_lapsed: [
            granted(0, 1, "a", 1), seen(150, 151, free(1)), renewed(152, 153, "a", 1, Renewed::Extended),
        ]
        a_renewal_that_was_lost_for_nothing: [granted(0, 1, "a", 1), renewed(2, 3, "a", 1, Renewed::Lost)]
        a_retry_that_spent_a_term: [granted(0, 1, "a", 1), granted(2, 3, "a", 2)]
        a_stale_term_read: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, None), granted(4, 5, "b", 2), seen(6, 7, held("a", 1)),
        ]
        a_stale_read_of_a_free_lease: [granted(0, 1, "a", 1), seen(2, 3, free(0))]
        a_refusal_by_one_who_was_never_granted: [granted(0, 1, "a", 1), refused(2, 3, "b", held("c", 1))]
        a_refusal_of_ones_own_lease: [granted(0, 1, "a", 1), refused(2, 3, "a", held("a", 1))]
        a_refusal_of_what_is_free: [refused(0, 1, "a", free(0))]
        a_reservation_that_nobody_made: [granted(0, 1, "a", 1), seen(2, 3, reserved(1, "b"))]
        a_reservation_that_was_not_kept: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, Some("b")), granted(4, 5, "c", 2),
        ]
        a_replayed_release_that_freed_a_later_grant: [
            granted(0, 1, "a", 1), released(2, 3, "a", 1, None), granted(4, 5, "a", 2), released(6, 7, "a", 1, None),
            granted(8, 9, "b", 3),
        ]
        a_lost_grant_that_was_applied_twice: [
            open(0, acquire("a")), seen(1, 2, held("a", 1)), released(3, 4, "a", 1, None), seen(5, 6, held("a", 2)),
        ]
        a_grant_to_another_than_who_asked: [
            event(0, 1, acquire("a"), Answer::Acquired(Acquired::Granted(lease("b", 1)))),
        ]
    }
}

#[test]
fn a_lease_may_outlast_its_ttl_by_the_declared_slack_and_no_longer() {
    let history = [granted(0, 1, "a", 1), renewed(140, 141, "a", 1, Renewed::Extended)];
    let late = |millis| Bounds { late: Duration::from_millis(millis), ..EXACT };
    assert_eq!(check(&history, late(40)), Ok(Verdict::Explained));
    assert!(check(&history, late(30)).is_err());
}

#[test]
fn a_violation_tells_what_was_explained_and_what_was_not() {
    let history = [granted(0, 1, "a", 1), seen(2, 3, held("a", 1)), granted(4, 5, "b", 2)];
    let violation = check(&history, EXACT).unwrap_err();
    assert_eq!((violation.explained.len(), violation.unexplained.len()), (2, 1));
    let text = violation.to_string();
    assert!(
        text.contains("history of active") && text.contains("held by a") && text.contains("granted, term 2"),
        "{text}"
    );
}

/// The reference backend with one bug in it.
struct Mutant {
    store: MemoryStore,
    bug: Bug,
    /// What it told last.
    told: Mutex<Option<LeaseView>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bug {
    None,
    /// It looks whether a lease is free, and grants it a moment later.
    AcquireNotAtomic,
    RenewIgnoresTerm,
    RenewRevivesLapsed,
    ReleaseUnconditional,
    RetrySpendsTerm,
    /// As from a replica that lags behind.
    ReadsAreStale,
    /// The store's lease lapses a fifth too soon.
    LapsesEarly,
}

impl Mutant {
    async fn held(&self, name: &LeaseName) -> Result<Option<Lease>> {
        let LeaseView { term, tenant } = self.store.current(name).await?;
        Ok(match tenant {
            Tenant::Held { holder, .. } => Some(Lease { name: name.clone(), holder, term, ttl: TTL }),
            Tenant::Free | Tenant::Reserved { .. } => None,
        })
    }
}

#[async_trait]
impl LeaseManager for Mutant {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        let held = self.held(name).await?;
        match &held {
            None if self.bug == Bug::AcquireNotAtomic => {
                tokio::time::sleep(ttl / 20).await;
                if let Some(held) = self.held(name).await? {
                    self.store.release(&held, None).await?;
                }
            }
            Some(held) if self.bug == Bug::RetrySpendsTerm && held.holder == *member => {
                self.store.release(held, None).await?;
            }
            _ => {}
        }
        if self.bug == Bug::LapsesEarly {
            return Ok(match self.store.acquire(name, member, ttl * 4 / 5).await? {
                Acquired::Granted(lease) => Acquired::Granted(Lease { ttl, ..lease }),
                refused @ Acquired::Refused(_) => refused,
            });
        }
        self.store.acquire(name, member, ttl).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        if self.bug == Bug::RenewIgnoresTerm && self.held(&lease.name).await?.is_some() {
            return Ok(Renewed::Extended);
        }
        let answer = self.store.renew(lease).await?;
        if self.bug == Bug::RenewRevivesLapsed && answer == Renewed::Lost {
            let revived = self.store.acquire(&lease.name, &lease.holder, lease.ttl).await?;
            return Ok(if matches!(revived, Acquired::Granted(_)) { Renewed::Extended } else { Renewed::Lost });
        }
        Ok(answer)
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        let held = if self.bug == Bug::ReleaseUnconditional { self.held(&lease.name).await? } else { None };
        self.store.release(held.as_ref().unwrap_or(lease), successor).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        let view = self.store.current(name).await?;
        let before = self.told.lock().unwrap().replace(view.clone());
        Ok(before.filter(|_| self.bug == Bug::ReadsAreStale).unwrap_or(view))
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        self.store.raise_floor(floor).await
    }

    fn durability(&self) -> Durability {
        self.store.durability()
    }
}

/// Nobody was told anything after the first grant, and everybody went on asking: whatever was applied, the last answer cannot be
/// had, and to know that takes a look at everything that can have been.
#[test]
fn a_search_ends_however_many_calls_have_no_answer() {
    let calls = |who: &str| [acquire(who), Call::Renew { lease: lease(who, 1) }, release(who, 1, Some("b"))];
    for unanswered in [10, 40, 100] {
        let asked = ["a", "b", "c"].iter().flat_map(|who| calls(who)).cycle();
        let mut history = vec![granted(0, 1, "a", 1)];
        history.extend((2..).zip(asked).map(|(at, call)| open(at, call)).take(unanswered));
        history.extend((1..4).map(|n| seen(n * 300, n * 300 + 50, held("a", n))));
        history.push(seen(1200, 1201, reserved(9, "nobody")));
        let verdict = check(&history, EXACT);
        assert!(if unanswered == 10 { verdict.is_err() } else { verdict != Ok(Verdict::Explained) }, "{verdict:?}");
    }
}

/// How many of this many plays on the store with the bug are rejected.
async fn rejected(bug: Bug, plays: u64) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..plays {
        tasks.spawn(async move {
            let store = MemoryStore::new();
            let history = History::new();
            let clients = (0..3).map(|client| {
                let mutant = failover_core::Backend::mixed(
                    Arc::new(store.clone()),
                    Arc::new(Mutant { store: store.clone(), bug, told: Mutex::default() }),
                    Arc::new(store.clone()),
                    Arc::new(store.clone()),
                );
                let (backend, faults) = Faulty::wrap(mutant);
                let mishaps = [
                    Fault::LoseReply,
                    Fault::LoseRequest,
                    Fault::Refuse(ErrorKind::Unavailable),
                    Fault::DelayReply(TTL / 10),
                    Fault::HangReply,
                ];
                faults.seeded(seed * 10 + client, 8, &mishaps);
                history.wrap(backend.leases)
            });
            let play = Play { seed, ttl: TTL, calls: 14, deadline: TTL / 3 };
            play.run("active", clients.collect()).await;
            let exact = Bounds { late: Duration::from_millis(5), ..Bounds::default() };
            history.check(exact).map_err(|violation| println!("{violation}")).is_err()
        });
    }
    tasks.join_all().await.into_iter().filter(|rejected| *rejected).count()
}

#[tokio::test]
async fn a_hundred_plays_on_the_reference_backend_are_all_explained() {
    assert_eq!(rejected(Bug::None, 100).await, 0);
}

macro_rules! caught {
    ($($name:ident: $bug:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            assert!(rejected(Bug::$bug, 60).await > 0, "no play shows the bug");
        }
    )*};
}

caught! {
    a_store_that_looks_before_it_grants_is_found_out: AcquireNotAtomic
    a_store_that_renews_whatever_is_held_is_found_out: RenewIgnoresTerm
    a_store_that_revives_a_lapsed_lease_is_found_out: RenewRevivesLapsed
    a_store_that_releases_whatever_is_held_is_found_out: ReleaseUnconditional
    a_store_where_a_retry_spends_a_term_is_found_out: RetrySpendsTerm
    a_store_whose_reads_are_stale_is_found_out: ReadsAreStale
    a_store_whose_leases_lapse_early_is_found_out: LapsesEarly
}
