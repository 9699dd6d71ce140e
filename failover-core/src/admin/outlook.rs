//! Why jobs are where they are, and what would follow if something changed, without changing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Admin, Look, Status};
use crate::capacity::Capacity;
use crate::control::Settings;
use crate::error::{Error, Invalid, Result};
use crate::heartbeat::{News, Role, Sighting};
use crate::ids::{Incarnation, JobId, Member, NodeId};
use crate::job::JobRecord;
use crate::plan::{self, Board, Decision, Exit, Explanation, Ordered, Place, Rules, Sight, Spread, Strategy};
use crate::time::Time;

/// How a cluster stands and what the planner makes of it.
#[derive(Debug, Clone)]
pub struct Outlook {
    settings: Settings,
    sightings: Vec<Sighting>,
    missing: Duration,
    own: Vec<Arc<dyn Strategy>>,
    status: Status,
    board: Board,
    now: Time,
}

/// What is to be rehearsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// This node is lost.
    IfLost(NodeId),
    /// This node joins, or comes back.
    IfAdded {
        /// Its name.
        node: NodeId,
        /// How much it can run.
        capacity: Capacity,
        /// What it tells of itself.
        labels: BTreeMap<String, String>,
    },
    /// The roster is this one.
    Roster(Vec<NodeId>),
}

/// What would follow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rehearsal {
    /// What is about to happen anyway.
    pub pending: Vec<Decision>,
    /// What would follow from the change, in this order.
    pub decisions: Vec<Decision>,
    /// The jobs that would wait afterwards, and why.
    pub waiting: Vec<(JobId, Explanation)>,
}

impl Admin {
    /// Looks at everything at once. A node whose last heartbeat is older than `missing` counts as missing.
    ///
    /// # Errors
    /// The store's.
    pub async fn outlook(&self, missing: Duration) -> Result<Outlook> {
        let Look { settings, sightings, status } = self.look(missing).await?;
        let now = self.clock.now();
        let mut board = Board::new();
        for record in &status.jobs {
            board.put(now, record);
        }
        let own = self.strategies.clone();
        let mut outlook = Outlook { settings, sightings, missing, own, status, board, now };
        if let Some(strategy) = outlook.strategy() {
            outlook.board.set_strategy(strategy);
        }
        outlook.board.set_rules(Rules::new(outlook.settings.failback, outlook.settings.damping, BACKOFF));
        let places = outlook.places(&outlook.settings, &BTreeSet::new(), None);
        outlook.board.set_places(places);
        Ok(outlook)
    }

    /// Why a job is where it is, and what each node is to it; nothing if there is no such job. `missing` as for [`status`](Self::status).
    ///
    /// # Errors
    /// The store's.
    pub async fn explain(&self, job: &JobId, missing: Duration) -> Result<Option<Explanation>> {
        Ok(self.outlook(missing).await?.explain(job))
    }

    /// What would follow from a change, without making it. `missing` as for [`status`](Self::status).
    ///
    /// # Errors
    /// As [`Outlook::rehearse`], and the store's.
    pub async fn plan(&self, what: &What, missing: Duration) -> Result<Rehearsal> {
        self.outlook(missing).await?.rehearse(what).map_err(|invalid| Error::invalid("plan", invalid))
    }
}

/// Nobody knows here how fast the nodes are; how long a failed job still waits does not change where it goes.
const BACKOFF: Duration = Duration::from_secs(1);

impl Outlook {
    /// How the cluster stands.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The cluster's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Why a job is where it is, and what each node is to it.
    pub fn explain(&self, job: &JobId) -> Option<Explanation> {
        self.board.explain(self.now, job)
    }

    /// What would follow from a change.
    ///
    /// # Errors
    /// [`Invalid`] for a node to lose that nobody has seen, a node to add that is there already, settings that cannot be, and if the cluster's strategy is
    /// one that this program does not [bring along](Admin::with_strategy).
    pub fn rehearse(&self, what: &What) -> Result<Rehearsal, Invalid> {
        if self.strategy().is_none() {
            let rule = "this program does not have that strategy, so it cannot tell where jobs would go";
            return Err(Invalid::new("strategy", &self.settings.strategy.0, rule));
        }
        let mut board = self.board.clone();
        let pending = board.rehearse(self.now);
        let waited: BTreeSet<_> = self.waiting(&board).map(|(job, _)| job).collect();
        self.change(&mut board, what)?;
        let decisions = board.rehearse(self.now);
        let moved: BTreeSet<_> = decisions.iter().map(|decision| &decision.mv.job).collect();
        let concerned = |job: &JobId| moved.contains(job) || !waited.contains(job);
        let waiting = self.waiting(&board).filter(|(job, _)| concerned(job)).collect();
        Ok(Rehearsal { pending, decisions, waiting })
    }

    fn change(&self, board: &mut Board, what: &What) -> Result<(), Invalid> {
        let alive = |node: &NodeId| self.sightings.iter().find(|s| s.heartbeat.member.node == *node);
        match what {
            What::IfLost(node) => {
                if alive(node).is_none() {
                    let nodes: Vec<_> = self.status.nodes.iter().map(|node| node.node.as_str()).collect();
                    let rule = format!("no such node has been seen; there are: {}", nodes.join(", "));
                    return Err(Invalid::new("node", node, rule));
                }
                let dead = board.owners().map(|(member, _)| member.clone());
                let dead: BTreeSet<_> = dead.filter(|member| member.node == *node).collect();
                board.set_places(self.places(&self.settings, &[node].into(), None));
                board.set_dead(dead);
            }
            What::IfAdded { node, capacity, labels } => {
                if alive(node).is_some_and(|sighting| sighting.age < self.missing && !sighting.heartbeat.news.died) {
                    return Err(Invalid::new("node", node, "it is there already: name one that is not"));
                }
                let capacity = Capacity::of(capacity.jobs)?.with_weight(capacity.weight)?;
                let news = News { ready: true, labels: labels.clone(), ..News::new(Role::Inactive, capacity) };
                let member = Member::new(node.clone(), Incarnation::from_u128(0));
                board.set_places(self.places(&self.settings, &BTreeSet::new(), Some((&member, &news))));
            }
            What::Roster(roster) => {
                let settings = Settings { roster: roster.clone(), ..self.settings.clone() };
                settings.check()?;
                board.set_places(self.places(&settings, &BTreeSet::new(), None));
            }
        }
        Ok(())
    }

    /// The cluster's strategy, if this program has it.
    fn strategy(&self) -> Option<Arc<dyn Strategy>> {
        let built_in: [Arc<dyn Strategy>; 2] = [Arc::new(Ordered), Arc::new(Spread)];
        self.own.iter().chain(&built_in).find(|strategy| strategy.name() == self.settings.strategy.0).cloned()
    }

    /// The places as the settings and the heartbeats have them, but for nodes that are `lost` and one that is `added`.
    fn places(&self, settings: &Settings, lost: &BTreeSet<&NodeId>, added: Option<(&Member, &News)>) -> Vec<Place> {
        let there = self.sightings.iter().filter(|s| added.is_none_or(|(new, _)| new.node != s.heartbeat.member.node));
        let sight = |member, news, alive| Sight {
            member,
            news,
            alive,
            fenced: false,
            admitted: true,
            stable_since: None,
            falls: 0,
        };
        let active = self.status.active_version();
        let mut seen: Vec<_> = there
            .map(|Sighting { heartbeat, age }| {
                let alive = *age < self.missing && !heartbeat.news.died && !lost.contains(&heartbeat.member.node);
                let admitted = settings.admits(heartbeat.news.version.as_deref(), || active.clone());
                Sight { admitted, ..sight(&heartbeat.member, &heartbeat.news, alive) }
            })
            .collect();
        seen.extend(added.map(|(member, news)| sight(member, news, true)));
        let leading = self.status.active.as_ref().map(|(node, _)| node).into_iter().chain(&self.status.standby);
        let leading: Vec<_> = leading.filter(|node| !lost.contains(node)).cloned().collect();
        let exit = |node: &NodeId| match settings.drains.get(node) {
            None => Exit::Stay,
            Some(drain) if drain.at_once => Exit::AtOnce,
            // Whether its time is over is known to the active node alone.
            Some(_) => Exit::WhenReady,
        };
        plan::places(settings, &settings.roster, &leading, &seen, exit)
    }

    fn waiting(&self, board: &Board) -> impl Iterator<Item = (JobId, Explanation)> {
        let is_waiting = |record: &&JobRecord| {
            board.get(record.spec.id()).is_some_and(|standing| standing.owner.is_none() && is_open(&standing))
        };
        let jobs = self.status.jobs.iter().filter(is_waiting).map(|record| record.spec.id());
        jobs.filter_map(|job| Some((job.clone(), board.explain(self.now, job)?))).collect::<Vec<_>>().into_iter()
    }
}

fn is_open(standing: &plan::Standing) -> bool {
    standing.phase != crate::job::Phase::Completed
}
