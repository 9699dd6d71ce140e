//! What the planner decides on: the places as the active node sees them, kept up to date only where something changed.

use std::collections::{BTreeMap, BTreeSet};

use super::fencing::Fencing;
use super::peers::Peers;
use super::roster::Roster;
use crate::capacity::Capacity;
use crate::control::{Overdue, Settings};
use crate::ids::{Member, NodeId, Term};
use crate::plan::{Board, Exit, Gate, Rules, Shut, Sight, places};
use crate::time::Time;
use crate::timing::Timing;

/// What the active node knows of the cluster at a moment.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) now: Time,
    pub(super) me: &'a Member,
    /// The term of its active lease.
    pub(super) term: Term,
    /// Its own capacity, if it may run jobs now.
    pub(super) own: Option<Capacity>,
    /// Its own version.
    pub(super) version: Option<&'a str>,
    pub(super) peers: &'a Peers,
    pub(super) roster: &'a Roster,
    pub(super) fencing: &'a Fencing,
    pub(super) standby: Option<&'a Member>,
    /// A node whose jobs follow a switchover.
    pub(super) vacate: Option<&'a NodeId>,
}

/// What the places were last made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    peers: u64,
    roster: u64,
    own: Option<Capacity>,
    fenced: BTreeSet<NodeId>,
    standby: Option<Member>,
    vacate: Option<NodeId>,
    overdue: BTreeSet<NodeId>,
}

/// The places, and the drains that have a deadline.
#[derive(Debug, Clone, Default)]
pub(super) struct Ground {
    made: Option<Made>,
    /// Counts how often they were made.
    version: u64,
    /// Since when each drain is known here, by its id.
    drains: BTreeMap<NodeId, (String, Time)>,
}

impl Ground {
    /// Brings the board up to date.
    pub(super) fn refresh(&mut self, view: View<'_>, timing: &Timing, board: &mut Board) {
        let settings = view.roster.settings();
        self.follow_drains(view.now, settings);
        let made = Made {
            peers: view.peers.version(),
            roster: view.roster.version(),
            own: view.own,
            fenced: view.fencing.concerned().cloned().collect(),
            standby: view.standby.cloned(),
            vacate: view.vacate.cloned(),
            overdue: self.overdue(view.now, settings),
        };
        if self.made.as_ref() == Some(&made) {
            return;
        }
        board.set_rules(Rules { failback: settings.failback, damping: settings.damping, backoff: timing.beat() });
        let exit = |node: &NodeId| exit(settings, node, &made.overdue, view.vacate);
        let seen: Vec<Sight<'_>> = view.peers.iter().map(|peer| sight(view, settings, peer)).collect();
        let first: Vec<NodeId> =
            [Some(view.me), view.standby].into_iter().flatten().map(|member| member.node.clone()).collect();
        let mut places = places(settings, view.roster.order(), &first, &seen, exit);
        if let Some(own) = places.iter_mut().find(|place| place.node == view.me.node) {
            // Of itself it knows more than its heartbeat tells.
            own.member = Some(view.me.clone());
            if view.own.is_none() && own.gate == Gate::Open {
                own.gate = Gate::Shut(Shut::Inactive);
            }
        }
        board.set_places(places);
        self.made = Some(made);
        self.version += 1;
    }

    /// Another number whenever the places were made anew.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    fn follow_drains(&mut self, now: Time, settings: &Settings) {
        self.drains.retain(|node, (id, _)| settings.drains.get(node).is_some_and(|drain| drain.id == *id));
        for (node, drain) in &settings.drains {
            self.drains.entry(node.clone()).or_insert_with(|| (drain.id.clone(), now));
        }
    }

    fn overdue(&self, now: Time, settings: &Settings) -> BTreeSet<NodeId> {
        let over = self
            .drains
            .iter()
            .filter(|(node, (_, since))| settings.drains.get(*node).is_some_and(|drain| now >= *since + drain.within));
        over.map(|(node, _)| node.clone()).collect()
    }

    /// When the next drain is overdue.
    pub(super) fn deadline(&self, settings: &Settings) -> Option<Time> {
        let made = self.made.as_ref();
        let open = self.drains.iter().filter(|(node, _)| made.is_none_or(|made| !made.overdue.contains(*node)));
        open.filter_map(|(node, (_, since))| Some(*since + settings.drains.get(node)?.within)).min()
    }
}

/// How a node is left.
fn exit(settings: &Settings, node: &NodeId, overdue: &BTreeSet<NodeId>, vacate: Option<&NodeId>) -> Exit {
    match settings.drains.get(node) {
        Some(drain) if overdue.contains(node) => match drain.then {
            Overdue::Abort => Exit::Stay,
            Overdue::Force => Exit::AtOnce,
        },
        Some(drain) if drain.at_once => Exit::AtOnce,
        Some(_) => Exit::WhenReady,
        None if vacate == Some(node) => Exit::Follow,
        None => Exit::Stay,
    }
}

fn sight<'a>(view: View<'a>, settings: &Settings, peer: &'a super::peers::Peer) -> Sight<'a> {
    let node = &peer.member.node;
    let is_me = *node == view.me.node;
    Sight {
        member: &peer.member,
        news: &peer.news,
        alive: is_me || !(peer.missing || view.peers.is_outdated(node, view.term)),
        fenced: view.fencing.concerns(node),
        admitted: settings.admits(peer.news.version.as_deref(), || view.version.map(str::to_owned)),
        stable_since: Some(peer.since),
        // As it was when the node came back: that it fell does not fade while it waits.
        falls: view.peers.falls(node, peer.since, settings.damping.within),
    }
}
