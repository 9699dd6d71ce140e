//! What a host leaves behind: the [`Estate`] of each member, and the [`Heir`] that settles it once the host's process is dead.
//!
//! A lease that nobody renews lapses, and only then can another have it. Who knows at once that the holder's process is dead can give the lease back
//! in its stead, by its token: `failover::guard` is a small process that does. **That is about speed only.** Whatever an heir was told late, or
//! never, or does twice, the store gives back nothing but the lease of exactly that holder and term, and the token fences what is left of the dead host's work.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::heartbeat::Heartbeat;
use crate::ids::{Member, NodeId};
use crate::lease::Lease;

/// What one member leaves behind if its process dies now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estate {
    /// Whose it is.
    pub member: Member,
    /// The leases it holds, in the order in which they are to be given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bequests: Vec<Bequest>,
    /// To be sent after that, so that the others need not wait until they miss it. Nothing if they never heard of the member, or if it has said goodbye.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_word: Option<Heartbeat>,
}

impl Estate {
    /// The estate of a member that holds nothing and has nothing to say.
    pub fn empty(member: Member) -> Self {
        Self { member, bequests: Vec::new(), last_word: None }
    }

    /// Whether there is nothing to settle.
    pub fn is_empty(&self) -> bool {
        self.bequests.is_empty() && self.last_word.is_none()
    }
}

/// One lease, and who is to have it next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bequest {
    /// The lease, with the token by which it is given back.
    pub lease: Lease,
    /// Who has the first right to it, for [`Timing::reservation`](crate::Timing::reservation) of its ttl. Nobody in particular if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<NodeId>,
}

impl Bequest {
    /// A lease that goes to `successor`.
    pub fn new(lease: Lease, successor: Option<NodeId>) -> Self {
        Self { lease, successor }
    }
}

/// Somebody outside the host's process who settles what it leaves behind.
///
/// It must do so only once the process is dead **and** whatever worked under its leases has ended (law 8): not when it is merely silent.
#[async_trait]
pub trait Heir: Send + Sync {
    /// `estate` is what its member leaves behind from now on, in place of what was told of that member before; an empty one ends the telling.
    ///
    /// Called between two decisions, so it must not block.
    fn inherit(&self, estate: &Estate);

    /// Completes with the reason when the heir itself is gone, so that leases lapse as they do without one. Cancel safe.
    async fn gone(&self) -> String {
        std::future::pending().await
    }
}
