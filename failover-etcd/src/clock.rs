//! How old a key is, without comparing two hosts' clocks (law 10): by the revisions this handle has seen, and when.
//!
//! etcd tells no time, but its revisions are in order of time. An answer of revision 90 that arrived here at some moment shows that
//! whatever has revision 90 or less was there by then. So the age of a key is at least the time since the first answer that
//! showed its revision or a later one: never overstated, and understated by no more than the time between two answers.

use std::collections::VecDeque;
use std::time::Duration;

use failover_core::time::Time;

/// Moments closer than this are kept as one, the later.
const APART: Duration = Duration::from_millis(10);

/// How many moments are kept at most; of the older half then every second one.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Milestones(VecDeque<(i64, Time)>);

impl Milestones {
    /// Takes in that an answer of this revision has arrived by now.
    pub(crate) fn pass(&mut self, revision: i64, now: Time) {
        match self.0.back() {
            Some((highest, at)) if revision <= *highest || now < *at => return,
            _ => {}
        }
        // The last is only replaced while it is close to the one before it: time goes on also where answers never pause.
        let close = self.0.len() > 1 && now.since(self.0[self.0.len() - 2].1) < APART;
        if close {
            self.0.pop_back();
        }
        self.0.push_back((revision, now));
        if self.0.len() > MOST {
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                index > MOST / 2 || index % 2 == 0
            });
        }
    }

    /// How old what has this revision is, at least.
    pub(crate) fn age(&self, revision: i64, now: Time) -> Duration {
        let first = self.0.partition_point(|(seen, _)| *seen < revision);
        self.0.get(first).map_or(Duration::ZERO, |(_, at)| now.since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn an_age_counts_from_the_first_answer_that_showed_it() {
        let mut milestones = Milestones::default();
        assert_eq!(milestones.age(5, ms(0)), Duration::ZERO);
        milestones.pass(5, ms(100));
        milestones.pass(5, ms(150));
        milestones.pass(9, ms(200));
        milestones.pass(7, ms(300));
        for (revision, age) in [(1, 900), (5, 900), (6, 800), (9, 800), (10, 0)] {
            assert_eq!(milestones.age(revision, ms(1000)), Duration::from_millis(age), "revision {revision}");
        }
    }

    #[test]
    fn answers_without_pause_understate_by_little_and_take_a_bounded_room() {
        let mut milestones = Milestones::default();
        for i in 0..100_000_u64 {
            milestones.pass(i64::try_from(i).unwrap(), ms(i));
        }
        assert!(milestones.0.len() <= MOST);
        let now = ms(100_000);
        let recent = milestones.age(99_000, now);
        assert!(recent <= Duration::from_secs(1) && recent > Duration::from_millis(950), "{recent:?}");
        let old = milestones.age(1, now);
        assert!(old <= Duration::from_millis(99_999) && old > Duration::from_secs(90), "{old:?}");
    }
}
