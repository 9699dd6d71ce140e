//! What the active node writes into the history of what was asked for: orders, switchovers, other settings.

use super::Machine;
use super::chronicle::Note;
use crate::control::{Edit, Errand, Order, OrderPhase, SwitchCause, SwitchWay, Switchover};
use crate::ids::{ActionName, Member};
use crate::incident::{ActionRecord, ActionState, Deed, Phases};
use crate::time::Time;

impl Machine {
    /// Writes into the history how an operator's order ended.
    pub(super) fn note_order(&mut self, now: Time, order: &Order) {
        let (deed, node) = match &order.what {
            Errand::Move { to, .. } => (Deed::Move, to.clone()),
            Errand::Failback { node } => (Deed::Failback, node.clone()),
            Errand::Ack { node, .. } => (Deed::Ack, node.clone()),
            Errand::Retry { node, .. } => (Deed::Retry, node.clone()),
        };
        let how = match order.phase {
            OrderPhase::Refused => "refused",
            OrderPhase::Done | OrderPhase::Requested | OrderPhase::Started => "done",
        };
        let reason = order.reason.clone().unwrap_or_else(|| "it was asked for".to_owned());
        let what = format!("{}: {how}", order.what);
        let (who, phases) = (order.by.clone(), Phases::default());
        // One that was withdrawn has no place yet.
        if order.entry.is_some() {
            self.note(now, Note { id: order.entry, about: None, at: None, deed, node, what, who, why: reason, phases });
        }
    }

    /// Writes into the history how a switchover ended. Only once that is on record: its document is what counts.
    pub(super) fn note_switchover(&mut self, now: Time, wish: &Switchover) {
        if !wish.phase.is_over() {
            return;
        }
        let me = self.config.member.node.clone();
        let way = match wish.way {
            SwitchWay::Planned => "switchover",
            SwitchWay::Activation => "activation",
        };
        let who = match (wish.cause, &wish.by, &wish.from) {
            (SwitchCause::Operator, Some(by), _) => by.clone(),
            (SwitchCause::Operator, None, _) => "an operator".to_owned(),
            (SwitchCause::Health, _, Some(from)) => from.to_string(),
            (SwitchCause::Health, _, None) => me.to_string(),
        };
        let from = wish.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
        let to = wish.to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
        let note = Note {
            id: None,
            about: Some(wish.id.clone()),
            at: None,
            deed: Deed::Switchover,
            node: wish.to.clone().or_else(|| wish.from.clone()).unwrap_or(me),
            what: format!("{way}{from}{to}: {}", wish.phase.as_str()),
            who,
            why: wish.reason.clone().unwrap_or_default(),
            phases: wish.phases(),
        };
        self.note(now, note);
    }

    /// Writes into the history that the settings are others now. What they were is in [their own](crate::Admin::config_history).
    pub(super) fn note_settings(&mut self, now: Time, edit: &Edit) {
        let note = Note {
            id: None,
            about: Some(edit.version.to_string()),
            at: Some(edit.at),
            deed: Deed::Settings,
            node: self.config.member.node.clone(),
            what: format!("version {} of the configuration in the place of version {}", edit.version, edit.replaced),
            who: edit.by.clone(),
            why: edit.why.clone().unwrap_or_default(),
            phases: Phases::default(),
        };
        self.note(now, note);
    }

    /// Writes into the history how a response action ended.
    pub(super) fn note_action(&mut self, now: Time, member: &Member, action: &ActionName, record: &ActionRecord) {
        let how = match record.state {
            ActionState::Done => "done",
            ActionState::Failed | ActionState::Claimed | ActionState::Due => "failed",
        };
        let said = if record.output.is_empty() { String::new() } else { format!(": {}", record.output) };
        let note = Note {
            id: record.entry,
            about: None,
            at: record.at,
            deed: Deed::Action,
            node: member.node.clone(),
            what: format!("{} {how}, {:.1?}{said}", record.title(action), record.took.unwrap_or_default()),
            who: record.by.as_ref().map_or_else(String::new, |by| by.node.to_string()),
            why: format!("the loss of {}", member.node),
            phases: Phases::default(),
        };
        if record.entry.is_some() {
            self.note(now, note);
        }
    }
}
