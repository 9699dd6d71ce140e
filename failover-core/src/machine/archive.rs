//! What the active node writes down: who was lost, what was done about it, and the cluster's history. One call at a time, at most twenty
//! in a beat (law 17), and the first of a term is an entry of the history, which installs this node's fence in the state store before
//! anything is read there (law 12).

use std::collections::BTreeSet;
use std::time::Duration;

use super::arrears;
use super::chronicle::{self, Chronicle, Note};
use super::course::Courses;
use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::input::{Fault, Reply};
use super::mirror::Mirror;
use super::reason::Reason;
use super::response::{self, Responses, Running, Which};
use super::table::{Stage, Trigger};
use super::{Machine, Purpose};
use crate::control::Edit;
use crate::ids::{ActionName, Member, Term};
use crate::incident::{ActionRecord, ActionState, Claim, Deed, EntryId, Phases};
use crate::lease::Lease;
use crate::time::{Stamp, Time};
use crate::timing::Timing;

/// For how many ttls the start of what was moved is waited for, to measure it.
const PATIENCE: u32 = 12;

/// A call for the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Incidents(response::Step),
    History(chronicle::Step),
}

/// What there was nothing to do about.
type State = (u64, u64, usize, bool);

/// The active node's archive, for one term.
#[derive(Debug, Clone)]
pub(super) struct Archive {
    term: Term,
    /// Since when this node holds the lease.
    since: Time,
    /// How long it took from then until it was active.
    started: Option<Duration>,
    pace: Duration,
    pub(super) responses: Responses,
    pub(super) courses: Courses,
    chronicle: Chronicle,
    /// Whether the state store knows this term.
    fenced: bool,
    open: bool,
    not_before: Time,
    /// So many calls in a row were in vain.
    failures: u32,
    settled: Option<State>,
    /// What was looked through for things that are not told in the history.
    pub(super) seen: arrears::Seen,
}

impl Archive {
    pub(super) fn new(me: &Member, lease: &Lease, timing: &Timing, known: BTreeSet<ActionName>, now: Time) -> Self {
        Self {
            term: lease.term,
            since: now,
            started: None,
            pace: timing.beat() / 20,
            responses: Responses::new(me.clone(), lease.clone(), known),
            courses: Courses::new(timing.ttl() * PATIENCE),
            chronicle: Chronicle::new(lease.clone()),
            fenced: false,
            open: false,
            not_before: Time::ZERO,
            failures: 0,
            settled: None,
            seen: arrears::Seen::default(),
        }
    }

    /// Whether the failure of this member needs no claim any more. Before the incidents are read nobody can tell, so nobody should claim
    /// what need not be claimed at once.
    pub(super) fn knows(&self, member: &Member) -> bool {
        !self.responses.is_read() || self.responses.cases.get(member).is_some()
    }

    /// The number of the next failure that is claimed.
    pub(super) fn number(&mut self) -> u64 {
        self.chronicle.reserve().number
    }

    /// The term it is of.
    pub(super) fn term(&self) -> Term {
        self.term
    }

    /// Whether the incidents and the history were read after this node's fence.
    pub(super) fn has_read(&self) -> bool {
        self.fenced && self.responses.is_read() && self.chronicle.is_read()
    }

    /// The incidents, and the history that tells of them.
    pub(super) fn books(&mut self) -> (&Responses, &mut Chronicle) {
        (&self.responses, &mut self.chronicle)
    }

    /// Another version of the configuration is in force.
    pub(super) fn note_edit(&mut self, edit: &Edit) {
        self.chronicle.note_edit(edit);
    }

    /// How long it took to become active, once it is.
    pub(super) fn started(&self) -> Option<Duration> {
        self.started
    }

    pub(super) fn note(&mut self, note: Note) {
        self.chronicle.note(note);
    }

    /// This node has claimed a failure that it found then.
    pub(super) fn opened(&mut self, now: Time, claim: Claim, found: Time) {
        self.courses.claimed(now, &claim.member(), found);
        self.responses.opened(claim);
    }

    /// Tells of failures whose course has come to its end.
    fn measure(&mut self, now: Time, mirror: &Mirror, at: Option<Stamp>) {
        for (member, phases) in self.courses.over(now, mirror) {
            let claim = self.responses.cases.get(&member).and_then(|case| case.claim.clone());
            self.close(claim, member, phases, at);
        }
    }

    fn close(&mut self, claim: Option<Claim>, member: Member, phases: Phases, at: Option<Stamp>) {
        let Some(claim) = claim else { return };
        let what = if claim.was_active { "the active node was lost" } else { "the node was lost" };
        let note = Note {
            id: Some(EntryId { term: claim.active_term, number: claim.number }),
            about: None,
            at: claim.at.or(at),
            deed: Deed::Incident,
            node: claim.node,
            what: format!("{what}, incarnation {}", claim.incarnation),
            who: claim.fenced_by.to_string(),
            why: claim.reason,
            phases: claim.phases.or(phases),
        };
        self.chronicle.note(note);
        self.responses.measured(member, phases);
    }

    fn next(&self, running: &Running, stays: impl Fn(&Member) -> bool, at: Option<Stamp>) -> Option<Step> {
        if !self.fenced {
            return self.chronicle.open().map(Step::History);
        }
        let told = self.seen.has_rest() && self.chronicle.is_written();
        let urgent = self.responses.next(running, at, told).map(Step::Incidents);
        let history = || self.chronicle.next().map(Step::History);
        let tidy = || self.responses.tidy(running, stays).map(Step::Incidents);
        urgent.or_else(history).or_else(tidy).or_else(|| self.chronicle.tidy().map(Step::History))
    }

    fn call(&self, step: &Step) -> Option<Call> {
        match step {
            Step::Incidents(step) => self.responses.call(step),
            Step::History(step) => self.chronicle.call(step),
        }
    }

    /// When it will have something to do by itself.
    pub(super) fn deadline(&self) -> Option<Time> {
        let next = (!self.open && self.settled.is_none()).then_some(self.not_before);
        [next, self.courses.deadline()].into_iter().flatten().min()
    }
}

impl Machine {
    /// Tells what people's clocks show at `now`: for what is written down, and for no decision (law 10). Better told before every input.
    pub fn set_wall(&mut self, now: Time, stamp: Stamp) {
        self.wall = Some((now, stamp));
    }

    /// What people's clocks show now, if the driver has told.
    pub(super) fn stamp(&self, now: Time) -> Option<Stamp> {
        let (then, stamp) = self.wall?;
        Some(Stamp(stamp.0.saturating_add(u64::try_from(now.since(then).as_millis()).unwrap_or(0))))
    }

    /// Has something written into the history, if this node is the one who writes.
    pub(super) fn note(&mut self, now: Time, note: Note) {
        let at = note.at.or_else(|| self.stamp(now));
        if let Some(steward) = &mut self.steward {
            steward.archive.note(Note { at, ..note });
        }
    }

    /// Writes into the history that this node is active now. The first entry of its term.
    pub(super) fn note_takeover(&mut self, now: Time) {
        let me = self.config.member.node.clone();
        let Some(archive) = self.steward.as_mut().map(|steward| &mut steward.archive) else { return };
        let since = archive.since;
        archive.started = Some(now.since(since));
        let before = self.peers.lead().map(|(lead, _)| lead.clone()).filter(|lead| *lead != self.config.member);
        let found = before
            .as_ref()
            .map(|lead| self.doubts.until_found(&self.peers, lead, since, self.timing.ttl() / 2))
            .unwrap_or_default();
        let is_off = before.as_ref().is_some_and(|lead| self.stonith.is_off(lead));
        let why = if is_off { Reason::HolderOff } else { Reason::LeaseGranted };
        let what = before.map_or_else(String::new, |lead| format!(" after {}", lead.node));
        let note = Note {
            id: Some(EntryId::takeover(archive.term)),
            about: None,
            at: None,
            deed: Deed::Takeover,
            node: me.clone(),
            what: format!("{me} became active{what}"),
            who: me.to_string(),
            why: why.to_string(),
            phases: Phases { start: Some(now.since(since)), ..found },
        };
        self.note(now, note);
    }

    /// Writes down what is to be written down.
    pub(super) fn keep_archive(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.stage != Stage::Active {
            return;
        }
        let at = self.stamp(now);
        self.look_through(now);
        for edit in self.steward.as_mut().map(|steward| steward.archive.chronicle.edits()).unwrap_or_default() {
            self.note_settings(now, &edit);
        }
        let Some(steward) = &mut self.steward else { return };
        let (fencing, archive) = (&steward.fencing, &mut steward.archive);
        archive.measure(now, &self.mirror, at);
        archive.responses.rest(self.roster.is_paused());
        archive.responses.serve(self.orders.open());
        let (history, peers) = (archive.chronicle.version(), self.peers.version());
        let state = (archive.responses.version() + history, peers, self.responding.len(), archive.fenced);
        if archive.settled != Some(state) {
            archive.settled = None;
        }
        if archive.open || archive.settled.is_some() || now < archive.not_before {
            return;
        }
        let (peers, board) = (&self.peers, &self.mirror.board);
        let stays = |member: &Member| {
            peers.shows(member) || fencing.concerns(&member.node) || board.owners().any(|(owner, _)| owner == member)
        };
        let step = archive.next(&self.responding, stays, at);
        match step.and_then(|step| Some((archive.call(&step)?, step))) {
            Some((call, step)) => {
                archive.open = true;
                let term = archive.term;
                self.call(now, Purpose::Archive(term, step), call, out);
            }
            None => archive.settled = Some(state),
        }
    }

    /// Takes in how a call for the archive came out.
    pub(super) fn on_archive(
        &mut self,
        now: Time,
        (term, step): (Term, Step),
        outcome: &Result<Reply, Fault>,
        retry_at: Time,
        out: &mut Vec<Effect>,
    ) {
        let at = self.stamp(now);
        let steward = self.steward.as_mut().filter(|steward| steward.lease().term == term);
        let Some(archive) = steward.map(|steward| &mut steward.archive) else { return };
        archive.open = false;
        let was_read = archive.responses.is_read();
        let taken = match step {
            Step::Incidents(step) => archive.responses.on(now, step, outcome, &mut self.responding, out),
            Step::History(step) => archive.chronicle.on(&step, outcome),
        };
        let Ok(is_over) = taken else {
            self.fire(now, Trigger::FencedOff, out);
            return;
        };
        archive.fenced |= is_over;
        archive.failures = if outcome.is_ok() { 0 } else { archive.failures.saturating_add(1) };
        // What is written down can wait longer than a decision: up to sixteen beats.
        let wait =
            if archive.failures == 0 { Duration::ZERO } else { archive.pace * 10 * (1 << archive.failures.min(5)) };
        archive.not_before = if is_over { now + archive.pace } else { retry_at + wait };
        if !was_read && archive.responses.is_read() {
            for claim in archive.responses.left_behind() {
                archive.close(Some(claim.clone()), claim.member(), Phases::default(), at);
            }
        }
        let settled = archive.responses.settle();
        for ((member, action), record) in settled {
            self.tell_action(now, &member, &action, &record, out);
        }
    }

    fn tell_action(
        &mut self,
        now: Time,
        member: &Member,
        action: &ActionName,
        record: &ActionRecord,
        out: &mut Vec<Effect>,
    ) {
        let (kind, reason) = match record.state {
            ActionState::Done => (EventKind::ActionDone, Reason::HostCompleted),
            ActionState::Failed | ActionState::Claimed | ActionState::Due => {
                (EventKind::ActionFailed, Reason::HostFailed)
            }
        };
        let attempt = record.title(action);
        let said = if record.output.is_empty() { String::new() } else { format!(": {}", record.output) };
        out.push(Effect::Tell(Event::new(kind, member.node.clone(), reason).detail(format!("{attempt}{said}"))));
        self.note_action(now, member, action, record);
    }

    /// An action that the host ran is over. Whoever is not active any more has nothing to say about it: its claim stays as it is.
    pub(super) fn on_responded(&mut self, now: Time, which: Which, attempt: u32, outcome: Result<String, String>) {
        if self.responding.get(&which).is_none_or(|(running, _)| *running != attempt) {
            return;
        }
        let Some((_, since)) = self.responding.remove(&which) else { return };
        if let Some(steward) = &mut self.steward {
            let archive = &mut steward.archive;
            let entry = archive.chronicle.reserve();
            archive.responses.ended(which, attempt, outcome, now.since(since), entry);
        }
    }
}
