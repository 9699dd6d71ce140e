//! From what is known of the nodes to places: the one reading of the settings that the active node and an operator's rehearsal share.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Exit, Gate, Place, Shut};
use crate::control::{Settings, Topology};
use crate::heartbeat::{News, Role};
use crate::ids::{Member, NodeId};
use crate::time::Time;

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct Sight<'a> {
    /// Who was seen last.
    pub member: &'a Member,
    /// What its heartbeat told.
    pub news: &'a News,
    /// Whether it is there, by its heartbeats.
    pub alive: bool,
    /// Whether its lease is being taken from it.
    pub fenced: bool,
    /// Whether its version is one that the settings admit.
    pub admitted: bool,
    /// Since when it has been there without a break.
    pub stable_since: Option<Time>,
    /// How often it has fallen lately.
    pub falls: u32,
}

/// The places, in order of rank: the nodes of `roster`, then those of `first` that it does not name, then all others by name.
///
/// Where the topology has it so, only whoever comes first in `first`, which is the active node, keeps jobs and is given some.
///
/// `exit` says how a node is left, beyond what the settings say of it by themselves.
pub fn places(
    settings: &Settings,
    roster: &[NodeId],
    first: &[NodeId],
    seen: &[Sight<'_>],
    exit: impl Fn(&NodeId) -> Exit,
) -> Vec<Place> {
    let by_name: BTreeMap<&NodeId, &Sight<'_>> = seen.iter().map(|sight| (&sight.member.node, sight)).collect();
    let mut order: Vec<&NodeId> = Vec::with_capacity(seen.len());
    let mut ranked: BTreeSet<&NodeId> = BTreeSet::new();
    for node in roster.iter().chain(first).chain(by_name.keys().copied()) {
        if ranked.insert(node) {
            order.push(node);
        }
    }
    let place = |node: &NodeId| {
        let Some(sight) = by_name.get(node) else { return Place::shut(node.clone(), Shut::NotSeen) };
        let news = sight.news;
        let mut place =
            Place::open(sight.member.clone(), settings.capacity.get(node).copied().unwrap_or(news.capacity));
        let is_idle = settings.topology == Topology::ActiveStandby && first.first() != Some(node);
        let in_maintenance = settings.maintenance.contains(node) || (sight.alive && news.role == Role::Maintenance);
        place.labels = news.labels.clone();
        (place.stable_since, place.falls) = (sight.stable_since, sight.falls);
        // Who takes no part gives up what it has, place or not.
        place.exit = match exit(node) {
            // A drain comes first, by its own rules.
            exit if settings.drains.contains_key(node) && news.role != Role::Maintenance => exit,
            _ if in_maintenance => Exit::AtOnce,
            Exit::Stay if is_idle => Exit::Follow,
            exit => exit,
        };
        let shut = if !sight.alive {
            Some(Shut::Missing)
        } else if sight.fenced {
            Some(Shut::Fenced)
        } else if !sight.admitted {
            Some(Shut::Version)
        } else if in_maintenance {
            Some(Shut::Maintenance)
        } else if is_idle {
            Some(Shut::NotActive)
        } else if news.leaving {
            Some(Shut::Leaving)
        } else if news.health.hung {
            Some(Shut::Hung)
        } else if settings.drains.contains_key(node) {
            Some(Shut::Draining)
        } else if settings.cordoned.contains(node) {
            Some(Shut::Cordoned)
        } else if news.capacity.jobs == 0 {
            // Settings give room to a node that can use it, not the ability to run jobs.
            Some(Shut::NoJobs)
        } else {
            None
        };
        place.gate = shut.map_or(Gate::Open, Gate::Shut);
        place
    };
    order.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::Capacity;
    use crate::ids::Incarnation;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn news(role: Role, jobs: u32) -> News {
        let capacity = Capacity::of(jobs).unwrap_or(Capacity::NONE);
        News { ready: true, ..News::new(role, capacity) }
    }

    fn seen(nodes: &[(Member, News)]) -> Vec<Sight<'_>> {
        let sight = |(member, news)| Sight {
            member,
            news,
            alive: true,
            fenced: false,
            admitted: true,
            stable_since: None,
            falls: 0,
        };
        nodes.iter().map(|(member, news)| sight((member, news))).collect()
    }

    fn members(names: &[&str]) -> Vec<(Member, News)> {
        let member = |name: &&str| Member::new(node(name), Incarnation::from_u128(1));
        names.iter().map(|name| (member(name), news(Role::Inactive, 50))).collect()
    }

    fn names(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| place.node.as_str()).collect()
    }

    #[test]
    fn the_roster_comes_first_then_who_leads_then_the_others_by_name() {
        let (there, settings) = (members(&["a", "b", "c", "d"]), Settings::default());
        let roster = [node("x"), node("c")];
        let places = places(&settings, &roster, &[node("d"), node("c")], &seen(&there), |_| Exit::Stay);
        assert_eq!(names(&places), ["x", "c", "d", "a", "b"]);
        assert_eq!(places[0].closed(), Some(Shut::NotSeen));
        assert!(places[1..].iter().all(|place| place.closed().is_none()));
    }

    #[test]
    fn each_reason_to_be_given_nothing_is_told() {
        let mut there =
            members(&["away", "cordoned", "drained", "fenced", "gone", "hung", "idle", "leaving", "open", "parked"]);
        there[0].1.role = Role::Maintenance;
        there[5].1.health.hung = true;
        there[6].1.capacity = Capacity::NONE;
        there[7].1.leaving = true;
        let mut settings = Settings::default();
        settings.cordoned.insert(node("cordoned"));
        settings.maintenance.insert(node("parked"));
        let drain = crate::control::Drain::new(std::time::Duration::from_secs(1), crate::control::Overdue::Abort);
        settings.drains.insert(node("drained"), drain);
        settings.capacity.insert(node("open"), Capacity::of(7).unwrap());
        settings.capacity.insert(node("idle"), Capacity::of(7).unwrap());
        let mut seen = seen(&there);
        seen[3].fenced = true;
        seen[4].alive = false;
        let places = places(&settings, &[], &[], &seen, |_| Exit::Stay);
        let why: Vec<_> = places.iter().map(|place| (place.node.as_str(), place.closed(), place.exit)).collect();
        assert_eq!(
            why,
            [
                ("away", Some(Shut::Maintenance), Exit::AtOnce),
                ("cordoned", Some(Shut::Cordoned), Exit::Stay),
                ("drained", Some(Shut::Draining), Exit::Stay),
                ("fenced", Some(Shut::Fenced), Exit::Stay),
                ("gone", Some(Shut::Missing), Exit::Stay),
                ("hung", Some(Shut::Hung), Exit::Stay),
                ("idle", Some(Shut::NoJobs), Exit::Stay),
                ("leaving", Some(Shut::Leaving), Exit::Stay),
                ("open", None, Exit::Stay),
                ("parked", Some(Shut::Maintenance), Exit::AtOnce),
            ]
        );
        assert_eq!(places[8].capacity, Capacity::of(7).unwrap());
    }
}
