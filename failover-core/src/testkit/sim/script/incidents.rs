//! The commands about incidents and response actions.

use super::command::duration;
use crate::control::Errand;
use crate::ids::{ActionName, Member};
use crate::incident::{ActionRecord, Claim, Part, incidents, part};
use crate::record;
use crate::state::Document;
use crate::testkit::sim::engine::Engine;
use crate::testkit::sim::plan::{Act, ResponsePlan};

/// Every node that starts from now on knows this action.
pub(super) fn response(engine: &mut Engine, name: &str, takes: &str, how: &[&str]) -> Result<(), String> {
    let name = ActionName::new(name).map_err(|e| e.to_string())?;
    let (takes, fails) = (duration(takes)?, how.contains(&"fails"));
    engine.setup.responses.push(ResponsePlan { name, takes, fails });
    Ok(())
}

/// The order these words stand for; nothing if they are no such command.
pub(super) fn act(engine: &Engine, words: &[&str]) -> Result<Option<Act>, String> {
    let errand = match words {
        ["ack", node] => {
            let Member { node, incarnation } = latest(engine, node)?;
            Errand::Ack { node, incarnation, note: String::new() }
        }
        ["retry", action, "for", node] => {
            let Member { node, incarnation } = latest(engine, node)?;
            Errand::Retry { node, incarnation, action: ActionName::new(action).map_err(|e| e.to_string())? }
        }
        _ => return Ok(None),
    };
    Ok(Some(Act::Order(errand)))
}

fn documents(engine: &Engine) -> Vec<(Member, Part, Document)> {
    let documents = engine.scene.world.list(&incidents(), None, 1_000).unwrap_or_default();
    let of = |document: Document| part(&document.key).map(|(member, part)| (member, part, document));
    documents.into_iter().filter_map(of).collect()
}

fn claims(engine: &Engine) -> Vec<Claim> {
    let claims = documents(engine).into_iter().filter(|(_, part, _)| *part == Part::Claim);
    let mut claims: Vec<Claim> =
        claims.filter_map(|(.., document)| record::decode("script", "claim", &document.value).ok()).collect();
    claims.sort_by_key(Claim::age);
    claims
}

fn latest(engine: &Engine, node: &str) -> Result<Member, String> {
    let claim = claims(engine).into_iter().rfind(|claim| claim.node.as_str() == node);
    claim.map(|claim| claim.member()).ok_or_else(|| format!("there is no incident of {node}"))
}

/// A line for each incident: whose, how its actions stand, whether it was acknowledged.
pub(super) fn show(engine: &Engine) -> Vec<String> {
    let documents = documents(engine);
    let line = |claim: Claim| {
        let member = claim.member();
        let of = documents.iter().filter(|(of, ..)| *of == member);
        let mut line = format!("{} claimed by {}#{}", claim.node, claim.fenced_by, claim.active_term);
        for (_, part, document) in of {
            match part {
                Part::Action(name) => {
                    let record: Option<ActionRecord> = record::decode("script", "action", &document.value).ok();
                    let Some(record) = record else { continue };
                    let by = record.by.as_ref().map(|by| by.node.to_string()).unwrap_or_default();
                    line = format!("{line}; {} {} by {by}#{}", record.title(name), record.state.as_str(), record.term);
                }
                Part::Ack => line.push_str("; acknowledged"),
                Part::Claim | Part::Course => {}
            }
        }
        line
    };
    claims(engine).into_iter().map(line).collect()
}
