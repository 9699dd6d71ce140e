//! What the host tells its guard: one line of JSON each.

use serde::{Deserialize, Serialize};

use crate::{ClusterName, Estate};

/// Not `Debug`: an address may hold a password (law 19).
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// A store, which is called by this number from now on.
    Store { number: usize, address: String, cluster: ClusterName },
    /// What one member leaves behind there, in place of what was told before.
    Estate { store: usize, estate: Box<Estate> },
}

impl Message {
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_else(|e| unreachable!("plain data: {e}"));
        line.push(b'\n');
        line
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use failover_core::heir::Bequest;
    use std::time::Duration;

    use super::*;
    use crate::heartbeat::News;
    use crate::{Capacity, Heartbeat, Incarnation, Lease, LeaseName, Member, NodeId, Role, Term};

    #[test]
    fn what_is_said_is_understood() {
        let member = Member::new(NodeId::new("a").unwrap(), Incarnation::from_u128(7));
        let lease =
            Lease { name: LeaseName::active(), holder: member.clone(), term: Term(3), ttl: Duration::from_secs(9) };
        let mut estate = Estate::empty(member.clone());
        estate.bequests.push(Bequest::new(lease, Some(NodeId::new("b").unwrap())));
        let news = News::new(Role::Active, Capacity::default());
        estate.last_word = Some(Heartbeat::last_word(member, Term(2), news));
        let line = Message::Estate { store: 1, estate: Box::new(estate.clone()) }.line();
        let Some(Message::Estate { store: 1, estate: heard }) = Message::parse(std::str::from_utf8(&line).unwrap())
        else {
            panic!("another message")
        };
        assert_eq!(*heard, estate);
        assert!(Message::parse("{").is_none() && Message::parse("").is_none());
    }
}
