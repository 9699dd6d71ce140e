//! The commands that change the cluster's settings, give orders, and describe jobs.

use std::time::Duration;

use super::command::{duration, option};
use crate::control::{self, Drain, Errand, Overdue, Pace, Settings, VersionRule};
use crate::ids::{GroupName, JobId, NodeId};
use crate::job::{Failback, FailoverPolicy, JobPolicy};
use crate::testkit::sim::engine::Engine;
use crate::testkit::sim::plan::{Act, Target};

/// The settings or the order these words stand for; nothing if they are no such command.
pub(super) fn act(engine: &Engine, words: &[&str]) -> Result<Option<Act>, String> {
    let mut settings: Settings = engine.scene.document(&control::settings_key());
    match words {
        ["pause"] => settings.paused = Some(control::Pause::default()),
        ["resume"] => settings.paused = None,
        ["topology", "ordered"] => settings.topology = control::Topology::Ordered,
        ["topology", "active-standby"] => settings.topology = control::Topology::ActiveStandby,
        // By an operator, whereas `maintenance` is asked of the node itself.
        ["maintain", node] => drop(settings.maintenance.insert(id(node)?)),
        ["cordon", node] => drop(settings.cordoned.insert(id(node)?)),
        ["uncordon", node] => {
            settings.cordoned.remove(&id(node)?);
            settings.drains.remove(&id(node)?);
        }
        ["drain", node, options @ ..] => {
            let within = option(options, "within")?.map_or(Ok(Duration::from_secs(10)), duration)?;
            let then = match option(options, "then")? {
                Some("force") => Overdue::Force,
                Some("abort") | None => Overdue::Abort,
                Some(other) => return Err(format!("`{other}` is neither abort nor force")),
            };
            let mut drain = Drain::new(within, then);
            drain.id = format!("{node}-{}", engine.scene.now.as_nanos());
            drain.at_once = options.contains(&"at-once");
            settings.drains.insert(id(node)?, drain);
        }
        ["roster", nodes @ ..] => settings.roster = nodes.iter().map(|node| id(node)).collect::<Result<_, _>>()?,
        ["versions", rule, version @ ..] if version.len() < 2 => {
            let rule = match *rule {
                "any" => VersionRule::Any,
                "compatible" => VersionRule::Compatible,
                "exact" => VersionRule::Exact,
                other => return Err(format!("`{other}` is no rule")),
            };
            let version = version.first().map(|version| known_version(version)).transpose()?;
            return Ok(Some(Act::Versions(rule, version)));
        }
        ["upgrade", name, version] => {
            let node = engine.scene.nodes.iter().position(|node| node.id.as_str() == *name);
            let node = node.ok_or_else(|| format!("no node is called {name}"))?;
            return Ok(Some(Act::Upgrade(Target::Node(node), known_version(version)?)));
        }
        ["pace", "as-started"] => return Ok(Some(Act::Pace(None))),
        ["pace", beat, ttl] => {
            let pace = Pace::new(duration(beat)?, duration(ttl)?).map_err(|e| e.to_string())?;
            return Ok(Some(Act::Pace(Some(pace))));
        }
        ["failback", "automatic", stable_for] => {
            settings.failback = Failback::Automatic { stable_for: duration(stable_for)? };
        }
        ["failback", node] => return Ok(Some(Act::Order(Errand::Failback { node: id(node)? }))),
        ["move", job, "to", node] => {
            let job = JobId::new(job).map_err(|e| e.to_string())?;
            return Ok(Some(Act::Order(Errand::Move { job, to: id(node)? })));
        }
        _ => return Ok(None),
    }
    Ok(Some(Act::Settings(Box::new(settings))))
}

/// The versions there are in scenarios.
fn known_version(version: &str) -> Result<&'static str, String> {
    let known = ["1.0.0", "1.1.0", "2.0.0"].into_iter().find(|known| *known == version);
    known.ok_or_else(|| format!("`{version}` is not among the versions of scenarios: 1.0.0, 1.1.0 and 2.0.0"))
}

fn id(name: &str) -> Result<NodeId, String> {
    NodeId::new(name).map_err(|e| e.to_string())
}

/// The policy among a job's options.
pub(super) fn policy(options: &[&str]) -> Result<JobPolicy, String> {
    let progress = option(options, "progress")?.map(duration).transpose()?;
    let mut policy = JobPolicy { progress, ..JobPolicy::default() };
    if let Some(pins) = option(options, "pin")? {
        policy.pins = pins.split(',').map(id).collect::<Result<_, _>>()?;
    }
    policy.failover = match option(options, "failover")? {
        Some("manual") => FailoverPolicy::Manual,
        Some("never") => FailoverPolicy::Never,
        Some("automatic") | None => FailoverPolicy::Automatic,
        Some(other) => return Err(format!("`{other}` is no policy")),
    };
    policy.retries = option(options, "retries")?.map(|n| n.parse().map_err(|e| format!("{n}: {e}"))).transpose()?;
    policy.apart = option(options, "apart")?.map(GroupName::new).transpose().map_err(|e| e.to_string())?;
    Ok(policy)
}
