//! The incidents as the store has them, read after this node's fence, and which of them are old enough to go.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ActionName, Member, StateKey, Version};
use crate::incident::{
    Ack, ActionRecord, ActionState, Claim, Course, Incident, KEPT, MAX_INCIDENTS, Part, Phases, action_key, claim_key,
    part,
};
use crate::record;
use crate::state::Document;

/// How far a listing was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pages {
    /// The next page begins behind this key, or at the start.
    Next(Option<StateKey>),
    /// All of it was read.
    Done,
}

impl Pages {
    /// Where to go on after this page of at most `most`.
    pub(super) fn after(page: &[Document], most: usize) -> Self {
        match page.last().filter(|_| page.len() == most) {
            Some(last) => Self::Next(Some(last.key.clone())),
            None => Self::Done,
        }
    }

    /// Where the next page begins, if there is one.
    pub(super) fn next(&self) -> Option<&Option<StateKey>> {
        match self {
            Self::Next(after) => Some(after),
            Self::Done => None,
        }
    }
}

/// One incident.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    pub(super) claim: Option<Claim>,
    pub(super) actions: BTreeMap<ActionName, (Version, ActionRecord)>,
    pub(super) course: Option<Phases>,
    pub(super) ack: Option<Ack>,
    pub(super) keys: BTreeSet<StateKey>,
    /// It holds something that this build cannot read: it is left as it is (law 15).
    pub(super) strange: bool,
}

impl Case {
    pub(super) fn incident(&self) -> Option<Incident> {
        let claim = self.claim.clone()?;
        Some(Incident {
            phases: claim.phases.or(self.course.unwrap_or_default()),
            actions: self.actions.iter().map(|(name, (_, record))| (name.clone(), record.clone())).collect(),
            ack: self.ack.clone(),
            claim,
        })
    }
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Cases(BTreeMap<Member, Case>);

impl Cases {
    /// The one of this member, if its failure is on record.
    pub(super) fn get(&self, member: &Member) -> Option<&Case> {
        self.0.get(member).filter(|case| case.claim.is_some())
    }

    /// As [`get`](Self::get), and made if there is none.
    pub(super) fn make(&mut self, member: &Member, key: Option<StateKey>) -> &mut Case {
        let case = self.0.entry(member.clone()).or_default();
        case.keys.extend(key);
        case
    }

    /// Those on record, oldest first.
    pub(super) fn by_age(&self) -> Vec<(&Member, &Case, &Claim)> {
        let on_record = self.0.iter().filter_map(|(member, case)| Some((member, case, case.claim.as_ref()?)));
        let mut all: Vec<_> = on_record.collect();
        all.sort_by_key(|(_, _, claim)| claim.age());
        all
    }

    /// An action's record.
    pub(super) fn action(&self, member: &Member, action: &ActionName) -> Option<&(Version, ActionRecord)> {
        self.get(member)?.actions.get(action)
    }

    pub(super) fn record(&mut self, member: &Member, action: &ActionName, version: Version, record: ActionRecord) {
        let case = self.make(member, action_key(member, action));
        case.actions.insert(action.clone(), (version, record));
    }

    /// Takes in documents as they were read.
    pub(super) fn take_in(&mut self, documents: &[Document]) {
        for document in documents {
            self.take(document);
        }
    }

    fn take(&mut self, document: &Document) {
        let Some((member, part)) = part(&document.key) else { return };
        let case = self.make(&member, Some(document.key.clone()));
        let decoded = match part {
            Part::Claim => decode(document).map(|claim| case.claim = Some(claim)),
            Part::Course => decode(document).map(|Course { phases }| case.course = Some(phases)),
            Part::Ack => decode(document).map(|ack| case.ack = Some(ack)),
            Part::Action(name) => {
                decode(document).map(|record| drop(case.actions.insert(name, (document.version, record))))
            }
        };
        case.strange |= decoded.is_none();
    }

    /// Forgets an incident, to be read anew.
    pub(super) fn forget(&mut self, member: &Member) {
        self.0.remove(member);
    }

    /// A document of an incident that is too old to be kept, or whose claim is gone already. The claim goes first, so that what is
    /// left of a removal that was cut short is never taken for an incident. One that `stays` could be claimed anew, or is worked at.
    pub(super) fn surplus(&self, stays: impl Fn(&Member) -> bool) -> Option<(Member, StateKey)> {
        let rest = self.0.iter().find(|(_, case)| case.claim.is_none() && !case.strange);
        if let Some((member, case)) = rest {
            return Some((member.clone(), case.keys.first().cloned()?));
        }
        let surplus = self.0.len().saturating_sub(KEPT);
        if surplus == 0 {
            return None;
        }
        let is_full = self.0.len() > MAX_INCIDENTS;
        let goes = |case: &Case| !case.strange && (is_full || case.ack.is_some());
        let mut old = self.by_age().into_iter().take(surplus).filter(|(member, ..)| !stays(member));
        let (member, ..) = old.find(|(_, case, _)| goes(case))?;
        Some((member.clone(), claim_key(member)?))
    }

    /// The document is gone.
    pub(super) fn purged(&mut self, member: &Member, key: &StateKey) {
        let Some(case) = self.0.get_mut(member) else { return };
        case.keys.remove(key);
        if claim_key(member).as_ref() == Some(key) {
            case.claim = None;
        }
        if case.keys.is_empty() {
            self.0.remove(member);
        }
    }
}

/// Whether an attempt at an action has been begun and not been told to be over.
pub(super) fn is_open(record: &ActionRecord, attempt: u32) -> bool {
    record.state == ActionState::Claimed && record.attempt == attempt
}

fn decode<T: serde::de::DeserializeOwned>(document: &Document) -> Option<T> {
    record::decode("incident", document.key.as_str(), &document.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, NodeId, Term};

    fn claim(n: usize, acked: bool, cases: &mut Cases) -> Member {
        let member = Member::new(NodeId::new("a").unwrap(), Incarnation::from_u128(n as u128));
        let value = format!(
            r#"{{"format":1,"node":"a","incarnation":"{}","term":1,"reason":"","fenced_by":"b","active_term":1,"number":{n}}}"#,
            member.incarnation
        );
        let document = |key: Option<StateKey>, value: &str| Document {
            key: key.unwrap(),
            version: Version(1),
            value: value.as_bytes().to_vec(),
        };
        cases.take(&document(claim_key(&member), &value));
        if acked {
            cases.take(&document(crate::incident::ack_key(&member), r#"{"format":1,"by":"o"}"#));
        }
        member
    }

    /// Removes what is too much until nothing is; in which order.
    fn tidy(cases: &mut Cases, stays: impl Fn(&Member) -> bool) -> Vec<StateKey> {
        let mut gone = Vec::new();
        while let Some((member, key)) = cases.surplus(&stays) {
            cases.purged(&member, &key);
            gone.push(key);
        }
        gone
    }

    #[test]
    fn what_is_acknowledged_and_older_than_the_newest_hundred_goes_and_its_claim_first() {
        let mut cases = Cases::default();
        let first = claim(0, false, &mut cases);
        let second = claim(1, true, &mut cases);
        let third = claim(2, true, &mut cases);
        (3..KEPT + 3).for_each(|n| drop(claim(n, true, &mut cases)));
        let gone = tidy(&mut cases, |member| *member == second);
        assert_eq!(gone, [claim_key(&third).unwrap(), crate::incident::ack_key(&third).unwrap()]);
        assert!(cases.get(&first).is_some_and(|case| case.ack.is_none()), "nobody has seen it");
        assert!(cases.get(&second).is_some(), "it could be claimed anew");
        assert_eq!(tidy(&mut cases, |_| false).first(), claim_key(&second).as_ref());
    }

    #[test]
    fn there_is_a_bound_for_what_nobody_acknowledges() {
        let mut cases = Cases::default();
        let first = claim(0, false, &mut cases);
        (1..=MAX_INCIDENTS).for_each(|n| drop(claim(n, false, &mut cases)));
        assert_eq!(tidy(&mut cases, |_| false), [claim_key(&first).unwrap()]);
    }

    #[test]
    fn what_a_later_build_wrote_is_left_as_it_is() {
        let mut cases = Cases::default();
        let strange = claim(0, true, &mut cases);
        let newer = br#"{"format":2}"#.to_vec();
        let action = action_key(&strange, &ActionName::new("mail").unwrap()).unwrap();
        cases.take(&Document { key: action, version: Version(2), value: newer });
        (1..=KEPT).for_each(|n| drop(claim(n, false, &mut cases)));
        assert_eq!(tidy(&mut cases, |_| false), []);
        assert_eq!(
            (cases.get(&strange).unwrap().incident().unwrap().claim.active_term, Version(1)),
            (Term(1), Version(1))
        );
    }

    #[test]
    fn what_is_left_of_a_removal_that_was_cut_short_goes_too() {
        let mut cases = Cases::default();
        let member = claim(0, true, &mut cases);
        cases.purged(&member, &claim_key(&member).unwrap());
        assert!(cases.get(&member).is_none());
        assert_eq!(tidy(&mut cases, |_| true), [crate::incident::ack_key(&member).unwrap()]);
    }
}
