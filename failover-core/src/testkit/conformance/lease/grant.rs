//! Who is granted a lease, and under which term: effects 1, 2, 3, 10 and 11.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Fixture;
use super::super::kit::{
    LONG, WRITERS, attempt, fails, granted, handles, holder, longest, member, name, ok, refused, together,
};
use crate::error::ErrorKind;
use crate::ids::Term;
use crate::lease::{Acquired, LeaseView, Renewed, Tenant};

/// Effect 7: before its first grant, a lease is free and its term is zero.
pub async fn a_lease_never_granted_is_free_with_term_zero(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let view = ok(backend.leases.current(&name("active")).await);
    assert_eq!(view, LeaseView { term: Term::ZERO, tenant: Tenant::Free }, "nobody ever held it");
}

/// Effect 1: a free lease is granted as it was asked for, and every handle sees that.
pub async fn a_free_lease_is_granted(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let m = member("n1", 1);
    let lease = granted(&backend, &name("active"), &m, LONG).await;
    assert_eq!((&lease.name, &lease.holder), (&name("active"), &m), "the grant is what was asked for");
    assert!(!lease.ttl.is_zero() && lease.ttl <= LONG, "for no longer than was asked, not {:?}", lease.ttl);
    assert!(lease.term > Term::ZERO, "a grant has a term above zero");
    assert_eq!(holder(&other, &name("active")).await, (lease.term, Some(m)), "another handle sees it held");
}

/// Effect 2: the holder that asks again, because it missed the answer, keeps its term.
pub async fn the_holder_acquiring_again_keeps_its_term(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open().await);
    let m = member("n1", 1);
    let first = granted(&backend, &name("active"), &m, LONG).await;
    for handle in [&backend, &other] {
        let again = granted(handle, &name("active"), &m, LONG).await;
        assert_eq!(again.term, first.term, "a retry keeps the term");
    }
}

/// Effect 2: the holder that asks again has its whole ttl again.
pub async fn the_holder_acquiring_again_restarts_its_ttl(fixture: &dyn Fixture) {
    let backend = &fixture.open().await;
    attempt("acquiring again restarts the ttl", |n| async move {
        let lease = name(&format!("again-{n}"));
        let m = member("n1", 1);
        granted(backend, &lease, &m, LONG).await;
        fixture.pass(fixture.ttl()).await;
        granted(backend, &lease, &m, LONG).await;
        let view = ok(backend.leases.current(&lease).await);
        matches!(view.tenant, Tenant::Held { remaining, .. } if remaining + fixture.ttl() > LONG)
    })
    .await;
}

/// Effects 2 and 5: the holder that asks again for another ttl has that one from then on, also by renewals: so a cluster's pace can change.
pub async fn the_holder_acquiring_again_for_another_ttl_has_that_one(fixture: &dyn Fixture) {
    let backend = &fixture.open().await;
    let ttl = fixture.ttl();
    attempt("the ttl of the last grant is the lease's", |n| async move {
        let lease = name(&format!("another-{n}"));
        let m = member("n1", 1);
        let first = granted(backend, &lease, &m, LONG).await;
        // Rounded up by stores that count in whole seconds.
        let most = ttl + Duration::from_secs(1);
        let is_short = |view: LeaseView| matches!(view.tenant, Tenant::Held { remaining, .. } if remaining <= most);
        let shorter = granted(backend, &lease, &m, ttl).await;
        let mut holds = is_short(ok(backend.leases.current(&lease).await));
        holds &= ok(backend.leases.renew(&shorter).await) == Renewed::Extended;
        holds &= is_short(ok(backend.leases.current(&lease).await));
        let longer = granted(backend, &lease, &m, LONG).await;
        holds &= ok(backend.leases.renew(&longer).await) == Renewed::Extended;
        let view = ok(backend.leases.current(&lease).await);
        holds &= matches!(view.tenant, Tenant::Held { remaining, .. } if remaining > most);
        assert_eq!((shorter.term, longer.term), (first.term, first.term), "the term stays");
        holds
    })
    .await;
}

/// Effect 2, law 5: a restarted process is another member and does not inherit.
pub async fn another_incarnation_of_the_holders_node_is_refused(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    let view = refused(&backend, &name("active"), &member("n1", 2)).await;
    assert_eq!(view.term, lease.term, "the refusal tells the term");
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "nothing has changed");
}

/// Effect 3: a refusal tells who holds the lease, under which term and for how long.
pub async fn a_refusal_tells_holder_term_and_remaining_time(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    let view = refused(&backend, &name("active"), &member("n2", 2)).await;
    assert_eq!(view.term, lease.term, "the refusal tells the term");
    let Tenant::Held { holder, remaining } = view.tenant else { panic!("the refusal tells the holder: {view:?}") };
    assert_eq!(holder, member("n1", 1), "the refusal tells the holder");
    assert!(!remaining.is_zero() && remaining <= LONG, "the refusal tells the remaining time: {remaining:?}");
}

/// Effect 3: being refused takes nothing from the holder and spends no term.
pub async fn a_refused_acquire_changes_nothing(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    for i in 2..5 {
        refused(&backend, &name("active"), &member("n2", i)).await;
    }
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "still the holder's");
    let again = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    assert_eq!(again.term, lease.term, "the term is the same");
}

/// Effect 1, law 2: every grant has a higher term than the one before, whoever gets it.
pub async fn a_term_rises_with_every_grant(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let mut highest = Term::ZERO;
    for i in 0..6 {
        let lease = granted(&backend, &name("active"), &member("n1", i / 2), LONG).await;
        assert!(lease.term > highest, "term {} was granted after {highest}", lease.term);
        highest = lease.term;
        ok(backend.leases.release(&lease, None).await);
        assert_eq!(holder(&backend, &name("active")).await, (highest, None), "a release keeps the term");
    }
}

/// Effect 11: of any number of members that ask at once, one is granted, and the others are told of that one.
pub async fn of_twenty_concurrent_acquirers_one_is_granted(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let answers = together(&handles, |i, backend| async move {
        ok(backend.leases.acquire(&name("active"), &member(&format!("n{i}"), 1), LONG).await)
    })
    .await;
    let winners: Vec<_> = answers.iter().filter(|answer| matches!(answer, Acquired::Granted(_))).collect();
    let [Acquired::Granted(won)] = winners[..] else { panic!("one has to be granted, not {winners:?}") };
    for answer in &answers {
        if let Acquired::Refused(view) = answer {
            assert_eq!(view.term, won.term, "the losers are told the winner's term");
            let tenant = &view.tenant;
            assert!(
                matches!(tenant, Tenant::Held { holder, .. } if *holder == won.holder),
                "and the winner: {tenant:?}"
            );
        }
    }
}

/// Law 1: a token is never issued twice, however many members take turns at once.
pub async fn twenty_members_taking_turns_never_share_a_term(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let terms = together(&handles, |i, backend| async move {
        let mut terms = Vec::new();
        for _ in 0..5 {
            let asked = backend.leases.acquire(&name("active"), &member(&format!("n{i}"), 1), LONG).await;
            if let Acquired::Granted(lease) = ok(asked) {
                terms.push(lease.term);
                ok(backend.leases.release(&lease, None).await);
            }
        }
        terms
    })
    .await;
    let all: Vec<Term> = terms.into_iter().flatten().collect();
    let distinct: BTreeSet<Term> = all.iter().copied().collect();
    assert!(!all.is_empty(), "somebody was granted it");
    assert_eq!(distinct.len(), all.len(), "no term was granted twice: {all:?}");
}

/// Effect 2 under contention: a member's own retries that overlap agree on one term.
pub async fn concurrent_acquires_by_one_member_agree_on_the_term(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let terms = together(&handles, |_, backend| async move {
        granted(&backend, &name("active"), &member("n1", 1), LONG).await.term
    })
    .await;
    let distinct: BTreeSet<Term> = terms.into_iter().collect();
    assert_eq!(distinct.len(), 1, "one member, one term: {distinct:?}");
}

/// Effect 10: what happens to one lease does nothing to another.
pub async fn leases_of_different_names_do_not_touch(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    // Each begins with, ends with, or differs only in case from another one.
    let names = ["a", "A", "a/a", "a/A", "a-a", "a.a", "aa", "a_"].map(name);
    for (i, lease) in (1..).zip(&names) {
        granted(&backend, lease, &member("n", i), LONG).await;
    }
    let first = granted(&backend, &names[0], &member("n", 1), LONG).await;
    ok(backend.leases.release(&first, None).await);
    assert_eq!(holder(&backend, &names[0]).await.1, None, "the one is released");
    for (i, lease) in (1..).zip(&names).skip(1) {
        assert_eq!(holder(&backend, lease).await.1, Some(member("n", i)), "{lease} is still its holder's");
    }
}

/// Law 18: the longest names are kept whole, and told apart by their last character.
pub async fn names_of_64_characters_are_kept_apart(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let long = longest('n');
    let (one, other) = (name(&format!("{long}/{long}")), name(&format!("{long}/{}x", &long[..63])));
    let m = member(&long, u128::MAX);
    granted(&backend, &one, &m, LONG).await;
    assert_eq!(holder(&backend, &other).await, (Term::ZERO, None), "the other is free");
    assert_eq!(holder(&backend, &one).await.1, Some(m), "the one is held by the whole of its holder");
}

/// Effect 10: clusters in one store grant their leases each for themselves.
pub async fn clusters_do_not_share_leases(fixture: &dyn Fixture) {
    let (backend, other) = (fixture.open().await, fixture.open_other().await);
    let lease = granted(&backend, &name("active"), &member("n1", 1), LONG).await;
    assert_eq!(holder(&other, &name("active")).await, (Term::ZERO, None), "the other cluster's is free");
    let theirs = granted(&other, &name("active"), &member("n2", 2), LONG).await;
    ok(other.leases.release(&theirs, None).await);
    assert_eq!(holder(&backend, &name("active")).await, (lease.term, Some(member("n1", 1))), "ours is still held");
}

/// Failure 2: a lease for no time is refused as input.
pub async fn a_zero_ttl_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let asked = backend.leases.acquire(&name("active"), &member("n1", 1), std::time::Duration::ZERO).await;
    fails(asked, ErrorKind::Invalid, "a ttl of zero");
    assert_eq!(holder(&backend, &name("active")).await, (Term::ZERO, None), "nothing was granted");
}

/// Failure 2: a ttl that the store cannot keep is refused, not rounded.
pub async fn a_ttl_below_the_least_is_invalid(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let least = backend.leases.least_ttl();
    assert!(fixture.ttl() >= least, "the fixture's ttl is one that the store can keep");
    let asked = backend.leases.acquire(&name("active"), &member("n1", 1), least / 2).await;
    fails(asked, ErrorKind::Invalid, "a ttl of half the least");
    granted(&backend, &name("active"), &member("n1", 1), least).await;
}

/// Effects 1 and 11 over many names at once: each has exactly one holder.
pub async fn twenty_members_racing_for_ten_leases_leave_one_holder_each(fixture: &dyn Fixture) {
    let handles = handles(fixture).await;
    let grants = together(&handles, |i, backend| async move {
        let mut grants = Vec::new();
        for k in 0..10 {
            let lease = name(&format!("slot/{}", (k + i) % 10));
            let asked = backend.leases.acquire(&lease, &member(&format!("n{i}"), 1), LONG).await;
            if let Acquired::Granted(lease) = ok(asked) {
                grants.push(lease.name);
            }
        }
        grants
    })
    .await;
    let all: Vec<_> = grants.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (10, 10), "ten leases, ten grants, among {WRITERS} members");
}
