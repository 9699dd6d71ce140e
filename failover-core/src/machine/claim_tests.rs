mod stray;
mod successor;

use super::claim::{Claim, ClaimEvent, Ticket};
use super::effect::Call;
use super::input::{Fault, Reply};
use crate::ids::{Incarnation, LeaseName, Member, NodeId, Term};
use crate::lease::{Acquired, Lease, LeaseView, Renewed, Tenant};
use crate::time::Time;
use crate::timing::Timing;
use std::time::Duration;

const fn at(millis: u64) -> Time {
    Time::from_nanos(1_000_000_000_000 + millis * 1_000_000)
}

fn member(node: &str, incarnation: u128) -> Member {
    Member::new(NodeId::new(node).unwrap(), Incarnation::from_u128(incarnation))
}

fn claim() -> Claim {
    Claim::new(LeaseName::active(), member("a", 1), Timing::default())
}

fn lease(term: u64) -> Lease {
    Lease { name: LeaseName::active(), holder: member("a", 1), term: Term(term), ttl: Duration::from_secs(5) }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn grant(term: u64) -> Result<Reply, Fault> {
    Ok(Reply::Acquired(Acquired::Granted(lease(term))))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn refuse(term: u64, tenant: Tenant) -> Result<Reply, Fault> {
    Ok(Reply::Acquired(Acquired::Refused(LeaseView { term: Term(term), tenant })))
}

fn ask(claim: &mut Claim, now: Time) -> (Ticket, Call) {
    claim.poll(now).expect("a call is due")
}

fn held() -> Claim {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    claim.outcome(at(10), at(0), ticket, &grant(1));
    claim
}

#[test]
fn a_right_counts_from_before_the_call_was_sent() {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, call) = ask(&mut claim, at(0));
    assert!(matches!(call, Call::Acquire { .. }));
    let event = claim.outcome(at(900), at(0), ticket, &grant(1));
    assert_eq!(event, Some(ClaimEvent::Held { lease: lease(1), stop_at: at(4000), ends_at: at(4500) }));
}

#[test]
fn a_grant_whose_reply_came_after_its_end_is_no_right() {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    assert_eq!(claim.outcome(at(5100), at(0), ticket, &grant(1)), None);
    assert_eq!(claim.held(at(5100)), None);
    // It asks again, which keeps the term.
    let again = claim.deadline().unwrap();
    assert!(matches!(ask(&mut claim, again).1, Call::Acquire { .. }));
}

#[test]
fn one_failed_renewal_costs_nothing_while_time_remains() {
    let mut claim = held();
    let (ticket, call) = ask(&mut claim, at(1000));
    assert!(matches!(call, Call::Renew(_)));
    assert_eq!(claim.outcome(at(2250), at(1000), ticket, &Err(Fault::Unknown)), None);
    assert!(claim.may_begin(at(2250)).is_some());
    let again = claim.deadline().unwrap();
    let (ticket, _) = ask(&mut claim, again);
    let event = claim.outcome(again, again, ticket, &Ok(Reply::Renewed(Renewed::Extended)));
    assert!(matches!(event, Some(ClaimEvent::Held { .. })));
}

#[test]
fn without_any_answer_the_right_ends_by_the_clock_alone() {
    let mut claim = held();
    let (late, _) = ask(&mut claim, at(1000));
    assert_eq!(claim.expire(at(3999)), None);
    assert_eq!(claim.deadline(), Some(at(4000)));
    assert_eq!(claim.expire(at(4000)), Some(ClaimEvent::Ending));
    assert_eq!(claim.may_begin(at(4000)), None);
    assert!(claim.held(at(4499)).is_some());
    assert_eq!(claim.held(at(4500)), None, "validity is a comparison, also before `expire` was called");
    assert_eq!(claim.expire(at(4500)), Some(ClaimEvent::Ended));
    // A renewal that succeeds after that does not bring it back.
    assert_eq!(claim.outcome(at(4600), at(1000), late, &Ok(Reply::Renewed(Renewed::Extended))), None);
    assert!(claim.is_idle());
}

#[test]
fn a_holder_that_slept_finds_both_moments_passed() {
    let mut claim = held();
    assert_eq!(claim.expire(at(60_000)), Some(ClaimEvent::Ending));
    assert_eq!(claim.expire(at(60_000)), Some(ClaimEvent::Ended));
    assert_eq!(claim.expire(at(60_000)), None);
}

#[test]
fn a_release_does_not_wait_for_a_renewal_under_way() {
    let mut claim = held();
    let (renewal, _) = ask(&mut claim, at(1000));
    claim.release(at(1001), None);
    let (ticket, call) = ask(&mut claim, at(1001));
    assert!(matches!(call, Call::Release { .. }));
    assert_eq!(claim.outcome(at(1002), at(1000), renewal, &Ok(Reply::Renewed(Renewed::Extended))), None);
    assert_eq!(claim.held(at(1002)), None, "what is being given back is not held");
    assert_eq!(claim.outcome(at(1003), at(1001), ticket, &Ok(Reply::Done)), Some(ClaimEvent::Released));
}

#[test]
fn a_release_without_answer_is_tried_again_until_the_lease_has_lapsed() {
    let mut claim = held();
    claim.release(at(1000), None);
    let (ticket, _) = ask(&mut claim, at(1000));
    claim.outcome(at(2000), at(1000), ticket, &Err(Fault::Unknown));
    let again = claim.deadline().unwrap();
    assert!(matches!(ask(&mut claim, again).1, Call::Release { .. }));
    assert_eq!(claim.expire(at(4500)), Some(ClaimEvent::Released));
}

#[test]
fn a_store_whose_terms_fall_is_not_believed() {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    let other = Tenant::Held { holder: member("b", 2), remaining: Duration::from_millis(100) };
    claim.outcome(at(10), at(0), ticket, &refuse(7, other));
    let (ticket, _) = ask(&mut claim, at(110));
    assert_eq!(claim.outcome(at(120), at(110), ticket, &grant(1)), Some(ClaimEvent::Regressed));
    assert_eq!(claim.held(at(120)), None);
}

#[test]
fn the_next_attempt_comes_at_the_predicted_expiry_and_leaves_the_head_start() {
    let mut claim = claim();
    claim.set_head_start(Duration::from_millis(400));
    claim.seek(at(0));
    let (ticket, call) = ask(&mut claim, at(0));
    assert!(matches!(call, Call::Current(_)), "one who is not first in line looks before it asks");
    let other = Tenant::Held { holder: member("b", 2), remaining: Duration::from_secs(3) };
    claim.outcome(at(10), at(0), ticket, &Ok(Reply::View(LeaseView { term: Term(1), tenant: other })));
    assert_eq!(claim.deadline(), Some(at(3410)));
    assert!(matches!(ask(&mut claim, at(3410)).1, Call::Acquire { .. }));
}

#[test]
fn hints_do_not_postpone_an_attempt() {
    let mut claim = claim();
    claim.set_head_start(Duration::from_millis(400));
    claim.seek(at(0));
    let free = || Ok(Reply::View(LeaseView { term: Term(1), tenant: Tenant::Free }));
    let (ticket, _) = ask(&mut claim, at(0));
    claim.outcome(at(10), at(0), ticket, &free());
    for now in [100, 200, 300] {
        claim.hint(at(now));
        let (ticket, call) = ask(&mut claim, at(now));
        assert!(matches!(call, Call::Current(_)));
        claim.outcome(at(now + 10), at(now), ticket, &free());
        assert_eq!(claim.deadline(), Some(at(410)));
    }
}

#[test]
fn a_storm_of_hints_is_a_bounded_load() {
    let mut claim = claim();
    claim.seek(at(0));
    let mut calls = 0;
    for now in 0..1000 {
        claim.hint(at(now));
        if let Some((ticket, _)) = claim.poll(at(now)) {
            calls += 1;
            let other = Tenant::Held { holder: member("b", 2), remaining: Duration::from_secs(5) };
            claim.outcome(at(now), at(now), ticket, &refuse(1, other));
        }
    }
    assert!(calls <= 51, "{calls} calls in a second");
}

#[test]
fn a_term_that_was_given_back_is_never_held_again() {
    let mut claim = held();
    claim.release(at(1000), None);
    let (ticket, _) = ask(&mut claim, at(1000));
    claim.outcome(at(2250), at(1000), ticket, &Err(Fault::Unknown));
    assert_eq!(claim.expire(at(4500)), Some(ClaimEvent::Released));
    // The release is still on its way, so the store knows this member as holder and confirms the old term.
    claim.seek(at(4500));
    let (ticket, _) = ask(&mut claim, at(4500));
    assert_eq!(claim.outcome(at(4510), at(4500), ticket, &grant(1)), None);
    assert_eq!(claim.held(at(4510)), None);
    let (ticket, call) = ask(&mut claim, at(4510));
    assert!(matches!(call, Call::Release { .. }));
    claim.outcome(at(4520), at(4510), ticket, &Ok(Reply::Done));
    claim.seek(at(4520));
    let (ticket, _) = ask(&mut claim, at(4520));
    assert!(matches!(claim.outcome(at(4530), at(4520), ticket, &grant(2)), Some(ClaimEvent::Held { .. })));
}

#[test]
fn a_candidate_that_moves_up_in_line_does_not_wait_out_its_old_place() {
    let mut claim = claim();
    claim.set_head_start(Duration::from_millis(400));
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    let other = Tenant::Held { holder: member("b", 2), remaining: Duration::from_secs(3) };
    claim.outcome(at(10), at(0), ticket, &Ok(Reply::View(LeaseView { term: Term(1), tenant: other })));
    assert_eq!(claim.deadline(), Some(at(3410)));
    claim.set_head_start(Duration::ZERO);
    assert_eq!(claim.deadline(), Some(at(3010)));
}

/// A pace five times the usual one.
fn fast() -> Timing {
    Timing::new(Duration::from_millis(200), Duration::from_secs(1)).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn granted_for(term: u64, ttl: Duration) -> Result<Reply, Fault> {
    Ok(Reply::Acquired(Acquired::Granted(Lease { ttl, ..lease(term) })))
}

fn asks_for(call: &Call) -> Option<Duration> {
    match call {
        Call::Acquire { ttl, .. } => Some(*ttl),
        _ => None,
    }
}

fn ends(event: Option<ClaimEvent>) -> Time {
    match event {
        Some(ClaimEvent::Held { ends_at, .. }) => ends_at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_holder_cuts_its_right_a_beat_before_it_asks_for_a_shorter_lease() {
    let mut claim = held();
    claim.set_timing(at(1000), fast());
    assert_eq!((claim.poll(at(1000)), claim.deadline()), (None, Some(Time::ZERO)));
    assert_eq!(ends(claim.expire(at(1000))), at(1900), "the store may hold it for a second from when it is asked");
    assert_eq!((claim.expire(at(1000)), claim.poll(at(1199))), (None, None));
    let (ticket, call) = ask(&mut claim, at(1200));
    assert_eq!(asks_for(&call), Some(fast().ttl()));
    assert_eq!(ends(claim.outcome(at(1250), at(1200), ticket, &granted_for(1, fast().ttl()))), at(2100));
    let (_, call) = ask(&mut claim, at(1400));
    assert!(matches!(call, Call::Renew(Lease { ttl, .. }) if ttl == fast().ttl()));
}

#[test]
fn whoever_waits_for_a_lease_looks_again_within_the_shorter_ttl() {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    let other = Tenant::Held { holder: member("b", 1), remaining: Duration::from_secs(5) };
    claim.outcome(at(10), at(0), ticket, &refuse(1, other));
    assert_eq!(claim.deadline(), Some(at(5010)));
    claim.set_timing(at(100), fast());
    assert_eq!(claim.deadline(), Some(at(1100)));
}

#[test]
fn a_longer_lease_counts_only_from_the_stores_own_grant_of_it() {
    let slow = Timing::default().at_pace(Duration::from_secs(10), Duration::from_secs(50)).unwrap();
    let mut claim = held();
    claim.set_timing(at(1000), slow);
    let (ticket, call) = ask(&mut claim, at(1000));
    assert_eq!(asks_for(&call), Some(slow.ttl()));
    assert_eq!(claim.pulse().call(), Timing::default().call(), "a call of the slow pace would use up the right");
    assert_eq!(claim.outcome(at(2250), at(1000), ticket, &Err(Fault::Failed)), None);
    assert!(claim.held(at(4499)).is_some() && claim.held(at(4500)).is_none());
    let again = claim.deadline().unwrap();
    let (ticket, _) = ask(&mut claim, again);
    let event = claim.outcome(again, again, ticket, &granted_for(1, slow.ttl()));
    assert_eq!(ends(event), again + Duration::from_secs(45));
}

#[test]
fn what_may_still_make_the_lease_short_keeps_the_right_short() {
    let mut claim = held();
    claim.set_timing(at(1000), fast());
    claim.expire(at(1000));
    let (ticket, _) = ask(&mut claim, at(1200));
    claim.outcome(at(1450), at(1200), ticket, &Err(Fault::Unknown));
    // The operator thinks better of it, but that call may still reach the store, after any other.
    claim.set_timing(at(1460), Timing::default());
    let again = claim.deadline().unwrap();
    let (ticket, call) = ask(&mut claim, again);
    assert!(matches!(call, Call::Renew(Lease { ttl, .. }) if ttl == Timing::default().ttl()), "{call:?}");
    let event = claim.outcome(again, again, ticket, &Ok(Reply::Renewed(Renewed::Extended)));
    assert_eq!(ends(event), again + Duration::from_millis(900));
    let next = claim.deadline().unwrap();
    assert_eq!(next, again + fast().beat(), "so it is renewed as often as that needs");
}

#[test]
fn a_renewal_in_doubt_makes_no_later_right_longer_than_it() {
    let mut claim = Claim::new(LeaseName::active(), member("a", 1), fast());
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    claim.outcome(at(10), at(0), ticket, &granted_for(1, fast().ttl()));
    let (ticket, _) = ask(&mut claim, at(200));
    claim.outcome(at(450), at(200), ticket, &Err(Fault::Unknown));
    claim.set_timing(at(460), Timing::default());
    let again = claim.deadline().unwrap();
    let (ticket, call) = ask(&mut claim, again);
    assert_eq!(asks_for(&call), Some(Timing::default().ttl()));
    let event = claim.outcome(again, again, ticket, &granted_for(1, Timing::default().ttl()));
    assert_eq!(ends(event), again + Duration::from_millis(900));
}

#[test]
fn a_lease_that_lapsed_before_it_was_asked_for_anew_is_lost_and_given_back() {
    let mut claim = held();
    claim.set_timing(at(1000), Timing::default().at_pace(Duration::from_secs(2), Duration::from_secs(10)).unwrap());
    let (ticket, _) = ask(&mut claim, at(1000));
    assert_eq!(
        claim.outcome(at(1100), at(1000), ticket, &granted_for(2, Duration::from_secs(10))),
        Some(ClaimEvent::Lost)
    );
    assert_eq!(claim.held(at(1100)), None);
    assert!(matches!(ask(&mut claim, at(1100)).1, Call::Release { lease, .. } if lease.term == Term(2)));
}

#[test]
fn a_lease_that_another_holds_when_it_is_asked_for_anew_is_lost() {
    let mut claim = held();
    claim.set_timing(at(1000), Timing::default().at_pace(Duration::from_secs(2), Duration::from_secs(10)).unwrap());
    let (ticket, _) = ask(&mut claim, at(1000));
    let other = Tenant::Held { holder: member("b", 1), remaining: Duration::from_secs(5) };
    assert_eq!(claim.outcome(at(1100), at(1000), ticket, &refuse(2, other)), Some(ClaimEvent::Lost));
    assert_eq!((claim.held(at(1100)), claim.is_idle()), (None, true));
}

#[test]
fn a_hint_that_comes_while_a_call_is_under_way_outlives_its_answer() {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    // The lease is given to this node just after the store has looked.
    claim.hint(at(5));
    let before = Tenant::Held { holder: member("b", 1), remaining: Duration::from_secs(5) };
    claim.outcome(at(10), at(0), ticket, &refuse(1, before));
    assert_eq!(
        claim.deadline(),
        Some(at(20)),
        "a fiftieth of a beat after the call before, not when the lease would lapse"
    );
    let (ticket, _) = ask(&mut claim, at(20));
    claim.outcome(at(30), at(20), ticket, &grant(2));
    assert!(claim.held(at(30)).is_some());
}

#[test]
fn a_pace_that_comes_and_goes_is_cut_to_each_time_it_comes() {
    let mut claim = held();
    claim.set_timing(at(1000), fast());
    assert_eq!(ends(claim.expire(at(1000))), at(1900));
    // Taken back before the store was asked, so the lease is renewed as it was granted, and the right is long again.
    claim.set_timing(at(1100), Timing::default());
    let (ticket, call) = ask(&mut claim, at(1100));
    assert!(matches!(call, Call::Renew(_)), "{call:?}");
    assert_eq!(ends(claim.outcome(at(1110), at(1100), ticket, &Ok(Reply::Renewed(Renewed::Extended)))), at(5600));
    claim.set_timing(at(1200), fast());
    assert_eq!((claim.poll(at(1200)), claim.deadline()), (None, Some(Time::ZERO)));
    assert_eq!(ends(claim.expire(at(1200))), at(2100), "the store may hold it for a second from when it is asked");
}
