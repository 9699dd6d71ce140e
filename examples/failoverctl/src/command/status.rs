//! `status [--watch]`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use failover::admin::{Admin, NodeStatus, Outlook};
use failover::health::Failure as NodeFailure;
use failover::{Capacity, ClusterName, FailureName};
use serde::Serialize;

use super::lines::{self, JobLine};
use crate::cli::{Global, StatusArgs};
use crate::failure::Failure;
use crate::output::{Form, Show, line, moment, plain, table};
use crate::store::{self, Absent};

/// How often to look without a hint: a node that goes missing gives none.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn run(global: &Global, args: &StatusArgs) -> Result<u8, Failure> {
    let admin = Admin::new(store::open(global, Absent::Refuse).await?);
    let form = Form::new(global.json);
    if !args.watch {
        form.print(&look(&admin, global, args).await?);
        return Ok(0);
    }
    let clear = form == Form::Human && std::io::stdout().is_terminal();
    let mut shown: Option<StatusLine> = None;
    let mut silent = false;
    loop {
        match look(&admin, global, args).await {
            Ok(status) => {
                silent = false;
                if !shown.as_ref().is_some_and(|shown| shown.tells_the_same_as(&status)) {
                    let text = form.render(&status);
                    // The one control code, and only where a person watches: home and clear.
                    line(&if clear { format!("\u{1b}[H\u{1b}[2J{text}") } else { text });
                    shown = Some(status);
                }
            }
            Err(Look::Retry(failure)) => {
                if !silent {
                    eprintln!("{failure}\n  going on to watch");
                }
                silent = true;
            }
            Err(Look::Fatal(failure)) => return Err(failure),
        }
        // Only a hint: without any, the next look comes by time.
        let _hint = tokio::time::timeout(LOOK, admin.changed()).await;
    }
}

enum Look {
    Retry(Failure),
    Fatal(Failure),
}

impl From<Look> for Failure {
    fn from(look: Look) -> Self {
        match look {
            Look::Retry(failure) | Look::Fatal(failure) => failure,
        }
    }
}

async fn look(admin: &Admin, global: &Global, args: &StatusArgs) -> Result<StatusLine, Look> {
    match admin.outlook(args.missing.0).await {
        Ok(outlook) => Ok(StatusLine::new(&global.cluster, &outlook)),
        Err(error) if error.is_retryable() => Err(Look::Retry(error.into())),
        Err(error) => Err(Look::Fatal(error.into())),
    }
}

/// The status, as the README documents it.
#[derive(Debug, Clone, Serialize)]
struct StatusLine {
    cluster: String,
    topology: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<PauseLine>,
    active: Option<ActiveLine>,
    standby: Option<String>,
    nodes: Vec<NodeLine>,
    jobs: Vec<JobLine>,
    /// How many incidents nobody has acknowledged.
    open_incidents: usize,
}

/// That nothing happens by itself: by whose wish, and since when, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PauseLine {
    by: Option<String>,
    since: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ActiveLine {
    node: String,
    term: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NodeLine {
    node: String,
    incarnation: String,
    /// The role it is meant to have.
    role: &'static str,
    /// The one it reports, if that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    reports: Option<&'static str>,
    alive: bool,
    age_ms: u64,
    load: u32,
    capacity: u32,
    weight: u32,
    /// `cordoned`, `draining`, `maintenance`.
    marks: Vec<&'static str>,
    labels: BTreeMap<String, String>,
    /// The version of its program, if it tells one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Why that keeps it from being active or standby and from being given jobs, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<String>,
    /// What is wrong with it, by its host's word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<FailureLine>,
    /// Whether its host does not feed its watchdog.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hung: bool,
    /// How far behind its replicas are, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<LagLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FailureLine {
    name: String,
    text: String,
    weight: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LagLine {
    records: u64,
    /// Nothing if it is unknown.
    behind_ms: Option<u64>,
}

impl LagLine {
    fn text(&self) -> String {
        match self.behind_ms {
            None => ", lag unknown".to_owned(),
            Some(0) if self.records == 0 => String::new(),
            Some(behind) => format!(", {} records and {} s behind", self.records, behind / 1000),
        }
    }
}

impl FailureLine {
    fn of(name: &FailureName, failure: &NodeFailure) -> Self {
        Self { name: name.to_string(), text: failure.text.clone(), weight: failure.weight }
    }
}

impl StatusLine {
    fn new(cluster: &ClusterName, outlook: &Outlook) -> Self {
        let (status, settings) = (outlook.status(), outlook.settings());
        let leading = || {
            let (active, _) = status.active.as_ref()?;
            status.nodes.iter().find(|node| node.node == *active)?.version.clone()
        };
        let wanted = settings.version.clone().or_else(leading).unwrap_or_else(|| "none".to_owned());
        let held_back = |node: &NodeStatus| {
            let told = node.version.as_deref().unwrap_or("none");
            let why = || format!("{told}, where {wanted} is wanted: {}", settings.versions.as_str());
            node.held_back.then(why)
        };
        let node = |node: &NodeStatus| {
            let name = &node.node;
            let set = settings.capacity.get(name).copied().filter(|_| node.capacity != Capacity::NONE);
            let capacity = set.unwrap_or(node.capacity);
            let marks = [
                (settings.cordoned.contains(name), "cordoned"),
                (settings.drains.contains_key(name), "draining"),
                (settings.maintenance.contains(name), "maintenance"),
            ];
            NodeLine {
                node: name.to_string(),
                incarnation: node.incarnation.to_string(),
                role: node.meant.as_str(),
                reports: (node.reported != node.meant).then_some(node.reported.as_str()),
                alive: node.alive,
                age_ms: u64::try_from(node.age.as_millis()).unwrap_or(u64::MAX),
                load: node.load,
                capacity: capacity.jobs,
                weight: capacity.weight,
                marks: marks.into_iter().filter_map(|(is_so, mark)| is_so.then_some(mark)).collect(),
                labels: node.labels.clone(),
                version: node.version.clone(),
                held_back: held_back(node),
                failures: node.health.failures.iter().map(|(name, failure)| FailureLine::of(name, failure)).collect(),
                hung: node.health.hung,
                lag: node.lag.map(|lag| LagLine {
                    records: lag.records,
                    behind_ms: lag.behind.map(|behind| u64::try_from(behind.as_millis()).unwrap_or(u64::MAX)),
                }),
            }
        };
        Self {
            cluster: cluster.to_string(),
            topology: status.topology.as_str(),
            paused: status
                .paused
                .as_ref()
                .map(|pause| PauseLine { by: pause.by.clone(), since: pause.since.map(moment) }),
            active: status.active.as_ref().map(|(node, term)| ActiveLine { node: node.to_string(), term: term.0 }),
            standby: status.standby.as_ref().map(ToString::to_string),
            nodes: status.nodes.iter().map(node).collect(),
            open_incidents: status.open_incidents,
            jobs: lines::jobs(outlook).into_iter().map(JobLine::without_command).collect(),
        }
    }

    /// Whether nothing but the ages differs.
    fn tells_the_same_as(&self, other: &Self) -> bool {
        let ageless = |nodes: &[NodeLine]| {
            let lag = |lag: &LagLine| LagLine { behind_ms: lag.behind_ms.map(|_| 0), ..lag.clone() };
            let line = |n: &NodeLine| NodeLine { age_ms: 0, lag: n.lag.as_ref().map(lag), ..n.clone() };
            nodes.iter().map(line).collect::<Vec<_>>()
        };
        self.active == other.active
            && self.open_incidents == other.open_incidents
            && (self.topology, &self.paused) == (other.topology, &other.paused)
            && self.standby == other.standby
            && self.jobs == other.jobs
            && ageless(&self.nodes) == ageless(&other.nodes)
    }
}

impl Show for StatusLine {
    fn human(&self) -> String {
        let active = match &self.active {
            Some(active) => format!("active {} (term {})", active.node, active.term),
            None => "NO ACTIVE NODE".to_owned(),
        };
        let standby = self.standby.as_ref().map_or_else(|| "no standby".to_owned(), |node| format!("standby {node}"));
        let mut text = format!("cluster {}: {active}, {standby}\n", self.cluster);
        if let Some(pause) = &self.paused {
            let by = pause.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let since = pause.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
            let paused = format!("PAUSED{by}{since}: nothing happens by itself; `failoverctl resume` ends that\n");
            text += &paused;
        }
        if self.open_incidents > 0 {
            let open = format!("open incidents: {}; `failoverctl incidents` shows them\n", self.open_incidents);
            text += &open;
        }
        text += "\n";

        let tells_versions = self.nodes.iter().any(|node| node.version.is_some());
        let node = |node: &NodeLine| {
            let labels =
                node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
            let seen = if node.alive { "alive" } else { "MISSING" };
            let reports = node.reports.map(|role| format!(" (reports {role})")).unwrap_or_default();
            let marks = node.marks.iter().filter(|mark| **mark != node.role);
            let marks: String = marks.flat_map(|mark| [", ", mark]).collect();
            let lag = node.lag.as_ref().map(LagLine::text);
            let role = format!("{}{reports}{marks}{}", node.role, lag.unwrap_or_default());
            let age = format!("{}.{} s", node.age_ms / 1000, node.age_ms % 1000 / 100);
            let load = format!("{}/{}", node.load, node.weight);
            let version = tells_versions.then(|| node.version.clone().unwrap_or_default());
            let row = [node.node.clone(), role, seen.into(), age, load].into_iter().chain(version).chain([labels]);
            row.collect::<Vec<_>>()
        };
        if self.nodes.is_empty() {
            text += "no nodes; start one with `failoverctl node NAME`";
        } else {
            let rows: Vec<_> = self.nodes.iter().map(node).collect();
            let version = tells_versions.then_some("VERSION");
            let head = ["NODE", "ROLE", "SEEN", "AGE", "LOAD"].into_iter().chain(version).chain(["LABELS"]);
            text += &table(&head.collect::<Vec<_>>(), &rows);
        }
        for node in &self.nodes {
            let hung = node.hung.then(|| "its host HANGS and does not feed its watchdog".to_owned());
            let failures = node.failures.iter().map(|FailureLine { name, text, weight }| {
                let weighs = if *weight == 0 { "a warning".to_owned() } else { format!("weight {weight}") };
                format!("{name}: {text} ({weighs})")
            });
            let held_back = node.held_back.iter().map(|why| format!("HELD BACK by its version: {why}"));
            for wrong in hung.into_iter().chain(held_back).chain(failures) {
                text.extend(["\n", &node.node, ": ", &wrong]);
            }
        }
        text += "\n\n";
        text += &if self.jobs.is_empty() { "no jobs".to_owned() } else { lines::human(&self.jobs) };
        text += "\n";
        // Nothing of the above needs more than line ends.
        text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
    }
}
