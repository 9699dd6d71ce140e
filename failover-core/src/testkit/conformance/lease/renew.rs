//! Renewals: effects 5 and 6.

use super::super::Fixture;
use super::super::kit::{LONG, attempt, granted, handles, holder, member, name, ok, together};
use crate::ids::Term;
use crate::lease::{Lease, Renewed, Tenant};

/// Effect 5: the lease that is current is extended, through any handle.
pub async fn the_current_lease_is_extended(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    for handle in [&backend, &other, &backend] {
        assert_eq!(ok(handle.leases.renew(&lease).await), Renewed::Extended, "the current lease is extended");
    }
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "under its term");
}

/// Effect 5: a renewal gives the whole ttl again.
pub async fn a_renewal_restarts_the_ttl(fixture: &dyn Fixture) {
    let backend = &fixture.open().await;
    attempt("a renewal restarts the ttl", |n| async move {
        let lease = granted(backend, &name(&format!("renewed-{n}")), &member("n1", 1), LONG).await;
        fixture.pass(fixture.ttl()).await;
        assert_eq!(ok(backend.leases.renew(&lease).await), Renewed::Extended, "the current lease is extended");
        let view = ok(backend.leases.current(&lease.name).await);
        matches!(view.tenant, Tenant::Held { remaining, .. } if remaining + fixture.ttl() > LONG)
    })
    .await;
}

/// Effect 5, law 1: a token of an earlier grant renews nothing, not even for the member that holds the lease now.
pub async fn a_renewal_under_an_earlier_term_is_lost(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    let first = granted(&backend, &name("active"), &m, LONG).await;
    ok(backend.leases.release(&first, None).await);
    let second = granted(&backend, &name("active"), &m, LONG).await;
    assert_eq!(ok(backend.leases.renew(&first).await), Renewed::Lost, "the earlier term is gone");
    assert_eq!(holder(&backend, &name("active")).await, (second.term, Some(m)), "nothing has changed");
}

/// Effect 5: a renewal under a term that was never granted is lost.
pub async fn a_renewal_under_a_term_to_come_is_lost(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    let ahead = Lease { term: lease.term.next(), ..lease.clone() };
    assert_eq!(ok(backend.leases.renew(&ahead).await), Renewed::Lost, "no such term was granted");
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "nothing has changed");
}

/// Effect 5, law 5: the term alone is not enough; another member or incarnation renews nothing.
pub async fn a_renewal_by_another_member_is_lost(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    for stranger in [member("n1", 2), member("n2", 1), member("N1", 1)] {
        let theirs = Lease { holder: stranger.clone(), ..lease.clone() };
        assert_eq!(ok(backend.leases.renew(&theirs).await), Renewed::Lost, "{stranger} does not hold it");
    }
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "nothing has changed");
}

/// Effect 5: what was given back cannot be renewed.
pub async fn a_renewal_after_release_is_lost(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, None).await);
    assert_eq!(ok(backend.leases.renew(&lease).await), Renewed::Lost, "it was released");
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, None), "and it stays free");
}

/// Effect 5: what was never granted cannot be renewed, and is not made by trying.
pub async fn a_lease_never_granted_is_not_renewed(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = Lease { name: name("active"), holder: member("n1", 1), term: Term(1), ttl: LONG };
    assert_eq!(ok(backend.leases.renew(&lease).await), Renewed::Lost, "nobody holds it");
    assert_eq!(holder(&backend, &name("active")).await, (Term::ZERO, None), "nothing has changed");
}

/// Effects 3 and 5 under contention: renewals and attempts to acquire at once take nothing from the holder.
pub async fn twenty_concurrent_calls_leave_the_lease_with_its_holder(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let lease = granted(&handles[0], &name("active"), &member("n1", 1), LONG).await;
    let kept = together(&handles, |i, backend| {
        let lease = lease.clone();
        async move {
            if i % 2 == 0 {
                return ok(backend.leases.renew(&lease).await) == Renewed::Extended;
            }
            let asked = ok(backend.leases.acquire(&lease.name, &member("n2", u128::from(i)), LONG).await);
            matches!(asked, crate::lease::Acquired::Refused(_))
        }
    })
    .await;
    assert!(kept.iter().all(|kept| *kept), "every renewal extends and every other member is refused: {kept:?}");
    assert_eq!(holder(&handles[1], &name("active")).await, (lease.term, Some(member("n1", 1))), "still the holder's");
}
