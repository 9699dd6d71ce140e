use std::collections::BTreeMap;
use std::time::Duration;

use crate::capacity::Capacity;
use crate::heartbeat::{Role, Sighting};
use crate::ids::{Incarnation, Member, NodeId, Term};
use crate::job::JobRecord;
use crate::lease::{LeaseView, Tenant};

/// How a cluster stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The active node and its term: by the lease, never by what a heartbeat says.
    pub active: Option<(NodeId, Term)>,
    /// The node that it appointed standby.
    pub standby: Option<NodeId>,
    /// Every node that sends heartbeats or once did, by name.
    pub nodes: Vec<NodeStatus>,
    /// All jobs, by name.
    pub jobs: Vec<JobRecord>,
}

/// How a node stands, as it said in its latest heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Which start of its process.
    pub incarnation: Incarnation,
    /// Its role. Active only if it holds the lease.
    pub role: Role,
    /// Whether its latest heartbeat is recent enough.
    pub alive: bool,
    /// The age of that heartbeat by the store's clock.
    pub age: Duration,
    /// The summed weight of the jobs it runs.
    pub load: u32,
    /// How much it can run, by what it says itself; the cluster's settings may say otherwise.
    pub capacity: Capacity,
    /// The term of its node lease.
    pub term: Term,
    /// Whether it could take over without delay.
    pub ready: bool,
    /// Whether it is leaving.
    pub leaving: bool,
    /// What its host wants known of it.
    pub labels: BTreeMap<String, String>,
}

impl Status {
    pub(super) fn of(sightings: &[Sighting], lease: &LeaseView, jobs: Vec<JobRecord>, missing: Duration) -> Self {
        let holder = match &lease.tenant {
            Tenant::Held { holder, .. } => Some(holder),
            Tenant::Free | Tenant::Reserved { .. } => None,
        };
        // What a node says as leader counts only under the term it leads by now.
        let lead = sightings.iter().find(|s| Some(&s.heartbeat.member) == holder);
        let lead = lead.and_then(|s| s.heartbeat.news.lead.as_ref()).filter(|lead| lead.term == lease.term);
        Self {
            active: holder.map(|holder| (holder.node.clone(), lease.term)),
            standby: lead.and_then(|lead| lead.standby.as_ref()).map(|standby| standby.node.clone()),
            nodes: sightings.iter().map(|sighting| NodeStatus::of(sighting, holder, missing)).collect(),
            jobs,
        }
    }
}

impl NodeStatus {
    fn of(sighting: &Sighting, active: Option<&Member>, missing: Duration) -> Self {
        let Sighting { heartbeat, age } = sighting;
        let news = &heartbeat.news;
        let claims_too_much = news.role == Role::Active && active != Some(&heartbeat.member);
        Self {
            node: heartbeat.member.node.clone(),
            incarnation: heartbeat.member.incarnation,
            role: if claims_too_much { Role::Inactive } else { news.role },
            alive: *age < missing,
            age: *age,
            load: news.load,
            capacity: news.capacity,
            term: heartbeat.term,
            ready: news.ready,
            leaving: news.leaving,
            labels: news.labels.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::{Heartbeat, Lead, News};

    fn member(node: &str) -> Member {
        Member::new(NodeId::new(node).unwrap(), Incarnation::from_u128(7))
    }

    fn claims_to_lead(node: &str, term: u64) -> Sighting {
        let standby = Some(member("s"));
        let news = News {
            role: Role::Active,
            load: 1,
            capacity: Capacity::default(),
            ready: true,
            leaving: false,
            lead: Some(Lead { term: Term(term), standby }),
            labels: BTreeMap::new(),
        };
        let heartbeat = Heartbeat { member: member(node), term: Term(1), seq: 1, news };
        Sighting { heartbeat, age: Duration::from_secs(2) }
    }

    fn held(node: &str, term: u64) -> LeaseView {
        let tenant = Tenant::Held { holder: member(node), remaining: Duration::from_secs(1) };
        LeaseView { term: Term(term), tenant }
    }

    #[test]
    fn who_is_active_is_told_by_the_lease_and_not_by_a_heartbeat() {
        let sightings = [claims_to_lead("a", 3), claims_to_lead("b", 4)];
        let status = Status::of(&sightings, &held("b", 4), Vec::new(), Duration::from_secs(3));
        assert_eq!(status.active, Some((NodeId::new("b").unwrap(), Term(4))));
        assert_eq!(status.standby, Some(NodeId::new("s").unwrap()));
        let roles: Vec<_> = status.nodes.iter().map(|n| n.role).collect();
        assert_eq!(roles, [Role::Inactive, Role::Active]);

        let free = LeaseView { term: Term(4), tenant: Tenant::Free };
        let status = Status::of(&sightings, &free, Vec::new(), Duration::from_secs(2));
        assert_eq!((status.active, status.standby), (None, None));
        assert!(status.nodes.iter().all(|n| n.role == Role::Inactive && !n.alive));
    }

    #[test]
    fn an_appointment_of_an_earlier_term_is_none() {
        let status = Status::of(&[claims_to_lead("a", 3)], &held("a", 4), Vec::new(), Duration::from_secs(3));
        assert_eq!((status.active.is_some(), status.standby), (true, None));
    }
}
