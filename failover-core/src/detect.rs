//! When a silence becomes a suspicion.
//!
//! Suspicion is advice: it may warm a node that would be next, and nothing else. What moves a role or a job is a lease that
//! has lapsed (law 11).

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// How a node suspects another.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Detector {
    /// A node is suspected when its last heartbeat is older than [`Timing::missing`](crate::Timing::missing), by the store's clock.
    Deadline,
    /// A node is suspected when a silence as long as the present one has become unlikely, judged by the intervals seen so
    /// far (Hayashibara, Défago, Yared, Katayama: "The φ Accrual Failure Detector", SRDS 2004).
    PhiAccrual {
        /// Suspect when `φ = −log₁₀ P(a heartbeat still comes)` reaches this. 8 means one wrong suspicion in 10⁸ beats.
        threshold: f64,
    },
}

/// How many intervals phi accrual remembers of a node.
const WINDOW: usize = 64;

/// What is known of the rhythm of one node's heartbeats.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rhythm {
    last: Option<(u64, Time)>,
    intervals: VecDeque<f64>,
}

impl Rhythm {
    /// A beat was seen that the store had received at about `at` on the local clock.
    pub(crate) fn observe(&mut self, seq: u64, at: Time) {
        if let Some((last_seq, last_at)) = self.last {
            if seq == last_seq {
                return;
            }
            // Beats between two looks are not seen singly; their mean is what they had in common.
            let beats = seq.checked_sub(last_seq).filter(|n| *n <= WINDOW as u64);
            if let Some(beats) = beats.and_then(|n| u32::try_from(n).ok()) {
                self.intervals.push_back(at.since(last_at).as_secs_f64() / f64::from(beats));
                if self.intervals.len() > WINDOW {
                    self.intervals.pop_front();
                }
            }
        }
        self.last = Some((seq, at));
    }

    /// φ of the silence since the last beat; zero while too little is known.
    pub(crate) fn phi(&self, now: Time, beat: Duration) -> f64 {
        let (Some((_, last)), true) = (self.last, self.intervals.len() >= 3) else { return 0.0 };
        let count = self.intervals.iter().fold(0.0, |n, _| n + 1.0);
        let mean = self.intervals.iter().sum::<f64>() / count;
        let variance = self.intervals.iter().map(|i| (i - mean) * (i - mean)).sum::<f64>() / count;
        // A rhythm seen through looks of our own is never more regular than a quarter of a beat.
        let deviation = variance.sqrt().max(beat.as_secs_f64() / 4.0);
        let y = (now.since(last).as_secs_f64() - mean) / deviation;
        // The normal distribution's tail by a logistic approximation, stable far out where 1 − F would be zero.
        let exponent = y * (1.597_6 + 0.070_566 * y * y);
        if y > 0.0 {
            // log10(1 + e^x) for x large is x·log10(e); written so that e^x cannot overflow.
            (exponent + (-exponent).exp().ln_1p()) * std::f64::consts::LOG10_E
        } else {
            exponent.exp().ln_1p() * std::f64::consts::LOG10_E
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_secs(1);

    fn steady(beats: u64) -> (Rhythm, Time) {
        let mut rhythm = Rhythm::default();
        let mut at = Time::ZERO;
        for seq in 0..beats {
            at = Time::ZERO + BEAT * u32::try_from(seq).unwrap();
            rhythm.observe(seq, at);
        }
        (rhythm, at)
    }

    #[test]
    fn phi_is_low_on_time_and_grows_with_the_silence() {
        let (rhythm, last) = steady(20);
        let phi = |beats: f64| rhythm.phi(last + BEAT.mul_f64(beats), BEAT);
        assert!(phi(0.5) < 0.1);
        assert!(phi(1.0) < 0.5);
        assert!(phi(1.5) < phi(2.0) && phi(2.0) < phi(3.0));
        assert!(phi(3.0) > 8.0);
        assert!(phi(1e6).is_finite());
    }

    #[test]
    fn an_irregular_rhythm_is_given_more_time() {
        let (regular, at) = steady(20);
        let mut irregular = Rhythm::default();
        let mut t = Time::ZERO;
        for seq in 0..20 {
            t = t + BEAT.mul_f64(if seq % 2 == 0 { 0.3 } else { 1.7 });
            irregular.observe(seq, t);
        }
        assert!(irregular.phi(t + BEAT * 3, BEAT) < regular.phi(at + BEAT * 3, BEAT));
    }

    #[test]
    fn nothing_is_suspected_of_a_node_hardly_known() {
        let (rhythm, last) = steady(3);
        assert!(rhythm.phi(last + BEAT * 100, BEAT) < f64::EPSILON);
    }

    #[test]
    fn beats_that_were_not_seen_singly_do_not_look_like_a_slow_rhythm() {
        let mut rhythm = Rhythm::default();
        for look in 0..10_u32 {
            rhythm.observe(u64::from(look) * 5, Time::ZERO + BEAT * look * 5);
        }
        assert!(rhythm.phi(Time::ZERO + BEAT * 48, BEAT) > 8.0);
    }
}
