//! One node and its incarnations, of which the first owns a job.

use std::time::Duration;

use super::claim::Ticket;
use super::effect::Call;
use super::fencing::Fencing;
use super::input::Reply;
use super::mirror::Mirror;
use super::pace::Overdue;
use super::peers::Peers;
use crate::capacity::Capacity;
use crate::heartbeat::{Heartbeat, News, Role, Sighting};
use crate::ids::{Epoch, Incarnation, JobId, Member, NodeId, Revision, Term};
use crate::job::{Changes, JobChange, JobRecord, JobSpec, Phase};
use crate::lease::{Acquired, LeaseView, Tenant};
use crate::rules;
use crate::time::Time;
use crate::timing::Timing;

const TTL: Duration = Duration::from_secs(5);

const fn at(millis: u64) -> Time {
    Time::from_nanos(1_000_000_000_000 + millis * 1_000_000)
}

fn member(node: &str, incarnation: u128) -> Member {
    Member::new(NodeId::new(node).unwrap(), Incarnation::from_u128(incarnation))
}

/// An active node, `a`, and what it knows of the other, `c`.
struct Stage {
    fencing: Fencing,
    mirror: Mirror,
    peers: Peers,
    reads: u64,
}

impl Stage {
    fn new() -> Self {
        let (me, timing) = (member("a", 1), Timing::default());
        let mut stage =
            Self { fencing: Fencing::new(me.clone(), timing), mirror: Mirror::new(me), peers: Peers::new(), reads: 0 };
        stage.read(Some(member("c", 1)));
        stage
    }

    /// Reads the job, which belongs to this owner.
    fn read(&mut self, owner: Option<Member>) {
        self.reads += 1;
        let (revision, phase) = (Revision(self.reads), if owner.is_some() { Phase::Running } else { Phase::Lost });
        let queued = rules::queued(&JobSpec::new(JobId::new("j").unwrap(), "").unwrap(), Epoch(1), revision);
        let change = JobChange::Put(JobRecord { phase, owner, ..queued });
        self.mirror.read_from(at(0));
        self.mirror.apply(at(0), Changes { reset: false, changes: vec![change], upto: revision, more: false });
    }

    /// Sees the second incarnation, which has replaced the first.
    fn see(&mut self, age: Duration) {
        let news = News { replaces: Some(Incarnation::from_u128(1)), ..News::new(Role::Inactive, Capacity::default()) };
        let heartbeat = Heartbeat { member: member("c", 2), term: Term(2), seq: 1, news };
        let started = Timing::default();
        let overdue = Overdue { own: started.missing(), started };
        let _signs = self.peers.look(at(0), at(0), vec![Sighting { heartbeat, age }], &overdue);
    }

    fn review(&mut self, now: u64) {
        self.fencing.review(at(now), &self.mirror, &self.peers, at(0), Term(9), |_| false);
        self.fencing.find_replaced(at(now), &self.peers, |_| false);
    }

    /// The call for the lost node's lease that is due.
    fn asks(&mut self, now: u64) -> Option<Ticket> {
        let calls = self.fencing.poll(at(now), &self.mirror, &self.peers, 9);
        calls
            .into_iter()
            .map(|(_, ticket, call)| {
                assert!(matches!(call, Call::Acquire { .. }), "{call:?}");
                ticket
            })
            .next()
    }

    /// The store says that the second incarnation holds it.
    fn is_refused(&mut self, now: u64, ticket: Ticket) {
        let tenant = Tenant::Held { holder: member("c", 2), remaining: TTL };
        let refused = Ok(Reply::Acquired(Acquired::Refused(LeaseView { term: Term(2), tenant })));
        assert!(self.fencing.outcome(at(now), at(now), &member("c", 2).node, ticket, &refused).is_ok());
    }
}

#[test]
fn a_later_incarnation_that_died_meanwhile_is_next_as_soon_as_the_earlier_one_is_settled() {
    let mut stage = Stage::new();
    stage.see(Duration::from_mins(1));
    stage.review(1);
    let ticket = stage.asks(1).unwrap();
    stage.is_refused(2, ticket);
    let incident = stage.fencing.next_record(at(2)).unwrap();
    assert_eq!(incident.member, member("c", 1));
    stage.fencing.recorded(&incident.member);
    stage.review(3);
    assert!(stage.fencing.is_dead(&incident.member) && stage.asks(3).is_none(), "its job is still to be closed");
    stage.read(None);
    stage.review(4);
    assert!(!stage.fencing.is_dead(&incident.member));
    assert!(stage.asks(4).is_some(), "nothing else wakes the node for it");
}

#[test]
fn a_death_that_is_on_record_is_not_put_there_again_when_it_is_found_once_more() {
    // Its record is written, under way or due by the time its lease turns out to be another's.
    for written in [Some(true), Some(false), None] {
        let mut stage = Stage::new();
        stage.see(Duration::ZERO);
        stage.review(1);
        let ticket = stage.asks(1).unwrap();
        if let Some(written) = written {
            let told = stage.fencing.next_record(at(1)).unwrap();
            assert_eq!(told.member, member("c", 1));
            if written {
                stage.fencing.recorded(&told.member);
                stage.review(2);
            }
        }
        stage.is_refused(2, ticket);
        assert!(stage.fencing.is_dead(&member("c", 1)));
        assert_eq!(stage.fencing.next_record(at(2)).is_some(), written.is_none(), "{written:?}");
        stage.fencing.recorded(&member("c", 1));
        stage.read(None);
        stage.review(3);
        assert_eq!(stage.fencing.next_record(at(3)), None, "{written:?}");
        assert!(!stage.fencing.concerns(&member("c", 1).node), "all of it is settled: {written:?}");
        assert_eq!(stage.fencing.deadline(false, false), None, "{written:?}");
    }
}
