//! Clauses of [`LeaseManager`].

use super::Fixture;
use super::kit::{LONG, granted, member, name};

/// Effect 1: a lease nobody ever held is granted as it was asked for.
pub async fn a_free_lease_is_granted(fixture: &dyn Fixture) {
    let backend = fixture.open().await;
    let m = member("n1", 1);
    let lease = granted(&backend, &name("active"), &m, LONG).await;
    assert_eq!((&lease.name, &lease.holder, lease.ttl), (&name("active"), &m, LONG), "the grant is what was asked for");
}
