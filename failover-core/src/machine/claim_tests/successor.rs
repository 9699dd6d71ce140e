//! A lease that was left to another.

use super::*;

/// One that has given its lease back, and seeks again.
fn left_to(successor: Option<&str>) -> Claim {
    let mut claim = held();
    claim.release(at(100), successor.map(|node| NodeId::new(node).unwrap()));
    let (ticket, _) = ask(&mut claim, at(100));
    assert_eq!(claim.outcome(at(110), at(100), ticket, &Ok(Reply::Done)), Some(ClaimEvent::Released));
    claim.seek(at(110));
    claim
}

#[test]
fn whoever_left_a_lease_to_another_looks_before_it_asks() {
    let mut claim = left_to(Some("b"));
    // Not at once, however it is hinted at: the other is about to ask.
    claim.hint(at(111));
    assert_eq!(claim.poll(at(119)), None);
    let (ticket, call) = ask(&mut claim, at(130));
    assert!(matches!(call, Call::Current(_)), "{call:?}");
    // A look that fails is made again.
    claim.outcome(at(140), at(130), ticket, &Err(Fault::Failed));
    let again = claim.deadline().unwrap();
    let (ticket, call) = ask(&mut claim, again);
    assert!(matches!(call, Call::Current(_)), "{call:?}");
    let tenant = Tenant::Reserved { successor: member("b", 1).node, remaining: Duration::from_secs(1) };
    claim.outcome(again, again, ticket, &Ok(Reply::View(LeaseView { term: Term(1), tenant })));
    // Next in line if that one does not take it.
    let free = again + Duration::from_secs(1);
    assert_eq!(claim.deadline(), Some(free));
    assert!(matches!(ask(&mut claim, free).1, Call::Acquire { .. }));
}

#[test]
fn whoever_left_it_to_nobody_or_to_itself_asks_at_once() {
    for successor in [None, Some("a")] {
        let call = ask(&mut left_to(successor), at(110)).1;
        assert!(matches!(call, Call::Acquire { .. }), "{successor:?}: {call:?}");
    }
}
