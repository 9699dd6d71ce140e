//! `settings` and `capacity`.

use std::time::Duration;

use failover::Capacity;
use failover::control::{Damping, Drain, Overdue, Settings, StrategyName};
use serde::Serialize;

use super::{admin, new_admin};
use crate::cli::{CapacityArgs, FailbackRule, Global, SettingsCommand, Span};
use crate::failure::Failure;
use crate::output::{Form, Show};

pub(crate) async fn run(global: &Global, command: &SettingsCommand) -> Result<u8, Failure> {
    let settings = match command {
        SettingsCommand::Show => admin(global).await?.settings().await?,
        SettingsCommand::Strategy { name } => {
            let name = StrategyName(name.clone());
            name.check()?;
            new_admin(global).await?.set_strategy(name).await?
        }
        SettingsCommand::Topology { topology } => new_admin(global).await?.set_topology((*topology).into()).await?,
        SettingsCommand::Failback { rule } => new_admin(global).await?.set_failback(rule.0).await?,
        SettingsCommand::Damping { falls, within } => {
            let mut damping = Damping::default();
            (damping.falls, damping.within) = (*falls, within.0);
            new_admin(global).await?.set_damping(damping).await?
        }
        SettingsCommand::RemoveClass { name } => admin(global).await?.remove_class(name).await?,
    };
    Form::new(global.json).print(&SettingsLine(settings));
    Ok(0)
}

pub(crate) async fn capacity(global: &Global, args: &CapacityArgs) -> Result<u8, Failure> {
    let CapacityArgs { node, jobs, weight, .. } = args;
    let capacity = jobs.map(|jobs| {
        let capacity = Capacity::of(jobs)?;
        weight.map_or(Ok(capacity), |weight| capacity.with_weight(weight))
    });
    let capacity = capacity.transpose()?;
    admin(global).await?.set_capacity(node, capacity).await?;
    let text = match capacity {
        Some(Capacity { jobs, weight, .. }) => {
            format!("`{node}` takes {jobs} jobs of weight {weight} in sum; what runs there stays")
        }
        None => format!("what `{node}` says of itself holds again"),
    };
    let (jobs, weight) = (capacity.map(|c| c.jobs), capacity.map(|c| c.weight));
    Form::new(global.json).print(&CapacityLine { node: node.to_string(), jobs, weight, text });
    Ok(0)
}

/// How much a node can run, as the README documents it.
#[derive(Debug, Serialize)]
struct CapacityLine {
    node: String,
    jobs: Option<u32>,
    weight: Option<u32>,
    #[serde(skip)]
    text: String,
}

impl Show for CapacityLine {
    fn human(&self) -> String {
        self.text.clone()
    }
}

/// The settings: in JSON, the document as it is stored.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct SettingsLine(Settings);

impl Show for SettingsLine {
    fn human(&self) -> String {
        fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
            let names: Vec<_> = names.into_iter().map(|name| name.to_string()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        }
        let settings = &self.0;
        let span = |span: Duration| Span(span).to_string();
        let drain = |(node, drain): (&failover::NodeId, &Drain)| {
            let how = if drain.at_once { ", at once" } else { "" };
            let then = if drain.then == Overdue::Abort { "abort" } else { "force" };
            format!("{node} (within {}, then {then}{how})", span(drain.within))
        };
        let capacity = |(node, capacity): (&failover::NodeId, &Capacity)| {
            format!("{node} {} jobs, weight {}", capacity.jobs, capacity.weight)
        };
        let Damping { falls, within, .. } = settings.damping;
        [
            format!("topology     {}", settings.topology.as_str()),
            format!("roster       {}", names(&settings.roster)),
            format!("maintenance  {}", names(&settings.maintenance)),
            format!("cordoned     {}", names(&settings.cordoned)),
            format!("draining     {}", names(settings.drains.iter().map(drain))),
            format!("capacity     {}", names(settings.capacity.iter().map(capacity))),
            format!("strategy     {}", settings.strategy.0),
            format!("failback     {}", FailbackRule(settings.failback)),
            format!("damping      after {falls} falls within {}", span(within)),
            format!("classes      {}", names(settings.classes.keys())),
        ]
        .join("\n")
    }
}
