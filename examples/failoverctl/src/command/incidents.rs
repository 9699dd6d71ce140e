//! `incidents`, `incidents ack`, `incidents retry` and `history`.

use std::time::Duration;

use failover::admin::Admin;
use failover::incident::{Entry, Incident, Phases};
use serde::Serialize;

use super::{admin, order};
use crate::cli::{Global, HistoryArgs, IncidentsArgs, IncidentsCommand, WhichArgs};
use crate::failure::Failure;
use crate::output::{Form, Show, moment, plain, table};

pub(crate) async fn run(global: &Global, args: &IncidentsArgs) -> Result<u8, Failure> {
    let admin = admin(global).await?;
    let form = Form::new(global.json);
    match &args.command {
        None => form.print(&List { incidents: admin.incidents().await? }),
        Some(IncidentsCommand::Ack { which, note }) => {
            let (admin, incident) = find(admin, which).await?;
            let order = admin.ack(&incident.member(), note, which.within.0).await.map_err(failure)?;
            form.print(&Done::new(&incident, "acknowledged", order.reason));
        }
        Some(IncidentsCommand::Retry { which, action }) => {
            let (admin, incident) = find(admin, which).await?;
            let order = admin.retry_action(&incident.member(), action, which.within.0).await.map_err(failure)?;
            form.print(&Done::new(&incident, "retried", order.reason));
        }
    }
    Ok(0)
}

pub(crate) async fn history(global: &Global, args: &HistoryArgs) -> Result<u8, Failure> {
    let entries = admin(global).await?.history(args.limit).await?;
    Form::new(global.json).print(&History { entries });
    Ok(0)
}

fn failure(error: failover::admin::OrderError) -> Failure {
    order::failure(error).next("`failoverctl incidents` shows how the incidents and their actions stand")
}

/// The incident that is meant, and an admin who acts in this operator's name.
async fn find(admin: Admin, which: &WhichArgs) -> Result<(Admin, Incident), Failure> {
    let is_it = |incident: &Incident| {
        let prefix = which.incarnation.as_deref().unwrap_or_default();
        incident.claim.node == which.node && incident.claim.incarnation.to_string().starts_with(prefix)
    };
    match admin.incidents().await?.into_iter().find(is_it) {
        Some(incident) => Ok((admin.with_operator(&which.by), incident)),
        None => Err(Failure::refused(format!("there is no such incident of node `{}`", which.node))
            .next("`failoverctl incidents` shows which there are")),
    }
}

#[derive(Debug, Serialize)]
struct List {
    incidents: Vec<Incident>,
}

impl Show for List {
    fn human(&self) -> String {
        if self.incidents.is_empty() {
            return "no incidents".into();
        }
        let row = |incident: &Incident| {
            let claim = &incident.claim;
            let actions: Vec<_> = incident
                .actions
                .iter()
                .map(|(name, record)| match record.attempt {
                    0 | 1 => format!("{name} {}", record.state.as_str()),
                    attempt => format!("{name} {} (attempt {attempt})", record.state.as_str()),
                })
                .collect();
            let state = incident.ack.as_ref().map_or_else(|| "open".to_owned(), |ack| format!("seen by {}", ack.by));
            let lost = if claim.was_active { format!("{} (active)", claim.node) } else { claim.node.to_string() };
            vec![
                claim.at.map(moment).unwrap_or_default(),
                lost,
                claim.fenced_by.to_string(),
                state,
                actions.join(", "),
                times(&incident.phases),
                claim.reason.clone(),
            ]
        };
        let rows: Vec<_> = self.incidents.iter().map(row).collect();
        table(&["AT", "LOST", "FOUND BY", "STATE", "ACTIONS", "TIMES", "REASON"], &rows)
    }
}

#[derive(Debug, Serialize)]
struct History {
    entries: Vec<Entry>,
}

impl Show for History {
    fn human(&self) -> String {
        if self.entries.is_empty() {
            return "nothing has happened yet".into();
        }
        let row = |entry: &Entry| {
            let at = entry.at.map(moment).unwrap_or_default();
            let (deed, who) = (entry.deed.as_str().to_owned(), entry.who.clone());
            vec![at, deed, entry.node.to_string(), entry.what.clone(), who, times(&entry.phases), entry.why.clone()]
        };
        let rows: Vec<_> = self.entries.iter().map(row).collect();
        table(&["AT", "DEED", "NODE", "WHAT", "WHO", "TIMES", "WHY"], &rows)
    }
}

fn times(phases: &Phases) -> String {
    let short = |took: Duration| match took.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    };
    let parts = phases.parts().map(|(name, took)| format!("{name} {}", short(took)));
    parts.collect::<Vec<_>>().join(", ")
}

/// What was done about an incident.
#[derive(Debug, Serialize)]
struct Done {
    node: String,
    incarnation: String,
    result: &'static str,
    reason: Option<String>,
}

impl Done {
    fn new(incident: &Incident, result: &'static str, reason: Option<String>) -> Self {
        let claim = &incident.claim;
        Self { node: claim.node.to_string(), incarnation: claim.incarnation.to_string(), result, reason }
    }
}

impl Show for Done {
    fn human(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        plain(&format!("the loss of `{}` is {}{reason}", self.node, self.result))
    }
}
