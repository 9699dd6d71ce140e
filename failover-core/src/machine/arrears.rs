//! What earlier active nodes left unwritten. Whatever is told in the history is in a document before, so whoever is active looks through
//! the documents, once it has read them and the history after its own fence, and again whenever one changes. The history takes each thing once.

use std::collections::BTreeMap;

use super::Machine;
use super::chronicle::Note;
use super::reason::Reason;
use crate::ids::{NodeId, Term, Version};
use crate::incident::{ActionState, Deed, EntryId, Phases};
use crate::time::Time;

/// Which documents were looked through last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    wish: Option<Version>,
    orders: Option<Version>,
    edit: Option<u64>,
    /// What is read once under a term.
    rest: bool,
}

impl Seen {
    /// Whether what is read once under a term was looked through.
    pub(super) fn has_rest(self) -> bool {
        self.rest
    }
}

impl Machine {
    /// Has the history told what the documents say and it does not.
    pub(super) fn look_through(&mut self, now: Time) {
        let Some(archive) = self.steward.as_ref().map(|steward| &steward.archive) else { return };
        let seen = Seen {
            wish: self.wishes.known().map(|(version, _)| version),
            orders: self.orders.known().map(|(version, _)| version),
            edit: self.settings_read.edit().map(|edit| edit.version),
            rest: archive.has_read(),
        };
        let before = archive.seen;
        if seen == before {
            return;
        }
        if seen.wish != before.wish
            && let Some(wish) = self.wishes.known().map(|(_, wish)| wish.clone())
        {
            // The one before may have been replaced before anybody told of it.
            for wish in wish.before.as_deref().into_iter().chain([&wish]) {
                self.note_switchover(now, wish);
            }
        }
        if seen.orders != before.orders {
            let over = self.orders.known().into_iter().flat_map(|(_, orders)| orders.orders.values());
            for order in over.filter(|order| order.phase.is_over()).cloned().collect::<Vec<_>>() {
                self.note_order(now, &order);
            }
        }
        if seen.rest && !before.rest {
            self.note_lost_takeovers(now);
            self.note_lost_actions(now);
        }
        if let Some(archive) = self.steward.as_mut().map(|steward| &mut steward.archive) {
            archive.seen = seen;
            if let Some(edit) = self.settings_read.edit().filter(|_| seen.edit != before.edit) {
                archive.note_edit(edit);
            }
        }
    }

    /// Nodes that were active and died before they could write it down, as far as anything in the stores shows it.
    fn note_lost_takeovers(&mut self, now: Time) {
        let Some(archive) = self.steward.as_ref().map(|steward| &steward.archive) else { return };
        let told = self.peers.iter().filter_map(|peer| Some((peer.news.lead.as_ref()?.term, &peer.member.node)));
        let claims = archive.responses.cases.by_age();
        let claimed = claims.iter().map(|(_, _, claim)| (claim.active_term, &claim.fenced_by));
        let records = claims.iter().flat_map(|(_, case, _)| case.actions.values());
        let acted = records.filter_map(|(_, record)| Some((record.term, &record.by.as_ref()?.node)));
        let wish = self.wishes.known().map(|(_, wish)| wish);
        let stepped = wish.into_iter().flat_map(|wish| wish.before.as_deref().into_iter().chain([wish]));
        let stepped =
            stepped.filter_map(|wish| Some((wish.term?, wish.steps.iter().rev().find_map(|step| step.node.as_ref())?)));
        let all: BTreeMap<Term, NodeId> =
            told.chain(claimed).chain(acted).chain(stepped).map(|(term, node)| (term, node.clone())).collect();
        let own = archive.term();
        for (term, node) in all.into_iter().filter(|(term, _)| *term < own) {
            let note = Note {
                id: Some(EntryId::takeover(term)),
                about: None,
                at: None,
                deed: Deed::Takeover,
                what: format!("{node} became active"),
                who: node.to_string(),
                node,
                why: Reason::LeaseGranted.to_string(),
                phases: Phases::default(),
            };
            self.note(now, note);
        }
    }

    /// Response actions that were told to be over.
    fn note_lost_actions(&mut self, now: Time) {
        let Some(archive) = self.steward.as_ref().map(|steward| &steward.archive) else { return };
        let cases = archive.responses.cases.by_age();
        let actions = cases.iter().flat_map(|(member, case, _)| {
            case.actions.iter().map(|(action, (_, record))| ((*member).clone(), action.clone(), record.clone()))
        });
        let is_over = |state| match state {
            ActionState::Done | ActionState::Failed => true,
            ActionState::Due | ActionState::Claimed => false,
        };
        for (member, action, record) in actions.filter(|(.., record)| is_over(record.state)).collect::<Vec<_>>() {
            self.note_action(now, &member, &action, &record);
        }
    }
}
