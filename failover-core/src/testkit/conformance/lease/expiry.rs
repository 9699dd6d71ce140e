//! Expiry by the store's clock: effects 1, 5, 6 and 9, law 6.

use super::super::Fixture;
use super::super::kit::{LONG, attempt, granted, holder, lapse, member, name, node, ok};
use crate::lease::{LeaseView, Renewed, Tenant};

/// Effect 9: a lease nobody renews lapses, without anybody's doing.
pub async fn a_lease_lapses_by_the_stores_clock_alone(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), fixture.ttl()).await;
    lapse(fixture, &backend, fixture.ttl()).await;
    let view = ok(backend.leases.current(&name("active")).await);
    assert_eq!(view, LeaseView { term: lease.term, tenant: Tenant::Free }, "it has lapsed, its term is remembered");
}

/// Effect 9: a lease does not lapse before its time.
pub async fn a_lease_does_not_lapse_before_its_ttl(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    fixture.pass(fixture.ttl() * 2).await;
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "its ttl is far longer");
}

/// Effect 1: a lapsed lease goes to whoever asks, under a higher term.
pub async fn a_lapsed_lease_is_granted_to_another_under_a_higher_term(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let lapsed = granted(&backend, &name("active"), &member("n1", 1), fixture.ttl()).await;
    lapse(fixture, &backend, fixture.ttl()).await;
    let next = granted(&other, &name("active"), &member("n2", 2), LONG).await;
    assert!(next.term > lapsed.term, "term {} has to be above {}", next.term, lapsed.term);
    assert_eq!(ok(backend.leases.renew(&lapsed).await), Renewed::Lost, "the former holder is told that it lost");
    ok(backend.leases.release(&lapsed, None).await);
    assert_eq!(holder(&backend, &name("active")).await, (next.term, Some(member("n2", 2))), "the new holder keeps it");
}

/// Effect 1, law 6: a lapsed lease goes back to its own former holder only under a higher term.
pub async fn a_lapsed_lease_is_granted_anew_to_its_former_holder(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lapsed = granted(&backend, &name("active"), &member("n1", 1), fixture.ttl()).await;
    lapse(fixture, &backend, fixture.ttl()).await;
    let anew = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    assert!(anew.term > lapsed.term, "somebody may have held it in between for all its holder knows");
}

/// Effect 5, law 6: a lapsed lease is never renewed, even if nobody has taken it since.
pub async fn a_lapsed_lease_is_never_renewed(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lapsed = granted(&backend, &name("active"), &member("n1", 1), fixture.ttl()).await;
    lapse(fixture, &backend, fixture.ttl()).await;
    assert_eq!(ok(backend.leases.renew(&lapsed).await), Renewed::Lost, "it has lapsed");
    assert_eq!(holder(&backend, &name("active")).await, (lapsed.term, None), "and stays so");
}

/// Effect 6: who has lost a lease cannot name its successor.
pub async fn a_release_after_the_lapse_reserves_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lapsed = granted(&backend, &name("active"), &member("n1", 1), fixture.ttl()).await;
    lapse(fixture, &backend, fixture.ttl()).await;
    ok(backend.leases.release(&lapsed, Some(&node("n2"))).await);
    granted(&backend, &name("active"), &member("n3", 3), LONG).await;
}

/// Effect 5: renewed in time, a lease outlives its ttl by far.
pub async fn renewals_keep_a_lease_beyond_its_ttl(fixture: &dyn Fixture) {
    let backend = &fixture.open().await;
    attempt("renewals in time keep a lease", |n| async move {
        let ttl = fixture.ttl();
        let lease = granted(backend, &name(&format!("kept-{n}")), &member("n1", 1), ttl).await;
        for _ in 0..8 {
            fixture.pass(ttl / 4).await;
            if ok(backend.leases.renew(&lease).await) == Renewed::Lost {
                return false;
            }
        }
        true
    })
    .await;
}

/// Effect 7: the remaining time is never more than the ttl, and falls.
pub async fn the_remaining_time_falls(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    let mut before = LONG;
    for _ in 0..3 {
        let view = ok(backend.leases.current(&name("active")).await);
        let Tenant::Held { remaining, .. } = view.tenant else { panic!("it is held: {view:?}") };
        assert!(remaining <= before, "the remaining time rose from {before:?} to {remaining:?}");
        fixture.pass(fixture.ttl()).await;
        before = LONG.min(remaining);
    }
    let view = ok(backend.leases.current(&name("active")).await);
    assert!(matches!(view.tenant, Tenant::Held { remaining, .. } if remaining < LONG), "it has fallen: {view:?}");
}
