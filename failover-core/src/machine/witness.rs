//! Whether the store is silent, and what that means: is it away, or is this node cut off?
//!
//! While no call succeeds, the witnesses are asked once a beat, if there are any. A node that neither the store nor a witness answers is cut off
//! and stops before its leases would force it to. A node without witnesses cannot tell, and keeps its rights until their end.

use std::time::Duration;

use super::Machine;
use super::effect::Effect;
use super::event::{Event, EventKind};
use super::input::{Fault, Reach, Reply};
use super::reason::Reason;
use crate::time::Time;

/// How it stands between this node, the store and the witnesses.
#[derive(Debug, Clone)]
pub(super) struct Contact {
    witnessed: bool,
    /// Since when no call has succeeded, counted from the first that failed.
    failing_since: Option<Time>,
    /// Whether it was told that the store is silent.
    silent: bool,
    /// Whether a question to the witnesses is open, and when the last one was asked.
    asking: bool,
    asked_at: Option<Time>,
    /// What the witnesses said last, since calls fail.
    said: Option<Reach>,
}

impl Contact {
    pub(super) fn new(witnessed: bool) -> Self {
        Self { witnessed, failing_since: None, silent: false, asking: false, asked_at: None, said: None }
    }

    /// When to ask next: once a beat, and at the beginning of a silence a quarter of one after the last question of an earlier one.
    fn ask_at(&self, beat: Duration) -> Option<Time> {
        let since = self.failing_since.filter(|_| self.witnessed && !self.asking)?;
        let spacing = if self.said.is_some() { beat } else { beat / 4 };
        Some(self.asked_at.map_or(since, |at| since.max(at + spacing)))
    }

    /// Whether the last call that ended had no answer.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Since when no call has succeeded, once that counts as silence.
    pub(super) fn silent_since(&self) -> Option<Time> {
        self.failing_since.filter(|_| self.silent)
    }

    /// Whether neither the store nor a witness answers.
    pub(super) fn is_cut_off(&self) -> bool {
        self.silent && self.said == Some(Reach::Unreachable)
    }
}

impl Machine {
    /// Notes whether the store answers.
    pub(super) fn note_contact(&mut self, now: Time, outcome: &Result<Reply, Fault>, out: &mut Vec<Effect>) {
        let contact = &mut self.contact;
        if outcome.is_err() {
            contact.failing_since.get_or_insert(now);
            return;
        }
        (contact.failing_since, contact.said) = (None, None);
        if std::mem::take(&mut contact.silent) {
            let node = self.config.member.node.clone();
            out.push(Effect::Tell(Event::new(EventKind::StoreBack, node, Reason::CallsSucceed)));
            self.end_doubts(out);
        }
    }

    pub(super) fn on_witness(&mut self, reach: Reach) {
        let contact = &mut self.contact;
        contact.asking = false;
        // That one answered before this silence began says nothing about it; that none had answered until now does.
        let counts = reach == Reach::Unreachable || contact.asked_at >= contact.failing_since;
        if contact.failing_since.is_some() && counts {
            contact.said = Some(reach);
        }
    }

    /// Asks the witnesses while no call succeeds, and says so once none has for a whole beat. Neither a beat that fails while everything else
    /// succeeds is a silence, nor a single call that hangs.
    pub(super) fn judge_silence(&mut self, now: Time, out: &mut Vec<Effect>) {
        let beat = self.timing.beat();
        let contact = &mut self.contact;
        let Some(since) = contact.failing_since else { return };
        if contact.ask_at(beat).is_some_and(|at| now >= at) {
            (contact.asking, contact.asked_at) = (true, Some(now));
            out.push(Effect::AskWitness);
        }
        let reason = match contact.said {
            _ if contact.silent || now < since + beat => return,
            None if contact.witnessed => return,
            None => Reason::CallsFail,
            Some(Reach::Reachable) => Reason::StoreAway,
            Some(Reach::Unreachable) => Reason::CutOff,
        };
        contact.silent = true;
        out.push(Effect::Tell(Event::new(EventKind::StoreSilent, self.config.member.node.clone(), reason)));
    }

    /// When there will be something to ask or to say.
    pub(super) fn contact_deadline(&self) -> Option<Time> {
        let (contact, beat) = (&self.contact, self.timing.beat());
        let since = contact.failing_since?;
        let knows = !contact.witnessed || contact.said.is_some();
        let tell = (!contact.silent && knows).then(|| since + beat);
        [contact.ask_at(beat), tell].into_iter().flatten().min()
    }
}
