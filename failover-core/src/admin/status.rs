use std::collections::BTreeMap;
use std::time::Duration;

use crate::capacity::Capacity;
use crate::client::Endpoint;
use crate::control::{Pause, Settings, Topology};
use crate::health::Health;
use crate::heartbeat::{Role, Sighting};
use crate::ids::{Incarnation, Member, NodeId, Term};
use crate::job::JobRecord;
use crate::lease::{LeaseView, Tenant};
use crate::replica::Lag;

/// How a cluster stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Who runs the jobs.
    pub topology: Topology,
    /// Whether nothing happens by itself.
    pub paused: Option<Pause>,
    /// The active node and its term: by the lease, never by what a heartbeat says.
    pub active: Option<(NodeId, Term)>,
    /// The node that it appointed standby.
    pub standby: Option<NodeId>,
    /// Every node that sends heartbeats or once did, by name.
    pub nodes: Vec<NodeStatus>,
    /// All jobs, by name.
    pub jobs: Vec<JobRecord>,
    /// How many incidents nobody has acknowledged; see [`Admin::incidents`](crate::Admin::incidents).
    pub open_incidents: usize,
}

/// How a node stands, as it said in its latest heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them may go with any other")]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Which start of its process.
    pub incarnation: Incarnation,
    /// The role it says it has, in its latest heartbeat.
    pub reported: Role,
    /// The role it is meant to have: by the settings in maintenance, by the lease active, by the active node's word standby. It comes after
    /// the reported one when a node has not followed yet, and before it when a node has not told of it yet.
    pub meant: Role,
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
    /// Where clients can reach it.
    pub endpoints: Vec<Endpoint>,
    /// The version of its host's program.
    pub version: Option<String>,
    /// Whether that version keeps it from being active or standby and from being given jobs.
    pub held_back: bool,
    /// What is wrong with it, by its own host's word.
    pub health: Health,
    /// How far behind its replicas are, if it has any.
    pub lag: Option<Lag>,
}

impl Status {
    pub(super) fn of(
        sightings: &[Sighting],
        lease: &LeaseView,
        jobs: Vec<JobRecord>,
        settings: &Settings,
        missing: Duration,
    ) -> Self {
        let holder = match &lease.tenant {
            Tenant::Held { holder, .. } => Some(holder),
            Tenant::Free | Tenant::Reserved { .. } => None,
        };
        // What a node says as leader counts only under the term it leads by now.
        let lead = sightings.iter().find(|s| Some(&s.heartbeat.member) == holder);
        let lead = lead.and_then(|s| s.heartbeat.news.lead.as_ref()).filter(|lead| lead.term == lease.term);
        let standby = lead.and_then(|lead| lead.standby.as_ref());
        let meant = |member: &Member| match () {
            () if settings.maintenance.contains(&member.node) => Role::Maintenance,
            () if holder == Some(member) => Role::Active,
            () if standby == Some(member) => Role::Standby,
            () => Role::Inactive,
        };
        let node = |sighting| NodeStatus::of(sighting, meant(&sighting.heartbeat.member), missing);
        let mut status = Self {
            topology: settings.topology,
            paused: settings.paused.clone(),
            active: holder.map(|holder| (holder.node.clone(), lease.term)),
            standby: standby.map(|standby| standby.node.clone()),
            nodes: sightings.iter().map(node).collect(),
            jobs,
            open_incidents: 0,
        };
        let active = status.active_version();
        for node in &mut status.nodes {
            node.held_back = !settings.admits(node.version.as_deref(), || active.clone());
        }
        status
    }

    /// The version that the active node tells.
    pub(super) fn active_version(&self) -> Option<String> {
        let (active, _) = self.active.as_ref()?;
        self.nodes.iter().find(|node| node.node == *active)?.version.clone()
    }
}

impl NodeStatus {
    fn of(sighting: &Sighting, meant: Role, missing: Duration) -> Self {
        let Sighting { heartbeat, age } = sighting;
        let news = &heartbeat.news;
        Self {
            node: heartbeat.member.node.clone(),
            incarnation: heartbeat.member.incarnation,
            reported: news.role,
            meant,
            alive: *age < missing && !news.died,
            age: *age,
            load: news.load,
            capacity: news.capacity,
            term: heartbeat.term,
            ready: news.ready,
            leaving: news.leaving,
            labels: news.labels.clone(),
            endpoints: news.endpoints.clone(),
            version: news.version.clone(),
            held_back: false,
            health: news.health.clone(),
            lag: news.lag,
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
        let lead = Some(Lead { term: Term(term), standby });
        let news = News { load: 1, ready: true, lead, ..News::new(Role::Active, Capacity::default()) };
        let heartbeat = Heartbeat { member: member(node), term: Term(1), seq: 1, news };
        Sighting { heartbeat, age: Duration::from_secs(2) }
    }

    fn held(node: &str, term: u64) -> LeaseView {
        let tenant = Tenant::Held { holder: member(node), remaining: Duration::from_secs(1) };
        LeaseView { term: Term(term), tenant }
    }

    fn status(sightings: &[Sighting], lease: &LeaseView, settings: &Settings) -> Status {
        Status::of(sightings, lease, Vec::new(), settings, Duration::from_secs(3))
    }

    fn roles(status: &Status) -> Vec<(Role, Role)> {
        status.nodes.iter().map(|node| (node.reported, node.meant)).collect()
    }

    #[test]
    fn who_is_active_is_told_by_the_lease_and_not_by_a_heartbeat() {
        let sightings = [claims_to_lead("a", 3), claims_to_lead("b", 4)];
        let settings = Settings::default();
        let by_lease = status(&sightings, &held("b", 4), &settings);
        assert_eq!(by_lease.active, Some((NodeId::new("b").unwrap(), Term(4))));
        assert_eq!(by_lease.standby, Some(NodeId::new("s").unwrap()));
        assert_eq!(roles(&by_lease), [(Role::Active, Role::Inactive), (Role::Active, Role::Active)]);

        let free = LeaseView { term: Term(4), tenant: Tenant::Free };
        let nobody = Status::of(&sightings, &free, Vec::new(), &settings, Duration::from_secs(2));
        assert_eq!((&nobody.active, &nobody.standby), (&None, &None));
        assert!(nobody.nodes.iter().all(|n| n.meant == Role::Inactive && !n.alive));
    }

    #[test]
    fn the_role_a_node_reports_and_the_one_it_is_meant_to_have_are_shown_apart() {
        let mut sightings = [claims_to_lead("a", 4), claims_to_lead("s", 1), claims_to_lead("x", 1)];
        (sightings[1].heartbeat.news.role, sightings[2].heartbeat.news.role) = (Role::Inactive, Role::Inactive);
        let mut settings = Settings::default();
        settings.maintenance.insert(NodeId::new("x").unwrap());
        let status = status(&sightings, &held("a", 4), &settings);
        let expected =
            [(Role::Active, Role::Active), (Role::Inactive, Role::Standby), (Role::Inactive, Role::Maintenance)];
        assert_eq!(roles(&status), expected);
    }

    #[test]
    fn an_appointment_of_an_earlier_term_is_none() {
        let status = status(&[claims_to_lead("a", 3)], &held("a", 4), &Settings::default());
        assert_eq!((status.active.is_some(), status.standby), (true, None));
    }
}
