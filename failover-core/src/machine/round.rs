//! One thing that a node does again and again: once a beat, and sooner where a hint says so, but never in a storm.

use std::time::Duration;

use crate::time::Time;

/// One thing that is done every beat, or sooner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub(super) due: Time,
    /// After a failure: not before this, whatever brings it forward.
    pub(super) not_before: Time,
    pub(super) last: Option<Time>,
    /// How often it was done in the beat that began then.
    window: (Time, u32),
    /// When the last one that was answered was sent.
    pub(super) answered: Option<Time>,
    pub(super) newer: bool,
}

/// So often in a beat a hint brings a read forward to this very moment: the steps of a switchover follow one another closer than any spacing.
const AT_ONCE_IN_A_BEAT: u32 = 6;
/// So often in a beat a hint brings a read forward; a storm that goes on longer finds the reads further apart (law 17).
const EAGER_IN_A_BEAT: u32 = 12;

impl Round {
    pub(super) const fn new() -> Self {
        Self {
            due: Time::ZERO,
            not_before: Time::ZERO,
            last: None,
            window: (Time::ZERO, 0),
            answered: None,
            newer: false,
        }
    }

    /// Something may have changed that somebody waits for. However many hints come, after the first few of a beat a fiftieth of it lies between two reads, and
    /// a tenth once it has seen many.
    pub(super) fn hint(&mut self, now: Time, beat: Duration) {
        if self.times(now, beat) < AT_ONCE_IN_A_BEAT {
            self.bring_forward(now, Duration::ZERO);
        } else {
            self.hint_apart(now, beat);
        }
    }

    /// The same of what nobody waits for: never one read upon the other.
    pub(super) fn hint_apart(&mut self, now: Time, beat: Duration) {
        let spacing = if self.times(now, beat) < EAGER_IN_A_BEAT { beat / 50 } else { beat / 10 };
        self.bring_forward(now, spacing);
    }

    /// How often it was done in this beat.
    pub(super) fn times(&self, now: Time, beat: Duration) -> u32 {
        let (since, times) = self.window;
        if now < since + beat { times } else { 0 }
    }

    pub(super) fn go(&mut self, now: Time, beat: Duration) {
        let (since, times) = self.window;
        self.window = if now >= since + beat { (now, 1) } else { (since, times + 1) };
        (self.last, self.due) = (Some(now), now + beat);
    }

    pub(super) fn bring_forward(&mut self, now: Time, spacing: Duration) {
        let soonest = self.last.map_or(now, |last| now.max(last + spacing));
        self.due = self.due.min(soonest.max(self.not_before));
    }
}
