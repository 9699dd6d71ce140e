//! How often the server is asked for changes.

use std::time::Duration;

use failover_core::time::Time;

/// While nothing changes.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// After something has: what follows often comes soon.
const SOON: Duration = Duration::from_millis(10);
/// What a look costs, in time: on the average there are no more of them, however much changes.
const PRICE: Duration = Duration::from_millis(200);
/// How much is saved up at most.
const MOST: Duration = Duration::from_secs(4);

/// Ever rarer while nothing changes, soon after a change, and bounded on the average.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    credit: Duration,
    since: Time,
}

impl Pace {
    pub(super) fn new(now: Time) -> Self {
        Self { pause: SOON, credit: MOST, since: now }
    }

    /// Something has changed, or is about to.
    pub(super) fn soon(&mut self) {
        self.pause = SOON;
    }

    /// How long until the next look.
    pub(super) fn pause(&self) -> Duration {
        if self.credit < PRICE { self.pause.max(PRICE) } else { self.pause }
    }

    /// There is a look now.
    pub(super) fn looks(&mut self, now: Time) {
        let saved = self.credit.saturating_add(now.since(self.since)).min(MOST);
        self.credit = saved.saturating_sub(PRICE);
        self.since = now;
        self.pause = (self.pause * 2).min(QUIET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often there is a look in so many seconds, if each finds something or none does.
    fn looks(seconds: u64, news: bool) -> u32 {
        let mut now = Time::from_nanos(0);
        let (mut pace, mut looks) = (Pace::new(now), 0);
        loop {
            now = now + pace.pause();
            if now > Time::from_nanos(seconds * 1_000_000_000) {
                return looks;
            }
            pace.looks(now);
            looks += 1;
            if news {
                pace.soon();
            }
        }
    }

    #[test]
    fn while_nothing_changes_there_is_a_look_in_a_second() {
        assert_eq!(looks(60, false) - looks(50, false), 10);
    }

    #[test]
    fn a_storm_of_changes_is_no_storm_of_looks() {
        let burst = looks(60, true);
        assert!(burst <= 60 * 5 + 21, "{burst} looks in a minute");
    }

    #[test]
    fn after_a_change_the_next_look_is_soon() {
        let mut pace = Pace::new(Time::from_nanos(0));
        for second in 1..20 {
            pace.looks(Time::from_nanos(second * 1_000_000_000));
        }
        assert_eq!(pace.pause(), QUIET);
        pace.soon();
        assert_eq!(pace.pause(), SOON);
    }
}
