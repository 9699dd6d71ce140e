//! Floors, restarts, losses of the store, and hints: effects 7, 8 and 12, law 2.

use super::super::Fixture;
use super::super::kit::{LONG, fails, granted, holder, member, name, ok, wakes};
use crate::error::ErrorKind;
use crate::ids::Term;
use crate::lease::{MAX_FLOOR, Renewed};

/// Effect 8: every later grant, of whichever name, is above the floor.
pub async fn a_raised_floor_lifts_every_later_grant(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let before = granted(&backend, &name("known"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&before, None).await);
    ok(backend.leases.raise_floor(Term(1000)).await);
    for lease in ["known", "unknown", "node/unknown"] {
        let lease = granted(&other, &name(lease), &member("n1", 1), LONG).await;
        assert!(lease.term > Term(1000), "{} was granted under term {}, not above the floor", lease.name, lease.term);
    }
}

/// Effect 8: a floor only rises.
pub async fn a_floor_is_never_lowered(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    ok(backend.leases.raise_floor(Term(1000)).await);
    ok(backend.leases.raise_floor(Term(10)).await);
    ok(backend.leases.raise_floor(Term::ZERO).await);
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    assert!(lease.term > Term(1000), "the highest floor counts, and term {} is not above it", lease.term);
}

/// Effects 2 and 8: a floor takes nothing from who holds a lease now.
pub async fn a_raised_floor_leaves_the_holder_its_lease(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.raise_floor(Term(1000)).await);
    assert_eq!(ok(backend.leases.renew(&lease).await), Renewed::Extended, "it is still current");
    let again = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    assert_eq!(again.term, lease.term, "a retry keeps its term");
}

/// Failure 2: a mistyped floor must not use the terms up.
pub async fn a_floor_above_the_highest_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    fails(backend.leases.raise_floor(MAX_FLOOR.next()).await, ErrorKind::Invalid, "a floor above `MAX_FLOOR`");
    fails(backend.leases.raise_floor(Term(u64::MAX)).await, ErrorKind::Invalid, "a floor of `u64::MAX`");
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    assert!(lease.term < MAX_FLOOR, "nothing was raised");
}

/// Effects 1 and 8: far above any usual number, terms are still counted one by one.
pub async fn terms_above_the_highest_floor_are_exact(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    ok(backend.leases.raise_floor(MAX_FLOOR).await);
    let mut highest = MAX_FLOOR;
    for _ in 0..3 {
        let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
        assert!(lease.term > highest, "term {} has to be above {highest}", lease.term);
        assert_eq!(ok(backend.leases.renew(&lease).await), Renewed::Extended, "the term is told exactly");
        ok(backend.leases.release(&lease, None).await);
        highest = lease.term;
    }
}

/// Law 2: terms and floors survive that every handle is closed and, where the store keeps its data, its restart.
pub async fn terms_and_floors_survive_reopening(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    ok(backend.leases.raise_floor(Term(1000)).await);
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    ok(backend.leases.release(&lease, None).await);
    drop(backend);
    fixture.restart().await;
    let backend = fixture.open().await;
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, None), "the term is remembered");
    let next = granted(&backend, &name("active"), &member("n2", 2), LONG).await;
    assert!(next.term > lease.term, "terms go on rising");
    let other = granted(&backend, &name("other"), &member("n2", 2), LONG).await;
    assert!(other.term > Term(1000), "the floor is remembered");
}

/// Failure 3, law 2: who knew a store that was lost is granted nothing by what has taken its place.
pub async fn a_wiped_store_is_noticed(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    fixture.wipe().await;
    let asked = backend.leases.acquire(&lease.name, &lease.holder, LONG).await;
    fails(asked, ErrorKind::StoreChanged, "`acquire` after a wipe");
    fails(backend.leases.renew(&lease).await, ErrorKind::StoreChanged, "`renew` after a wipe");
    fails(backend.leases.release(&lease, None).await, ErrorKind::StoreChanged, "`release` after a wipe");
    fails(backend.leases.current(&lease.name).await, ErrorKind::StoreChanged, "`current` after a wipe");
}

/// Failure 3: opened anew by an operator, with a floor above all that was granted, the store grants again.
pub async fn a_wiped_store_opened_with_a_floor_grants_above_it(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lost = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    fixture.wipe().await;
    let anew = fixture.open().await;
    ok(anew.leases.raise_floor(lost.term).await);
    let lease = granted(&anew, &name("active"), &member("n2", 2), LONG).await;
    assert!(lease.term > lost.term, "term {} was granted after {} was lost", lease.term, lost.term);
    assert_eq!(ok(anew.leases.renew(&lost).await), Renewed::Lost, "what the lost store granted is not current");
}

/// Failure 4: a record of a newer format is refused, and left as it is.
pub async fn a_newer_format_is_refused(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    fixture.make_newer().await;
    let asked = backend.leases.acquire(&lease.name, &lease.holder, LONG).await;
    fails(asked, ErrorKind::TooNew, "`acquire` over a newer record");
    fails(backend.leases.renew(&lease).await, ErrorKind::TooNew, "`renew` of a newer record");
    fails(backend.leases.release(&lease, None).await, ErrorKind::TooNew, "`release` of a newer record");
    fails(backend.leases.current(&lease.name).await, ErrorKind::TooNew, "`current` of a newer record");
}

/// Effect 12: who waits is woken by a grant.
pub async fn changed_wakes_when_a_lease_is_granted(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    if fixture.hints() {
        let (active, other) = (&name("active"), &other);
        wakes(backend.leases.changed(active), |n| async move {
            // Granted again and again, so each round first gives back what the one before was granted.
            let lease = granted(other, active, &member("n1", 1), LONG).await;
            if n > 1 {
                ok(other.leases.release(&lease, None).await);
                granted(other, active, &member("n1", 1), LONG).await;
            }
        })
        .await;
    }
}

/// Effect 12: who waits is woken by a release, which is what makes a handover quick.
pub async fn changed_wakes_when_a_lease_is_released(fixture: &dyn Fixture) {
    let other = fixture.open().await;
    if fixture.hints() {
        let lease = granted(&other, &name("active"), &member("n1", 1), LONG).await;
        // Opened after the grant: only the release can wake it.
        let backend = fixture.open().await;
        let other = &other;
        let mut first = Some(lease);
        wakes(backend.leases.changed(&name("active")), |_| {
            let first = first.take();
            async move {
                let lease = match first {
                    Some(lease) => lease,
                    None => granted(other, &name("active"), &member("n1", 1), LONG).await,
                };
                ok(other.leases.release(&lease, None).await);
            }
        })
        .await;
    }
}
