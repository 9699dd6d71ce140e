//! Response actions: which one to begin next, for which failure, and what becomes of those that were begun.
//!
//! An action is claimed in the store before it is begun, and a claim is never repeated. So whatever happens between the claim and the
//! note that it is over (a crash, a pause, a deposition, a lost answer) leaves a claim, for everybody to see, and only an operator's
//! order begins it once more (law 14). Everything is decided on what the store holds, read after this node's fence; what may have been
//! written all the same is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cases::{Cases, Pages, is_open};
use super::effect::{Call, Effect};
use super::event::{Event, EventKind};
use super::input::{Fault, Reply};
use super::reason::Reason;
use super::steward::FencedOff;
use crate::control::{Errand, Order, OrderPhase};
use crate::ids::{ActionName, Member, StateKey, Version};
use crate::incident::{
    Ack, ActionRecord, ActionState, Claim, Course, EntryId, Phases, ack_key, action_key, claim_key, course_key,
    incidents,
};
use crate::lease::Lease;
use crate::record;
use crate::state::{Deleted, Expect, Written};
use crate::time::{Stamp, Time};

/// How many documents are read with one call.
const PAGE: usize = 100;
/// How many actions run at the same time; those of one incident run one after another.
const AT_ONCE: usize = 4;

/// One action of one incident.
pub(super) type Which = (Member, ActionName);

/// The actions that the host is running, by attempt and since when: also while the node is not active any more.
pub(super) type Running = BTreeMap<Which, (u32, Time)>;

/// A call about incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The next page of what there is.
    Read,
    /// This incident once more: a write to it may or may not have been applied.
    ReadAgain(Member),
    /// Claims an action, which begins it once that is written.
    Begin(Which, Box<ActionRecord>, Expect),
    /// Notes that an action is over.
    End(Which, Box<ActionRecord>, Version),
    /// Notes that an operator has seen it.
    Ack(Member, Ack),
    /// Notes how long what followed took.
    Course(Member, Phases),
    /// Removes an old incident's document.
    Purge(Member, StateKey),
}

/// An action that is over, and not written down as such yet.
#[derive(Debug, Clone)]
struct Ended {
    which: Which,
    attempt: u32,
    outcome: Result<String, String>,
    took: Duration,
    entry: EntryId,
}

/// What an operator asks for, by the order's name.
#[derive(Debug, Clone)]
struct Ask {
    order: String,
    by: String,
    what: Errand,
}

/// The incidents, and what is to be done about them.
#[derive(Debug, Clone)]
pub(super) struct Responses {
    me: Member,
    lease: Lease,
    /// What the host of this node can do.
    known: BTreeSet<ActionName>,
    pub(super) cases: Cases,
    /// From where the next page is read; nothing once all were.
    reading: Pages,
    again: BTreeSet<Member>,
    /// What this node has tried to claim since it became active, and not begun. A claim from before that, although by this node and under this
    /// term, may have been begun then.
    claiming: BTreeMap<Which, u32>,
    ended: Vec<Ended>,
    measured: Vec<(Member, Phases)>,
    asks: Vec<Ask>,
    /// Nothing is begun by itself while the cluster is paused.
    resting: bool,
    version: u64,
}

impl Responses {
    pub(super) fn new(me: Member, lease: Lease, known: BTreeSet<ActionName>) -> Self {
        Self {
            me,
            lease,
            known,
            cases: Cases::default(),
            reading: Pages::Next(None),
            again: BTreeSet::new(),
            claiming: BTreeMap::new(),
            ended: Vec::new(),
            measured: Vec::new(),
            asks: Vec::new(),
            resting: false,
            version: 0,
        }
    }

    /// Another number whenever something about the incidents has changed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether everything that was there when this node became active has been read.
    pub(super) fn is_read(&self) -> bool {
        self.reading.next().is_none()
    }

    /// This node has claimed a failure.
    pub(super) fn opened(&mut self, claim: Claim) {
        self.version += 1;
        let member = claim.member();
        self.cases.make(&member, claim_key(&member)).claim = Some(claim);
    }

    /// The times of what followed are known.
    pub(super) fn measured(&mut self, member: Member, phases: Phases) {
        self.version += 1;
        self.measured.push((member, phases));
    }

    /// An action that the host was running is over.
    pub(super) fn ended(
        &mut self,
        which: Which,
        attempt: u32,
        outcome: Result<String, String>,
        took: Duration,
        entry: EntryId,
    ) {
        self.version += 1;
        self.ended.push(Ended { which, attempt, outcome, took, entry });
    }

    /// Whether nothing is to be begun by itself now.
    pub(super) fn rest(&mut self, resting: bool) {
        self.version += u64::from(self.resting != resting);
        self.resting = resting;
    }

    /// The operators' orders that are being carried out.
    pub(super) fn serve<'a>(&mut self, orders: impl Iterator<Item = (&'a String, &'a Order)>) {
        let asks: Vec<Ask> = orders
            .filter(|(_, order)| order.phase == OrderPhase::Started)
            .filter(|(_, order)| matches!(order.what, Errand::Ack { .. } | Errand::Retry { .. }))
            .map(|(name, order)| Ask { order: name.clone(), by: order.by.clone(), what: order.what.clone() })
            .collect();
        let same = asks.iter().map(|ask| &ask.order).eq(self.asks.iter().map(|ask| &ask.order));
        if !same {
            self.version += 1;
            self.asks = asks;
        }
    }

    /// The incidents that an earlier active node claimed and did not see through: nobody will measure any more.
    pub(super) fn left_behind(&self) -> Vec<Claim> {
        let all = self.cases.by_age().into_iter().filter(|(_, case, _)| case.course.is_none() && !case.strange);
        all.map(|(_, _, claim)| claim.clone()).filter(|claim| claim.active_term < self.lease.term).collect()
    }

    /// Reads, and what is to be begun or noted. An attempt's record gives way to the next one's only once all is `told` in the history.
    pub(super) fn next(&self, running: &Running, at: Option<Stamp>, told: bool) -> Option<Step> {
        if self.reading.next().is_some() {
            return Some(Step::Read);
        }
        if let Some(member) = self.again.first() {
            return Some(Step::ReadAgain(member.clone()));
        }
        self.end(at).or_else(|| self.obey(running, at, told)).or_else(|| self.begin(running, at))
    }

    /// What can wait until the history is written. An incident that `stays` is not removed.
    pub(super) fn tidy(&self, running: &Running, stays: impl Fn(&Member) -> bool) -> Option<Step> {
        if self.reading.next().is_some() {
            return None;
        }
        if let Some((member, phases)) = self.measured.first() {
            return Some(Step::Course(member.clone(), *phases));
        }
        let is_busy = |member: &Member| running.keys().any(|(busy, _)| busy == member);
        let (member, key) = self.cases.surplus(|member| stays(member) || is_busy(member))?;
        Some(Step::Purge(member, key))
    }

    fn end(&self, at: Option<Stamp>) -> Option<Step> {
        self.ended.iter().find_map(|Ended { which, attempt, outcome, took, entry }| {
            let (version, record) = self.cases.action(&which.0, &which.1)?;
            let is_own = is_open(record, *attempt) && record.by.as_ref() == Some(&self.me);
            let record = is_own.then(|| record.ended(outcome.clone(), *took, *entry, at))?;
            Some(Step::End(which.clone(), Box::new(record), *version))
        })
    }

    /// What operators want that has not been done yet.
    fn obey(&self, running: &Running, at: Option<Stamp>, told: bool) -> Option<Step> {
        self.asks.iter().find_map(|ask| match &ask.what {
            Errand::Ack { node, incarnation, note } => {
                let member = Member::new(node.clone(), *incarnation);
                let ack = Ack { by: ask.by.clone(), note: note.clone(), at };
                let case = self.cases.get(&member)?;
                (case.ack.is_none() && !case.strange).then_some(Step::Ack(member, ack))
            }
            Errand::Retry { node, incarnation, action } => {
                let which = (Member::new(node.clone(), *incarnation), action.clone());
                if !told || running.len() >= AT_ONCE || self.refusal(&ask.order, &which, running).is_some() {
                    return None;
                }
                let (version, record) = self.cases.action(&which.0, action)?;
                if record.order.as_ref() == Some(&ask.order) {
                    return None;
                }
                let order = Some(ask.order.clone());
                let claim = ActionRecord::claimed(record.attempt + 1, self.me.clone(), self.lease.term, order, at);
                Some(Step::Begin(which, Box::new(claim), Expect::Version(*version)))
            }
            Errand::Move { .. } | Errand::Failback { .. } => None,
        })
    }

    /// The first action that nobody has begun, of the oldest incident that has one.
    fn begin(&self, running: &Running, at: Option<Stamp>) -> Option<Step> {
        if self.resting || running.len() >= AT_ONCE || self.known.is_empty() {
            return None;
        }
        let is_busy = |member: &Member| running.keys().any(|(busy, _)| busy == member);
        self.cases.by_age().into_iter().filter(|(member, case, _)| !case.strange && !is_busy(member)).find_map(
            |(member, case, claim)| {
                let mut due = claim.due.iter().filter(|due| !case.actions.contains_key(*due));
                let action = due.find(|due| self.known.contains(*due))?.clone();
                let claim = ActionRecord::claimed(1, self.me.clone(), self.lease.term, None, at);
                Some(Step::Begin((member.clone(), action), Box::new(claim), Expect::Absent))
            },
        )
    }

    /// Why an order to run an action once more cannot be carried out.
    fn refusal(&self, order: &str, which: &Which, running: &Running) -> Option<Reason> {
        let (member, action) = which;
        let Some(case) = self.cases.get(member) else { return Some(Reason::IncidentUnknown) };
        match case.actions.get(action) {
            Some((_, record)) if record.order.as_deref() == Some(order) => None,
            _ if running.contains_key(which) => Some(Reason::ActionRuns),
            Some((_, record)) if record.state == ActionState::Done => Some(Reason::ActionDone),
            Some(_) if !self.known.contains(action) => Some(Reason::ActionElsewhere),
            Some(_) if case.strange => Some(Reason::NewerFormat),
            Some(_) => None,
            None if case.claim.as_ref().is_some_and(|claim| claim.due.contains(action)) => Some(Reason::ActionDue),
            None => Some(Reason::ActionUnknown),
        }
    }

    /// How an operator's order about an incident stands.
    pub(super) fn answer(&self, name: &str, order: &Order, running: &Running) -> (OrderPhase, Option<String>) {
        if self.reading.next().is_some() {
            return (order.phase, None);
        }
        let refused = |reason: Reason| (OrderPhase::Refused, Some(reason.to_string()));
        match &order.what {
            Errand::Ack { node, incarnation, .. } => match self.cases.get(&Member::new(node.clone(), *incarnation)) {
                None => refused(Reason::IncidentUnknown),
                Some(case) if case.ack.is_some() => (OrderPhase::Done, None),
                Some(case) if case.strange => refused(Reason::NewerFormat),
                Some(_) => (OrderPhase::Started, None),
            },
            Errand::Retry { node, incarnation, action } => {
                let which = (Member::new(node.clone(), *incarnation), action.clone());
                if let Some(reason) = self.refusal(name, &which, running) {
                    return refused(reason);
                }
                let record = self.cases.action(&which.0, action);
                match record.filter(|(_, record)| record.order.as_deref() == Some(name)) {
                    Some((_, record)) => (OrderPhase::Done, Some(format!("begun as attempt {}", record.attempt))),
                    None => (OrderPhase::Started, None),
                }
            }
            Errand::Move { .. } | Errand::Failback { .. } => (order.phase, order.reason.clone()),
        }
    }

    pub(super) fn call(&self, step: &Step) -> Option<Call> {
        let fence = self.lease.clone();
        let put = |key: Option<StateKey>, value: crate::Result<String>, expect| {
            Some(Call::Put { key: key?, value: value.ok()?.into_bytes(), expect, fence: fence.clone() })
        };
        match step {
            Step::Read => {
                let after = self.reading.next()?.clone();
                Some(Call::List { prefix: incidents(), after, limit: PAGE })
            }
            Step::ReadAgain(Member { node, incarnation }) => {
                let prefix = incidents().join(node.as_str()).ok()?.join(&incarnation.to_string()).ok()?;
                Some(Call::List { prefix, after: None, limit: PAGE })
            }
            Step::Begin((member, action), record, expect) => {
                put(action_key(member, action), record::encode("incident", record), *expect)
            }
            Step::End((member, action), record, version) => {
                put(action_key(member, action), record::encode("incident", record), Expect::Version(*version))
            }
            Step::Ack(member, ack) => put(ack_key(member), record::encode("incident", ack), Expect::Absent),
            Step::Course(member, phases) => {
                let course = Course { phases: *phases };
                put(course_key(member), record::encode("incident", &course), Expect::Absent)
            }
            Step::Purge(_, key) => Some(Call::Delete { key: key.clone(), expect: Expect::Any, fence }),
        }
    }

    /// Takes in how a call came out, and begins what may be begun by it. `Ok(false)` if the call has to be made again. `Err` means that
    /// another node is active.
    pub(super) fn on(
        &mut self,
        now: Time,
        step: Step,
        outcome: &Result<Reply, Fault>,
        running: &mut Running,
        out: &mut Vec<Effect>,
    ) -> Result<bool, FencedOff> {
        self.version += 1;
        if let Step::Begin(which, record, _) = &step {
            self.claiming.insert(which.clone(), record.attempt);
        }
        match (step, outcome) {
            (_, Ok(Reply::Written(Written::Fenced { .. }) | Reply::Deleted(Deleted::Fenced { .. }))) => {
                return Err(FencedOff);
            }
            (Step::Read, Ok(Reply::Documents(documents))) => {
                self.cases.take_in(documents);
                self.reading = Pages::after(documents, PAGE);
            }
            (Step::ReadAgain(member), Ok(Reply::Documents(documents))) => {
                self.again.remove(&member);
                self.cases.forget(&member);
                self.cases.take_in(documents);
                self.begin_own(now, &member, running, out);
            }
            (Step::Begin((member, action), record, _), Ok(Reply::Written(Written::Written(version)))) => {
                self.cases.record(&member, &action, *version, *record);
                self.begin_own(now, &member, running, out);
            }
            (Step::End((member, action), record, _), Ok(Reply::Written(Written::Written(version)))) => {
                self.cases.record(&member, &action, *version, *record);
            }
            (Step::Ack(member, ack), Ok(Reply::Written(Written::Written(_)))) => {
                self.cases.make(&member, ack_key(&member)).ack = Some(ack);
            }
            (Step::Course(member, phases), Ok(Reply::Written(Written::Written(_) | Written::Conflict(_)))) => {
                self.measured.retain(|(measured, _)| *measured != member);
                self.cases.make(&member, course_key(&member)).course = Some(phases);
            }
            (Step::Purge(member, key), Ok(Reply::Deleted(Deleted::Deleted))) => self.cases.purged(&member, &key),
            // Whatever is there now, or may be: look before anything is decided on it.
            (Step::Begin((member, _), ..) | Step::End((member, _), ..) | Step::Ack(member, _), _) => {
                self.again.insert(member);
                return Ok(false);
            }
            (Step::Read | Step::ReadAgain(_) | Step::Course(..) | Step::Purge(..), Ok(_) | Err(_)) => return Ok(false),
        }
        Ok(true)
    }

    /// The actions that are over and written down as such since the last time this was asked.
    pub(super) fn settle(&mut self) -> Vec<(Which, ActionRecord)> {
        let (cases, again) = (&self.cases, &self.again);
        let mut settled = Vec::new();
        self.ended.retain(|ended| {
            let (member, action) = &ended.which;
            match cases.action(member, action) {
                _ if again.contains(member) => true,
                Some((_, record)) if is_open(record, ended.attempt) => true,
                Some((_, record)) if record.attempt == ended.attempt => {
                    settled.push((ended.which.clone(), record.clone()));
                    false
                }
                // Retried meanwhile, or purged.
                Some(_) | None => false,
            }
        });
        settled
    }

    /// Begins what this node has claimed and not begun: its claim has just been confirmed.
    fn begin_own(&mut self, now: Time, member: &Member, running: &mut Running, out: &mut Vec<Effect>) {
        let Some(case) = self.cases.get(member) else { return };
        let Some(incident) = case.incident() else { return };
        for (action, (_, record)) in &case.actions {
            let which = (member.clone(), action.clone());
            let is_own = record.state == ActionState::Claimed
                && record.by.as_ref() == Some(&self.me)
                && record.term == self.lease.term;
            if !is_own || self.claiming.get(&which) != Some(&record.attempt) {
                continue;
            }
            self.claiming.remove(&which);
            running.insert(which, (record.attempt, now));
            let event = Event::new(EventKind::ActionBegun, member.node.clone(), Reason::Claimed);
            out.push(Effect::Tell(event.detail(record.title(action))));
            let (action, attempt, incident) = (action.clone(), record.attempt, Box::new(incident.clone()));
            out.push(Effect::Respond { action, attempt, incident });
        }
    }
}
