//! When to beat and when to read: a constant number of calls per beat, sooner where a hint says so (laws 7 and 17).

use std::time::Duration;

use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::input::{Fault, Reply};
use super::peers::Sign;
use super::reason::Reason;
use super::round::Round;
use super::steward::Steward;
use super::table::{Stage, Trigger};
use super::{Machine, Purpose};
use crate::control;
use crate::error::ErrorKind;
use crate::heartbeat::{Heartbeat, Lead, News, Role};
use crate::ids::Term;
use crate::record;
use crate::replica::Lag;
use crate::state::Document;
use crate::time::Time;

/// How many changes one read of the jobs brings.
const FEED_PAGE: usize = 500;
/// How many control documents are read: there are three.
const CONTROL_PAGE: usize = 16;

/// So often in a beat what is new about a node is told as soon as it is so: that it is standby, and that it has prepared itself.
const NEWS_AT_ONCE_IN_A_BEAT: u32 = 3;

/// The rounds of a node.
#[derive(Debug, Clone)]
pub(super) struct Cadence {
    beat: Round,
    pub(super) look: Round,
    pub(super) feed: Round,
    pub(super) control: Round,
    seq: u64,
    beaten: Option<(Term, News)>,
}

impl Cadence {
    pub(super) fn new() -> Self {
        let round = Round::new();
        Self { beat: round, look: round, feed: round, control: round, seq: 0, beaten: None }
    }

    /// What is done every beat is due within this one, if it was put off to a later moment.
    pub(super) fn quicken(&mut self, beat: Duration) {
        for round in [&mut self.beat, &mut self.look, &mut self.feed, &mut self.control] {
            let soonest = round.last.map_or(round.due, |last| last + beat);
            round.due = round.due.min(soonest.max(round.not_before));
        }
    }

    /// When the last read of the control documents that was answered was sent.
    pub(super) fn control_read_at(&self) -> Option<Time> {
        self.control.answered
    }

    /// When the last beat that the store has taken was sent.
    pub(super) fn beat_taken(&self) -> Option<Time> {
        self.beat.answered
    }

    /// Whether each kind of record has been read once.
    pub(super) fn has_read_all(&self) -> bool {
        [self.look, self.feed, self.control].iter().all(|round| round.answered.is_some())
    }

    /// Whether anybody may have heard of it.
    pub(super) fn has_beaten(&self) -> bool {
        self.seq > 0
    }

    /// Whether it has looked before its first beat, as far as it could.
    fn has_looked_back(&self) -> bool {
        self.has_beaten() || self.look.answered.is_some() || self.look.newer
    }

    /// Whether something it reads is of a newer format than it knows (law 15).
    pub(super) fn stands_back(&self) -> bool {
        self.look.newer || self.feed.newer || self.control.newer
    }

    fn round(&mut self, purpose: &Purpose) -> Option<&mut Round> {
        match purpose {
            Purpose::Beat => Some(&mut self.beat),
            Purpose::Look => Some(&mut self.look),
            Purpose::Feed => Some(&mut self.feed),
            Purpose::Control => Some(&mut self.control),
            Purpose::Report
            | Purpose::Forget
            | Purpose::Node(_)
            | Purpose::Active(_)
            | Purpose::Fence(..)
            | Purpose::Assign
            | Purpose::Incident(_)
            | Purpose::Archive(..)
            | Purpose::Wish
            | Purpose::Orders
            | Purpose::Stonith(_) => None,
        }
    }
}

impl Machine {
    /// Whether it beats and reads in this stage: only as a member.
    fn is_member(&self, now: Time) -> bool {
        let stage = matches!(
            self.stage,
            Stage::Inactive
                | Stage::Standby
                | Stage::Promoting
                | Stage::Active
                | Stage::Demoting
                | Stage::Maintenance
                | Stage::Leaving
        );
        stage && !self.forgotten && self.node.claim.held(now).is_some()
    }

    /// What it tells of itself, but for what changes all the time.
    pub(super) fn news(&self) -> News {
        let lead = self
            .steward
            .as_ref()
            .filter(|_| self.stage == Stage::Active)
            .map(|steward| Lead { term: steward.lease().term, standby: steward.standby().cloned() });
        News {
            load: self.runner.load(),
            ready: self.hooks.is_prepared(),
            leaving: self.stage == Stage::Leaving,
            lead,
            labels: self.config.labels.clone(),
            replaces: self.replaces,
            endpoints: self.config.endpoints.clone(),
            version: self.config.version.clone(),
            health: self.wellbeing.health().clone(),
            pace: self.pace,
            ..News::new(self.role, self.config.capacity)
        }
    }

    /// Beats and reads what is due.
    pub(super) fn read(&mut self, now: Time, out: &mut Vec<Effect>) {
        if !self.is_member(now) {
            return;
        }
        let beat = self.timing.beat();
        let news = News { lag: self.lag(now), ..self.news() };
        let term = self.node.term().unwrap_or_default();
        // Giving the role away comes first: to tell of it would be in its way.
        if !self.gives_away() && self.cadence.beaten.as_ref().is_none_or(|beaten| *beaten != (term, lasting(&news))) {
            // What is new about a node is told at once, yet not one thing upon the other, and not much more than ten times a beat.
            let is_rare = self.cadence.beat.times(now, beat) < NEWS_AT_ONCE_IN_A_BEAT;
            self.cadence.beat.bring_forward(now, if is_rare { beat / 50 } else { beat / 10 });
        }
        if let Some(overdue) = self.peers.next_overdue(&self.overdue()) {
            // Not only the next look after it, but one at the moment when a silent node becomes missing.
            if overdue < self.cadence.look.due {
                let soonest = self.cadence.look.last.map_or(now, |last| last + beat / 20);
                let soonest = soonest.max(self.cadence.look.not_before);
                self.cadence.look.due = overdue.max(soonest).min(self.cadence.look.due);
            }
        }
        let wanted = [self.runner.needs_read_since(), self.steward.as_ref().and_then(Steward::needs_read_since)];
        if wanted.into_iter().flatten().any(|moment| !self.mirror.covers(moment)) {
            self.cadence.feed.bring_forward(now, beat / 200);
        }
        for purpose in [Purpose::Beat, Purpose::Look, Purpose::Feed, Purpose::Control] {
            self.go_round(now, purpose, beat, &news, term, out);
        }
    }

    fn go_round(
        &mut self,
        now: Time,
        purpose: Purpose,
        beat: Duration,
        news: &News,
        term: Term,
        out: &mut Vec<Effect>,
    ) {
        let open = self.rests(&purpose);
        let Some(round) = self.cadence.round(&purpose).filter(|round| !open && now >= round.due) else { return };
        round.go(now, beat);
        let call = match purpose {
            Purpose::Beat => {
                self.cadence.seq += 1;
                self.cadence.beaten = Some((term, lasting(news)));
                let member = self.config.member.clone();
                Call::Beat(Box::new(Heartbeat { member, term, seq: self.cadence.seq, news: news.clone() }))
            }
            Purpose::Look => Call::Sightings,
            Purpose::Feed => Call::Changes { since: self.mirror.read_from(now), limit: FEED_PAGE },
            Purpose::Control
            | Purpose::Report
            | Purpose::Forget
            | Purpose::Node(_)
            | Purpose::Active(_)
            | Purpose::Fence(..)
            | Purpose::Assign
            | Purpose::Incident(_)
            | Purpose::Archive(..)
            | Purpose::Wish
            | Purpose::Orders
            | Purpose::Stonith(_) => Call::List { prefix: control::control(), after: None, limit: CONTROL_PAGE },
        };
        self.call(now, purpose, call, out);
    }

    /// Whether a round has to wait: for the outcome of the last one, or because a beat would bring back what is being removed, or hide what
    /// an earlier incarnation has left there.
    fn rests(&self, purpose: &Purpose) -> bool {
        let beat = *purpose == Purpose::Beat;
        self.calls.is_open(|open| open == purpose) || beat && (self.is_forgetting() || !self.cadence.has_looked_back())
    }

    pub(super) fn reading_deadline(&self) -> Option<Time> {
        // `is_member` without the clock: if the right has ended, that is a deadline of its own.
        let is_member = !self.forgotten && self.node.term().is_some() && !matches!(self.stage, Stage::Joining);
        if !is_member || matches!(self.stage, Stage::Isolated | Stage::Condemned) {
            return None;
        }
        let c = &self.cadence;
        let rounds =
            [(Purpose::Beat, c.beat), (Purpose::Look, c.look), (Purpose::Feed, c.feed), (Purpose::Control, c.control)];
        rounds.into_iter().filter(|(p, _)| !self.rests(p)).map(|(_, round)| round.due).min()
    }

    /// Takes in how a beat or a read came out.
    pub(super) fn on_read(
        &mut self,
        now: Time,
        sent: Time,
        purpose: &Purpose,
        outcome: Result<Reply, Fault>,
        retry_at: Time,
        out: &mut Vec<Effect>,
    ) {
        if let Some(round) = self.cadence.round(purpose) {
            match &outcome {
                Ok(_) => (round.answered, round.newer) = (Some(sent), false),
                Err(fault) => {
                    round.not_before = retry_at;
                    round.due = round.due.min(retry_at);
                    let is_news = *fault == Fault::TooNew && !round.newer;
                    round.newer |= *fault == Fault::TooNew;
                    if is_news {
                        self.stand_back(now, out);
                    }
                }
            }
        }
        match outcome {
            Ok(Reply::Sightings(sightings)) => {
                self.look_back(&sightings);
                for sign in self.peers.look(now, sent, sightings, &self.overdue()) {
                    self.note_sign(now, &sign);
                    self.heed_last_word(now, &sign);
                    self.tell_sign(sign, out);
                }
                self.warm_up(now, out);
            }
            Ok(Reply::Changes(changes)) => {
                let more = changes.more;
                self.mirror.apply(now, changes);
                if more {
                    self.cadence.feed.due = now;
                }
            }
            Ok(Reply::Documents(documents)) => {
                for document in documents {
                    self.on_document(now, &document, out);
                }
            }
            Ok(_) => {}
            Err(_) if *purpose == Purpose::Feed => self.mirror.interrupted(),
            Err(_) if *purpose == Purpose::Beat => self.cadence.beaten = None,
            Err(_) => {}
        }
    }

    fn stand_back(&mut self, now: Time, out: &mut Vec<Effect>) {
        let node = self.config.member.node.clone();
        out.push(Effect::Tell(Event::new(EventKind::StoodBack, node, Reason::NewerFormat)));
        self.successor = self.steward.as_ref().and_then(|s| s.standby()).map(|standby| standby.node.clone());
        self.fire(now, Trigger::StepDown, out);
    }

    fn tell_sign(&self, sign: Sign, out: &mut Vec<Effect>) {
        let (kind, member, reason) = match sign {
            Sign::Missing(member) => {
                let died = self.peers.get(&member.node).is_some_and(|peer| peer.news.died);
                let reason = if died { Reason::ProcessDied } else { Reason::HeartbeatOverdue };
                (EventKind::NodeMissing, member, reason)
            }
            Sign::Returned(member) => (EventKind::NodeReturned, member, Reason::HeartbeatBack),
        };
        // Of its own earlier incarnations the others tell.
        if member.node != self.config.member.node {
            let event = Event::new(kind, member.node, reason);
            out.push(Effect::Tell(event.detail(member.incarnation.to_string())));
        }
    }

    /// A suspicion about the active node warms whoever would be standby after a takeover, and does nothing else.
    fn warm_up(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some((leader, _)) = self.peers.lead() else { return };
        let (detector, beat) = (self.config.detector, self.timing.beat());
        if self.stage == Stage::Inactive
            && *leader != self.config.member
            && self.peers.suspects(&leader.node, now, detector, beat)
            && self.rank() <= 1
        {
            self.hooks.prepare(out);
        }
    }

    /// Settings, wishes and orders, from the control documents.
    fn on_document(&mut self, now: Time, document: &Document, out: &mut Vec<Effect>) {
        let taken = match &document.key {
            key if *key == control::settings_key() => self.on_settings(now, document, out),
            key if *key == control::switchover_key() => {
                decode(document).map(|wish| self.read_wish(now, document.version, wish, out))
            }
            key if *key == control::orders_key() => {
                decode(document).map(|orders| self.orders.read(document.version, orders))
            }
            _ => Ok(()),
        };
        let is_newer = taken.is_err_and(|error| error.kind() == ErrorKind::TooNew);
        if is_newer && !self.cadence.control.newer {
            self.stand_back(now, out);
        }
        self.cadence.control.newer |= is_newer;
    }

    /// Its role from here on, told if it is another than before.
    pub(super) fn take_role(&mut self, role: Role, reason: Reason, out: &mut Vec<Effect>) {
        if role != self.role {
            self.role = role;
            let mut event = Event::new(EventKind::RoleChanged, self.config.member.node.clone(), reason).role(role);
            if role == Role::Active
                && let Some(term) = self.active.term()
            {
                event = event.term(term);
            }
            out.push(Effect::Tell(event));
        }
    }
}

/// What is told at once when it changes: all but what changes all the time. That a lag is known from now on is news.
fn lasting(news: &News) -> News {
    News { lag: news.lag.filter(Lag::is_known).map(|_| Lag::NONE), ..news.clone() }
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(document: &Document) -> crate::Result<T> {
    record::decode("control", document.key.as_str(), &document.value)
}
