//! Who may act: [`Lease`] and the [`LeaseManager`] that grants it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::home::Home;
use crate::ids::{FencingToken, LeaseName, Member, NodeId, Term};

/// The highest floor [`LeaseManager::raise_floor`] takes: every store counts exactly far beyond it (Lua's numbers, the
/// narrowest, up to 2^53), so a mistyped floor cannot use the terms up.
pub const MAX_FLOOR: Term = Term(1 << 52);

/// A lease as the store granted it: for `ttl` by the store's clock, to one member, under a term nobody else ever gets.
///
/// Having this value is not having the right: that is a comparison with the clock at the moment of use (law 4), which
/// [`Right`](crate::Right) makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What is leased.
    pub name: LeaseName,
    /// To whom.
    pub holder: Member,
    /// The term, which is the fencing token.
    pub term: Term,
    /// For how long by the store's clock, counted from the grant or the last renewal.
    pub ttl: Duration,
}

impl Lease {
    /// The token to carry to writes made under this lease.
    pub fn token(&self) -> FencingToken {
        FencingToken { name: self.name.to_string(), number: self.term.0 }
    }
}

/// The answer to [`LeaseManager::acquire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// The member holds the lease.
    Granted(Lease),
    /// It does not; this is how things stand.
    Refused(LeaseView),
}

/// How a lease stands, by the store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// The highest term ever granted under this name; zero if it never was.
    pub term: Term,
    /// Who has it, or may have it next.
    pub tenant: Tenant,
}

/// Who has a lease, or may have it next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenant {
    /// Nobody: anyone may acquire it.
    Free,
    /// A member, for the time that remains unless it renews.
    Held {
        /// The member.
        holder: Member,
        /// Until its lease lapses.
        remaining: Duration,
    },
    /// Nobody, but this node has the first right to acquire it.
    Reserved {
        /// The node named when the lease was released.
        successor: NodeId,
        /// Until anyone may acquire it.
        remaining: Duration,
    },
}

/// The answer to [`LeaseManager::renew`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease lasts its ttl again, counted from now by the store's clock.
    Extended,
    /// It has lapsed, was released, or is another's. It cannot come back (law 6).
    Lost,
}

/// What a store promises about a grant it has acknowledged. Ordered from weakest to strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Lost with the process.
    Volatile,
    /// May be lost when a replica is promoted.
    AsyncReplica,
    /// Survives a restart of its one node.
    SingleNode,
    /// Acknowledged by a replica that would be promoted.
    SyncReplica,
    /// Acknowledged by a majority.
    Quorum,
}

/// Where leases are kept.
///
/// # Effects
/// 1. `acquire` of a free, lapsed or never granted lease grants it under a term higher than any granted before under that
///    name (laws 1 and 2: across release, expiry and restart of the store), for the lease's ttl by the store's clock.
/// 2. `acquire` by the member that holds it keeps its term and restarts its ttl: a retry after a lost reply (law 5).
///    Another incarnation of the same node is another member.
/// 3. `acquire` while another member holds it changes nothing and tells holder, term and remaining time.
/// 4. `acquire` while it is reserved for another node changes nothing and tells for whom and how long.
/// 5. `renew` of the lease that is current (holder and term match, not lapsed) restarts its ttl. Anything else is `Lost` and
///    changes nothing; a lapsed lease is never renewed, even if nobody took it since (law 6).
/// 6. `release` of the lease that is current frees it at once; with a successor named, it is reserved for that node for
///    [`Timing::reservation`](crate::Timing::reservation) of its ttl. Anything else changes nothing (law 5): a replayed release after a new grant
///    does no harm. `Ok` says only that the lease is not held under that term any more, nor will be by a `renew` that is still under way.
/// 7. `current` tells how the lease stands and changes nothing. The term it tells never falls.
/// 8. `raise_floor` makes every later grant, under any name, have a term higher than the floor. It never lowers it.
/// 9. A lease lapses by the store's clock alone: no caller's clock takes part (law 10).
/// 10. Leases of different names do not touch each other, nor do those of different clusters in one store.
/// 11. Of any number of concurrent `acquire` calls by different members, one is granted.
/// 12. `changed(name)` completes soon after that lease was granted to someone or released. It may complete early or for
///     nothing; it may also never complete, and lapse alone need not wake it (law 7).
///
/// # Failure
/// 1. An `Err` of kind [`Unknown`](crate::ErrorKind::Unknown) may have been applied, at once or later: it is neither a grant nor a loss (law 3).
/// 2. A zero ttl, or one below [`least_ttl`](Self::least_ttl), and a floor above [`MAX_FLOOR`] are
///    [`Invalid`](crate::ErrorKind::Invalid).
/// 3. A store that cannot show that its terms grow (wiped, restored, an old replica) answers
///    [`StoreChanged`](crate::ErrorKind::StoreChanged), until an operator opens it anew with a higher floor (law 2).
/// 4. A record of a newer format is [`TooNew`](crate::ErrorKind::TooNew) and is left as it is (law 15).
///
/// Every method is cancel safe in the sense of failure 1.
#[async_trait]
pub trait LeaseManager: Send + Sync {
    /// Asks for a lease.
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired>;

    /// Extends a lease that is held.
    async fn renew(&self, lease: &Lease) -> Result<Renewed>;

    /// Gives a lease back, if wanted to a successor who then has first right.
    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()>;

    /// How a lease stands.
    async fn current(&self, name: &LeaseName) -> Result<LeaseView>;

    /// Raises the floor of all terms, after a store was lost and the operator knows how high they had been.
    async fn raise_floor(&self, floor: Term) -> Result<()>;

    /// Waits for a hint that [`current`](Self::current) would tell something new. Cancel safe.
    async fn changed(&self, _name: &LeaseName) -> Result<()> {
        std::future::pending().await
    }

    /// What an acknowledged grant survives.
    fn durability(&self) -> Durability;

    /// The shortest ttl this store can keep.
    fn least_ttl(&self) -> Duration {
        Duration::from_millis(1)
    }

    /// By how much a lease may outlast its ttl after a fault of the store itself. Safe, and part of law 16's bound.
    fn slack(&self) -> Duration {
        Duration::ZERO
    }

    /// The thread on which it lives, where nodes and elections then run. One that wraps another passes this on; all others leave it.
    fn home(&self) -> Option<Home> {
        None
    }
}

#[async_trait]
impl<T: LeaseManager + ?Sized> LeaseManager for Arc<T> {
    async fn acquire(&self, name: &LeaseName, member: &Member, ttl: Duration) -> Result<Acquired> {
        (**self).acquire(name, member, ttl).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewed> {
        (**self).renew(lease).await
    }

    async fn release(&self, lease: &Lease, successor: Option<&NodeId>) -> Result<()> {
        (**self).release(lease, successor).await
    }

    async fn current(&self, name: &LeaseName) -> Result<LeaseView> {
        (**self).current(name).await
    }

    async fn raise_floor(&self, floor: Term) -> Result<()> {
        (**self).raise_floor(floor).await
    }

    async fn changed(&self, name: &LeaseName) -> Result<()> {
        (**self).changed(name).await
    }

    fn durability(&self) -> Durability {
        (**self).durability()
    }

    fn least_ttl(&self) -> Duration {
        (**self).least_ttl()
    }

    fn slack(&self) -> Duration {
        (**self).slack()
    }

    fn home(&self) -> Option<Home> {
        (**self).home()
    }
}
