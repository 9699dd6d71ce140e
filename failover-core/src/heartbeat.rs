//! Who seems alive: [`Heartbeat`], [`Sighting`] and the [`HeartbeatStore`] they go through.
//!
//! Heartbeats are advice. They start decisions; what makes a decision safe is a lease.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::capacity::Capacity;
use crate::client::Endpoint;
use crate::control::Pace;
use crate::error::Result;
use crate::health::Health;
use crate::ids::{Incarnation, Member, NodeId, Term};
use crate::replica::Lag;

/// What a node is to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Holds the cluster's lease and decides. One at most.
    Active,
    /// Appointed by the active to take over first, and prepared for it. One at most.
    Standby,
    /// A member that is neither; it runs jobs and may be appointed.
    Inactive,
    /// A member that takes no part: it neither runs jobs nor takes over.
    Maintenance,
}

impl Role {
    /// The role's name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Inactive => "inactive",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the active node tells everybody in its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// The term of its active lease. Of two heartbeats that claim to lead, the one with the higher term is right.
    pub term: Term,
    /// The node it has appointed standby.
    pub standby: Option<Member>,
}

/// One sign of life of a member.
///
/// Only a member that holds its node's lease sends them, so the `term` orders the incarnations of a node: a later
/// incarnation has a higher one. (Not the incarnations themselves: that would compare two hosts' clocks.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who sends it.
    pub member: Member,
    /// The term of the sender's node lease.
    pub term: Term,
    /// Counts the beats of this term; [`LAST_WORD`] in one that is sent on behalf of a dead sender.
    pub seq: u64,
    /// What it tells about itself. Everything but `seq` and the above.
    pub news: News,
}

/// Above the count of every beat that a member sends itself, and exact in every store's numbers.
pub const LAST_WORD: u64 = (1 << 53) - 1;

impl Heartbeat {
    /// What is sent in the name of a member whose process is known to be dead: nothing that it sent itself comes after it. Whoever
    /// reads it misses the member at once, instead of when it has been silent for long enough; as ever, that is advice, and the lease decides (law 11).
    pub fn last_word(member: Member, term: Term, news: News) -> Self {
        Self { member, term, seq: LAST_WORD, news: News { died: true, lead: None, lag: None, ..news } }
    }
}

/// What a heartbeat tells about its sender, beyond that it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The sender's role.
    pub role: Role,
    /// The summed weight of the jobs it runs.
    pub load: u32,
    /// How much it can run, unless the cluster's settings say otherwise.
    pub capacity: Capacity,
    /// Whether its `prepare` hook has completed: it could take over without delay.
    pub ready: bool,
    /// Whether it is leaving in good order: give it nothing new.
    pub leaving: bool,
    /// Set by the active node only.
    pub lead: Option<Lead>,
    /// What the host wants known of the node.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where clients can reach it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The earlier incarnation of this node whose lease the sender had to wait for: it did not leave in good order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Incarnation>,
    /// That it lives no more, by the word of an [`Heir`](crate::Heir) who knows that its process is dead. It did not leave in good order.
    #[serde(default, skip_serializing_if = "is_false")]
    pub died: bool,
    /// The version of the host's program; nothing if the host does not tell one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The pace of the cluster's settings that the sender keeps; nothing while it is as fast as it was started. Whoever has heard of a
    /// faster one already does not miss it sooner than by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// What is wrong with it, by its own host's word.
    #[serde(default, skip_serializing_if = "Health::is_well")]
    pub health: Health,
    /// How far behind its replicas are, if it has any: the worst of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
}

impl News {
    /// The news of a node of this role with this room, of which nothing more is to be told.
    pub fn new(role: Role, capacity: Capacity) -> Self {
        let (labels, endpoints) = (BTreeMap::new(), Vec::new());
        Self {
            role,
            load: 0,
            capacity,
            ready: false,
            leaving: false,
            lead: None,
            labels,
            endpoints,
            replaces: None,
            died: false,
            version: None,
            pace: None,
            health: Health::default(),
            lag: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A heartbeat and its age by the store's clock when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The latest heartbeat of the node.
    pub heartbeat: Heartbeat,
    /// How long ago the store received it, by the store's clock. Never overstated.
    pub age: Duration,
}

/// Where heartbeats are kept: the latest one of each node.
///
/// # Effects
/// 1. `beat` makes its heartbeat the node's latest, with age zero by the store's clock.
/// 2. A heartbeat whose `(term, seq)` is not above that of the node's latest changes nothing, not even the age; the call
///    succeeds. So a replayed or delayed beat neither revives the dead nor hides a later incarnation.
/// 3. `sightings` returns exactly one sighting for each node that has beaten and was not forgotten, ordered by node.
/// 4. A sighting's age is the time since effect 1 by the store's clock. It may be understated, never overstated.
/// 5. `forget` removes the latest heartbeat if, and only if, it is of that member. Forgetting twice is forgetting once.
/// 6. Whatever a heartbeat says is returned unchanged.
/// 7. `changed` completes soon after another node first appears, is forgotten, or sends [`News`] that differ from its
///    last. It may complete early or for nothing; it may also never complete (law 7).
///
/// # Failure
/// 1. An `Err` of kind [`Unknown`](crate::ErrorKind::Unknown) may have been applied, at once or later; every call is safe to repeat (law 5).
/// 2. A record of a newer format is an error of kind [`TooNew`](crate::ErrorKind::TooNew) and is left as it is (law 15).
/// 3. A store that was wiped or replaced answers [`StoreChanged`](crate::ErrorKind::StoreChanged) to everyone who knew the old one.
///
/// Every method is cancel safe in the sense of failure 1: dropping the future leaves the outcome unknown.
#[async_trait]
pub trait HeartbeatStore: Send + Sync {
    /// Reports one sign of life.
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()>;

    /// The latest heartbeat of every node, with its age.
    async fn sightings(&self) -> Result<Vec<Sighting>>;

    /// Removes the heartbeat of a member that has left. Only that incarnation's.
    async fn forget(&self, member: &Member) -> Result<()>;

    /// Waits for a hint that [`sightings`](Self::sightings) would tell something new. Cancel safe.
    async fn changed(&self) -> Result<()> {
        std::future::pending().await
    }
}

#[async_trait]
impl<T: HeartbeatStore + ?Sized> HeartbeatStore for Arc<T> {
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<()> {
        (**self).beat(heartbeat).await
    }

    async fn sightings(&self) -> Result<Vec<Sighting>> {
        (**self).sightings().await
    }

    async fn forget(&self, member: &Member) -> Result<()> {
        (**self).forget(member).await
    }

    async fn changed(&self) -> Result<()> {
        (**self).changed().await
    }
}

/// The node a list of sightings names as leading: the claim with the highest term.
pub fn leader_of(sightings: &[Sighting]) -> Option<(&NodeId, &Lead)> {
    let claims = sightings.iter().filter_map(|s| Some((&s.heartbeat.member.node, s.heartbeat.news.lead.as_ref()?)));
    claims.max_by_key(|(_, lead)| lead.term)
}
