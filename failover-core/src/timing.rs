//! How fast: one checked set of durations, from which every other moment is derived.

use std::time::Duration;

use crate::error::Invalid;
use crate::time::Time;

/// The durations a cluster runs by. All nodes of a cluster use the same.
///
/// Its inequalities hold for every value of this type, because there is no other way to get one than
/// [`TimingBuilder::build`]:
///
/// - `beat × 3 ≤ ttl`: two beats in a row may be lost.
/// - `call ≤ ttl / 3`: one hung call never uses up a right (law 9).
/// - `ttl × (1 − drift) − margin − grace ≥ beat + call`: a holder has time for a renewal, and for one that hangs,
///   before it has to begin stopping its work.
/// - `missing ≥ 2 × beat`: one late beat is not an absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    beat: Duration,
    ttl: Duration,
    call: Duration,
    missing: Duration,
    drift_ppm: u32,
    margin: Duration,
    grace: Duration,
    stagger: Duration,
}

impl Default for Timing {
    /// Heartbeat 1 s, lease 5 s.
    fn default() -> Self {
        Self::derive(Duration::from_secs(1), Duration::from_secs(5))
    }
}

impl Timing {
    /// The timing with this heartbeat and this lease, everything else derived from them.
    ///
    /// # Errors
    /// [`Invalid`] names the inequality that is violated.
    pub fn new(beat: Duration, ttl: Duration) -> Result<Self, Invalid> {
        Self::builder(beat, ttl).build()
    }

    /// The same, with every other duration open to change.
    pub fn builder(beat: Duration, ttl: Duration) -> TimingBuilder {
        TimingBuilder(Self::derive(beat, ttl))
    }

    /// This timing at another heartbeat and ttl: whatever else was set keeps its proportion to the ttl, and the assumed drift stays.
    ///
    /// # Errors
    /// [`Invalid`] names the inequality that is violated.
    pub fn at_pace(&self, beat: Duration, ttl: Duration) -> Result<Self, Invalid> {
        let scaled = |part: Duration| {
            let nanos = part.as_nanos() * ttl.as_nanos() / self.ttl.as_nanos().max(1);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let timing = Self {
            beat,
            ttl,
            call: scaled(self.call),
            missing: scaled(self.missing),
            drift_ppm: self.drift_ppm,
            margin: scaled(self.margin),
            grace: scaled(self.grace),
            stagger: scaled(self.stagger),
        };
        TimingBuilder(timing).build()
    }

    fn derive(beat: Duration, ttl: Duration) -> Self {
        Self {
            beat,
            ttl,
            call: ttl / 4,
            missing: ttl,
            drift_ppm: 50_000,
            margin: ttl / 20,
            grace: ttl / 10,
            stagger: ttl / 25,
        }
    }

    /// InTrust's: a ping a minute, a server silent for three of them is down.
    pub fn intrust() -> Self {
        Self::derive(Duration::from_mins(1), Duration::from_mins(3))
    }

    /// Elipse Hot-Standby's: the standby takes over immediately, here within about a second.
    pub fn elipse() -> Self {
        Self::derive(Duration::from_millis(250), Duration::from_secs(1))
    }

    /// Opalis's: an Action Server or policy unseen for 45 s is missing.
    pub fn opalis() -> Self {
        Self::derive(Duration::from_secs(15), Duration::from_secs(45))
    }

    /// Jetro `CockpIT` SRS's: the passive server looks after its active one every ten seconds.
    pub fn jetro() -> Self {
        Self::derive(Duration::from_secs(10), Duration::from_secs(30))
    }

    /// Between two heartbeats, two looks at the others and two renewals.
    pub fn beat(&self) -> Duration {
        self.beat
    }

    /// How long a lease lasts by the store's clock unless it is renewed.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The deadline of one store call, after which its outcome is unknown.
    pub fn call(&self) -> Duration {
        self.call
    }

    /// A node whose last heartbeat is this old is missing. Advice: only its lapsed lease lets anybody act on it (law 11).
    pub fn missing(&self) -> Duration {
        self.missing
    }

    /// The most that this machine's clock may run slower than the store's, in parts per million.
    pub fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }

    /// By how much a holder stops short of its lease's end.
    pub fn margin(&self) -> Duration {
        self.margin
    }

    /// How long before its right ends a holder begins to stop its work.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// The head start of each candidate for a free lease over the next in line.
    pub fn stagger(&self) -> Duration {
        self.stagger
    }

    /// How long a right lasts on the holder's clock, counted from before its grant or renewal was sent:
    /// `ttl × (1 − drift) − margin` (law 4). A store may grant less than was asked for; `granted` is what it granted.
    pub fn right(&self, granted: Duration) -> Duration {
        let slow = granted.as_nanos() * u128::from(self.drift_ppm) / 1_000_000;
        let slow = Duration::from_nanos(u64::try_from(slow).unwrap_or(u64::MAX));
        granted.saturating_sub(slow).saturating_sub(self.margin)
    }

    /// When a right that was asked for at `sent` ends on the holder's clock.
    pub fn ends_at(&self, sent: Time, granted: Duration) -> Time {
        sent + self.right(granted)
    }

    /// How long a released lease stays reserved for a named successor: a third of its ttl.
    pub fn reservation(ttl: Duration) -> Duration {
        ttl / 3
    }
}

/// Changes single durations of a [`Timing`]; [`build`](Self::build) checks them against one another.
#[derive(Debug, Clone, Copy)]
pub struct TimingBuilder(Timing);

impl TimingBuilder {
    /// Sets the deadline of one store call. Default: `ttl / 4`.
    pub fn call(mut self, call: Duration) -> Self {
        self.0.call = call;
        self
    }

    /// Sets the age at which a heartbeat means that its node is missing. Default: `ttl`.
    pub fn missing(mut self, missing: Duration) -> Self {
        self.0.missing = missing;
        self
    }

    /// Sets the assumed clock drift, in parts per million. Default: 50 000, which is 5 %.
    pub fn drift_ppm(mut self, ppm: u32) -> Self {
        self.0.drift_ppm = ppm;
        self
    }

    /// Sets the safety margin at the end of a lease. Default: `ttl / 20`.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.0.margin = margin;
        self
    }

    /// Sets how long before its right ends a holder begins to stop. Default: `ttl / 10`.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.0.grace = grace;
        self
    }

    /// Sets the head start between candidates. Default: `ttl / 25`.
    pub fn stagger(mut self, stagger: Duration) -> Self {
        self.0.stagger = stagger;
        self
    }

    /// Checks every inequality.
    ///
    /// # Errors
    /// [`Invalid`] names the field, its value and the rule it breaks.
    pub fn build(self) -> Result<Timing, Invalid> {
        let t = self.0;
        let rule = |holds: bool, field: &str, value: String, rule: String| {
            if holds { Ok(()) } else { Err(Invalid::new(field, value, rule)) }
        };
        let shown = |d: Duration| format!("{d:?}");
        rule(t.beat >= Duration::from_millis(1), "beat", shown(t.beat), "it must be at least 1ms".into())?;
        rule(t.ttl <= Duration::from_hours(24), "ttl", shown(t.ttl), "it must be at most a day".into())?;
        rule(
            t.beat.saturating_mul(3) <= t.ttl,
            "beat",
            shown(t.beat),
            format!("three beats must fit into the ttl of {:?}", t.ttl),
        )?;
        rule(!t.call.is_zero(), "call", shown(t.call), "it must be longer than nothing".into())?;
        rule(
            t.call <= t.ttl / 3,
            "call",
            shown(t.call),
            format!("a call's deadline must be at most a third of the ttl of {:?}", t.ttl),
        )?;
        rule(
            t.missing >= t.beat.saturating_mul(2),
            "missing",
            shown(t.missing),
            format!("it must be at least two beats of {:?}", t.beat),
        )?;
        rule(t.drift_ppm < 500_000, "drift", format!("{} ppm", t.drift_ppm), "it must be below 500000 ppm".into())?;
        let working = t.right(t.ttl).saturating_sub(t.grace);
        rule(
            working >= t.beat + t.call,
            "ttl",
            shown(t.ttl),
            format!(
                "after drift ({} ppm), margin ({:?}) and grace ({:?}) it leaves {working:?}, \
                 and one beat ({:?}) and one call ({:?}) must fit into that",
                t.drift_ppm, t.margin, t.grace, t.beat, t.call
            ),
        )?;
        Ok(t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_preset_keeps_the_inequalities() {
        for t in [Timing::default(), Timing::intrust(), Timing::elipse(), Timing::opalis(), Timing::jetro()] {
            assert_eq!(TimingBuilder(t).build(), Ok(t));
        }
    }

    #[test]
    fn an_error_names_field_value_and_rule() {
        let e = Timing::new(Duration::from_secs(2), Duration::from_secs(5)).unwrap_err();
        assert_eq!(e.to_string(), "beat is `2s`: three beats must fit into the ttl of 5s");
        let e = Timing::builder(Duration::from_secs(1), Duration::from_secs(6)).call(Duration::from_secs(3)).build();
        assert_eq!(e.unwrap_err().field, "call");
    }

    #[test]
    fn another_pace_keeps_the_proportions_and_the_drift() {
        let second = Duration::from_secs(1);
        assert_eq!(Timing::default().at_pace(second * 2, second * 10), Timing::new(second * 2, second * 10));
        let own = Timing::builder(second, second * 10).drift_ppm(100_000).margin(second).build().unwrap();
        let fast = own.at_pace(second / 5, second * 2).unwrap();
        assert_eq!((fast.drift_ppm(), fast.margin()), (100_000, second / 5));
        assert_eq!(fast.at_pace(second, second * 10), Ok(own));
        assert_eq!(own.at_pace(second, second * 2).unwrap_err().field, "beat");
    }

    #[test]
    fn a_right_is_shorter_than_its_lease() {
        let t = Timing::default();
        assert_eq!(t.right(t.ttl()), Duration::from_millis(4500));
        assert_eq!(t.right(Duration::ZERO), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_slow_clock_within_the_drift_never_outlives_the_lease(
            ttl in 30_u64..60_000, ppm in 0_u32..499_999, slow in 0_u32..499_999,
        ) {
            prop_assume!(slow <= ppm);
            let ttl = Duration::from_millis(ttl);
            let t = TimingBuilder(Timing { drift_ppm: ppm, ..Timing::derive(ttl / 10, ttl) }).0;
            // What the right lasts by the store's clock if the holder's runs `slow` ppm slower than it.
            let real = t.right(ttl).as_nanos() * 1_000_000 / u128::from(1_000_000 - slow);
            prop_assert!(real <= ttl.as_nanos());
        }
    }
}
