//! Releases, successors and reservations: effects 4 and 6.

use super::super::Fixture;
use super::super::kit::{LONG, granted, holder, lapse, member, name, node, ok, refused};
use crate::lease::{Lease, LeaseView, Tenant};
use crate::timing::Timing;

/// Effect 6: a released lease is anyone's at once.
pub async fn a_release_frees_at_once(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, None).await);
    let view = ok(other.leases.current(&name("active")).await);
    assert_eq!(view, LeaseView { term: lease.term, tenant: Tenant::Free }, "it is free, its term remembered");
    granted(&other, &name("active"), &member("n2", 2), LONG).await;
}

/// Effect 6: releasing twice is releasing once, and releasing what was never granted is nothing.
pub async fn a_release_is_safe_to_repeat(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, None).await);
    ok(backend.leases.release(&lease, None).await);
    ok(backend.leases.release(&Lease { name: name("never"), ..lease }, Some(&node("n2"))).await);
    let view = ok(backend.leases.current(&name("never")).await);
    assert_eq!(view.tenant, Tenant::Free, "nothing is reserved by a release of nothing");
}

/// Effect 6: a release that arrives late, after a new grant, harms neither a new holder nor the old one's new lease.
pub async fn a_replayed_release_after_a_new_grant_changes_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let first = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&first, None).await);
    for m in [member("n1", 1), member("n2", 2)] {
        let current = granted(&backend, &name("active"), &m, LONG).await;
        ok(backend.leases.release(&first, None).await);
        ok(backend.leases.release(&first, Some(&node("n3"))).await);
        assert_eq!(holder(&backend, &name("active")).await, (current.term, Some(m)), "the new grant stands");
        ok(backend.leases.release(&current, None).await);
    }
}

/// Effect 6: only its holder can release it.
pub async fn a_release_by_another_member_changes_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    for stranger in [member("n1", 2), member("n2", 1)] {
        ok(backend.leases.release(&Lease { holder: stranger, ..lease.clone() }, None).await);
    }
    ok(backend.leases.release(&Lease { term: lease.term.next(), ..lease.clone() }, None).await);
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "still the holder's");
}

/// Effect 6: released to a successor, a lease is reserved for that node, for a third of its ttl.
pub async fn a_release_to_a_successor_reserves_the_lease(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, Some(&node("n2"))).await);
    let view = ok(backend.leases.current(&name("active")).await);
    assert_eq!(view.term, lease.term, "a release keeps the term");
    let Tenant::Reserved { successor, remaining } = view.tenant else { panic!("it has to be reserved: {view:?}") };
    assert_eq!(successor, node("n2"), "for the successor");
    let most = Timing::reservation(LONG);
    assert!(!remaining.is_zero() && remaining <= most, "for at most {most:?}, not {remaining:?}");
}

/// Effect 4: while it is reserved, everybody else is refused, the former holder too, and told for whom and how long.
pub async fn others_are_refused_while_it_is_reserved(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, Some(&node("n2"))).await);
    for m in [member("n1", 1), member("n3", 3), member("N2", 2)] {
        let view = refused(&backend, &name("active"), &m).await;
        let Tenant::Reserved { successor, remaining } = view.tenant else { panic!("{m} is told why: {view:?}") };
        assert_eq!((view.term, successor), (lease.term, node("n2")), "{m} is told the term and the successor");
        assert!(remaining <= Timing::reservation(LONG), "{m} is told how long: {remaining:?}");
    }
}

/// Effect 4: the successor, in whichever incarnation, is granted what is reserved for it, under a higher term.
pub async fn the_successor_is_granted_what_is_reserved_for_it(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, Some(&node("n2"))).await);
    let next = granted(&backend, &name("active"), &member("n2", 77), LONG).await;
    assert!(next.term > lease.term, "a new grant has a higher term");
    assert_eq!(holder(&backend, &name("active")).await, (next.term, Some(member("n2", 77))), "the successor holds it");
}

/// Effect 6: a replayed release neither reserves again what the successor took, nor renames the successor.
pub async fn a_replayed_release_does_not_reserve_again(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, Some(&node("n2"))).await);
    ok(backend.leases.release(&lease, Some(&node("n3"))).await);
    refused(&backend, &name("active"), &member("n3", 3)).await;
    let next = granted(&backend, &name("active"), &member("n2", 2), LONG).await;
    ok(backend.leases.release(&lease, Some(&node("n3"))).await);
    assert_eq!(
        holder(&backend, &name("active")).await,
        (next.term, Some(member("n2", 2))),
        "the successor's grant stands"
    );
}

/// Effects 5 and 6: whichever of the two the store sees first, the lease is free afterwards, and whoever is next has it at once.
pub async fn a_release_beside_a_renewal_frees_the_lease(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let [a, b] = [member("n1", 1), member("n2", 2)];
    for round in 0..10 {
        let lease = granted(&backend, &name("active"), &a, LONG).await;
        let (renewal, release) = (backend.leases.renew(&lease), backend.leases.release(&lease, None));
        // Sent in this order, as by a holder that gives up a lease it is renewing, and in the other.
        let (renewed, released) = if round % 2 == 0 {
            tokio::join!(renewal, release)
        } else {
            let (released, renewed) = tokio::join!(release, renewal);
            (renewed, released)
        };
        ok(renewed);
        ok(released);
        let next = granted(&other, &name("active"), &b, LONG).await;
        assert!(next.term > lease.term, "round {round}: the next one has it under a higher term");
        ok(other.leases.release(&next, None).await);
    }
}

/// Effect 6: the reservation lapses, and a dead successor costs a moment, not the lease.
pub async fn a_reservation_lapses(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let ttl = fixture.ttl();
    let lease = granted(&backend, &name("active"), &member("n1", 1), ttl).await;
    ok(backend.leases.release(&lease, Some(&node("n2"))).await);
    lapse(fixture, &backend, Timing::reservation(ttl)).await;
    let view = ok(backend.leases.current(&name("active")).await);
    assert_eq!(view, LeaseView { term: lease.term, tenant: Tenant::Free }, "after a third of the ttl it is free");
    let next = granted(&backend, &name("active"), &member("n3", 3), LONG).await;
    assert!(next.term > lease.term, "a new grant has a higher term");
}
