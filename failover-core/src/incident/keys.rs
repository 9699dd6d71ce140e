use super::EntryId;
use crate::ids::{ActionName, Incarnation, Member, NodeId, StateKey};

/// The key all incidents lie below.
pub(crate) fn incidents() -> StateKey {
    StateKey::new("incident").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

/// The key the history lies below.
pub(crate) fn history() -> StateKey {
    StateKey::new("history").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

fn below(member: &Member, part: &str) -> Option<StateKey> {
    StateKey::new(format!("incident/{}/{}/{part}", member.node, member.incarnation)).ok()
}

pub(crate) fn claim_key(member: &Member) -> Option<StateKey> {
    below(member, "claim")
}

pub(crate) fn course_key(member: &Member) -> Option<StateKey> {
    below(member, "course")
}

pub(crate) fn ack_key(member: &Member) -> Option<StateKey> {
    below(member, "ack")
}

pub(crate) fn action_key(member: &Member, action: &ActionName) -> Option<StateKey> {
    below(member, &format!("action/{action}"))
}

/// Sorts by term and number, as text too.
pub(crate) fn entry_key(EntryId { term, number }: EntryId) -> Option<StateKey> {
    StateKey::new(format!("history/{:020}-{number:010}", term.0)).ok()
}

/// What a document below `incident` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Claim,
    Course,
    Ack,
    Action(ActionName),
}

/// Whose incident a key belongs to, and which part of it.
pub(crate) fn part(key: &StateKey) -> Option<(Member, Part)> {
    let mut words = key.as_str().split('/').skip(1);
    let node = NodeId::new(words.next()?).ok()?;
    let incarnation: Incarnation = words.next()?.parse().ok()?;
    let part = match (words.next()?, words.next()) {
        ("claim", None) => Part::Claim,
        ("course", None) => Part::Course,
        ("ack", None) => Part::Ack,
        ("action", Some(name)) => Part::Action(ActionName::new(name).ok()?),
        _ => return None,
    };
    words.next().is_none().then(|| (Member::new(node, incarnation), part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Term;

    #[test]
    fn a_key_tells_whose_it_is_and_what() {
        let member = Member::new(NodeId::new("a.b-c").unwrap(), Incarnation::from_u128(7));
        let mail = ActionName::new("mail").unwrap();
        for (key, what) in [
            (claim_key(&member), Part::Claim),
            (course_key(&member), Part::Course),
            (ack_key(&member), Part::Ack),
            (action_key(&member, &mail), Part::Action(mail)),
        ] {
            let key = key.unwrap();
            assert!(key.is_below(&incidents()));
            assert_eq!(part(&key), Some((member.clone(), what)));
        }
        for strange in ["incident/a", "incident/a/x/claim", "incident/a/b", "history/1"] {
            assert_eq!(part(&StateKey::new(strange).unwrap()), None);
        }
    }

    #[test]
    fn the_history_sorts_by_term_and_number() {
        let keys = [(9, 1), (9, 2), (9, 11), (10, 0), (u64::MAX, u64::MAX)];
        let keys: Vec<_> = keys
            .iter()
            .map(|(term, number)| entry_key(EntryId { term: Term(*term), number: *number }).unwrap())
            .collect();
        assert!(keys.is_sorted() && keys.iter().all(|key| key.is_below(&history())));
    }
}
