//! `status [--watch]`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use failover::admin::{Admin, NodeStatus, Outlook};
use failover::{Capacity, ClusterName};
use serde::Serialize;

use super::lines::{self, JobLine};
use crate::cli::{Global, StatusArgs};
use crate::failure::Failure;
use crate::output::{Form, Show, line, plain, table};
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
    active: Option<ActiveLine>,
    standby: Option<String>,
    nodes: Vec<NodeLine>,
    jobs: Vec<JobLine>,
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
    role: &'static str,
    alive: bool,
    age_ms: u64,
    load: u32,
    capacity: u32,
    weight: u32,
    /// `cordoned`, `draining`, `maintenance`.
    marks: Vec<&'static str>,
    labels: BTreeMap<String, String>,
}

impl StatusLine {
    fn new(cluster: &ClusterName, outlook: &Outlook) -> Self {
        let (status, settings) = (outlook.status(), outlook.settings());
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
                role: node.role.as_str(),
                alive: node.alive,
                age_ms: u64::try_from(node.age.as_millis()).unwrap_or(u64::MAX),
                load: node.load,
                capacity: capacity.jobs,
                weight: capacity.weight,
                marks: marks.into_iter().filter_map(|(is_so, mark)| is_so.then_some(mark)).collect(),
                labels: node.labels.clone(),
            }
        };
        Self {
            cluster: cluster.to_string(),
            active: status.active.as_ref().map(|(node, term)| ActiveLine { node: node.to_string(), term: term.0 }),
            standby: status.standby.as_ref().map(ToString::to_string),
            nodes: status.nodes.iter().map(node).collect(),
            jobs: lines::jobs(outlook).into_iter().map(JobLine::without_command).collect(),
        }
    }

    /// Whether nothing but the ages differs.
    fn tells_the_same_as(&self, other: &Self) -> bool {
        let ageless =
            |nodes: &[NodeLine]| nodes.iter().map(|n| NodeLine { age_ms: 0, ..n.clone() }).collect::<Vec<_>>();
        self.active == other.active
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
        let mut text = format!("cluster {}: {active}, {standby}\n\n", self.cluster);

        let node = |node: &NodeLine| {
            let labels =
                node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
            let seen = if node.alive { "alive" } else { "MISSING" };
            let role = [&[node.role], &node.marks[..]].concat().join(", ");
            let age = format!("{}.{} s", node.age_ms / 1000, node.age_ms % 1000 / 100);
            let load = format!("{}/{}", node.load, node.weight);
            vec![node.node.clone(), role, seen.into(), age, load, labels]
        };
        if self.nodes.is_empty() {
            text += "no nodes; start one with `failoverctl node NAME`";
        } else {
            let rows: Vec<_> = self.nodes.iter().map(node).collect();
            text += &table(&["NODE", "ROLE", "SEEN", "AGE", "LOAD", "LABELS"], &rows);
        }
        text += "\n\n";
        text += &if self.jobs.is_empty() { "no jobs".to_owned() } else { lines::human(&self.jobs) };
        text += "\n";
        // Nothing of the above needs more than line ends.
        text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
    }
}
