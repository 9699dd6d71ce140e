//! What is granted when nobody waits for it any more.

use super::*;

/// The term that is given back next, if one is.
fn gives_back(claim: &mut Claim, now: Time) -> Option<Term> {
    match claim.poll(now) {
        Some((_, Call::Release { lease, .. })) => Some(lease.term),
        Some((_, call)) => panic!("{call:?}"),
        None => None,
    }
}

#[test]
fn what_is_granted_to_one_that_seeks_no_more_is_given_back() {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    claim.stop_seeking();
    assert!(claim.is_idle() && !claim.is_settled(), "it may be granted yet");
    assert_eq!(claim.outcome(at(10), at(0), ticket, &grant(1)), None);
    assert_eq!(claim.held(at(10)), None);
    assert_eq!(gives_back(&mut claim, at(10)), Some(Term(1)));
}

#[test]
fn one_that_is_refused_meanwhile_has_nothing_to_give_back() {
    let mut claim = claim();
    claim.seek(at(0));
    let (ticket, _) = ask(&mut claim, at(0));
    claim.stop_seeking();
    let other = Tenant::Held { holder: member("b", 1), remaining: Duration::from_secs(5) };
    assert_eq!(claim.outcome(at(10), at(0), ticket, &refuse(1, other)), None);
    assert!(claim.is_settled());
}

#[test]
fn one_that_seeks_again_meanwhile_asks_at_once() {
    let mut claim = claim();
    claim.seek(at(0));
    let (first, _) = ask(&mut claim, at(0));
    claim.stop_seeking();
    claim.seek(at(5));
    let (second, _) = ask(&mut claim, at(5));
    let other = Tenant::Held { holder: member("b", 1), remaining: Duration::from_secs(5) };
    claim.outcome(at(10), at(5), second, &refuse(1, other));
    assert_eq!(claim.outcome(at(20), at(0), first, &grant(2)), None);
    // It is the holder, so it keeps that term.
    assert!(matches!(ask(&mut claim, at(20)).1, Call::Acquire { .. }));
}

/// Another ttl is asked for with an `acquire`, which is no harmless renewal once the lease is free.
#[test]
fn what_is_granted_behind_a_release_is_given_back_as_well() {
    let mut claim = held();
    let slow = Timing::default().at_pace(Duration::from_secs(2), Duration::from_secs(10)).unwrap();
    claim.set_timing(at(1000), slow);
    let (late, call) = ask(&mut claim, at(1000));
    assert!(matches!(call, Call::Acquire { .. }));
    claim.release(at(1001), None);
    let (release, _) = ask(&mut claim, at(1001));
    assert_eq!(claim.outcome(at(1002), at(1001), release, &Ok(Reply::Done)), Some(ClaimEvent::Released));
    assert!(!claim.is_settled());
    assert_eq!(claim.outcome(at(1003), at(1000), late, &grant(2)), None);
    assert_eq!(gives_back(&mut claim, at(1003)), Some(Term(2)));

    // The same if its answer comes before the release's, to whomever the lease was to go.
    let mut claim = held();
    claim.set_timing(at(1000), slow);
    let (late, _) = ask(&mut claim, at(1000));
    claim.release(at(1001), Some(NodeId::new("b").unwrap()));
    ask(&mut claim, at(1001));
    claim.outcome(at(1003), at(1000), late, &grant(2));
    let (_, call) = ask(&mut claim, at(1003));
    assert!(matches!(&call, Call::Release { lease, successor: Some(_) } if lease.term == Term(2)), "{call:?}");
}

/// Something may still run under it (law 8).
#[test]
fn a_term_that_was_held_is_not_given_back_because_its_confirmation_comes_late() {
    let mut claim = held();
    claim.set_timing(at(1000), Timing::default().at_pace(Duration::from_secs(2), Duration::from_secs(10)).unwrap());
    let (late, _) = ask(&mut claim, at(1000));
    assert_eq!(claim.expire(at(4500)), Some(ClaimEvent::Ending));
    assert_eq!(claim.expire(at(4500)), Some(ClaimEvent::Ended));
    assert_eq!(claim.outcome(at(4600), at(1000), late, &grant(1)), None);
    assert_eq!(gives_back(&mut claim, at(4600)), None);
    assert!(claim.is_settled());
}
