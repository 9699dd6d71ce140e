use crate::time::Time;

const MILLION: u128 = 1_000_000;

/// One machine's clock: an origin and a rate of its own. True time is the store's.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalClock {
    origin: u64,
    /// How many millionths of a second pass here in a second of the store's.
    rate: u128,
}

impl LocalClock {
    /// A clock that runs `ppm` parts per million fast, or slow if that is negative.
    pub(super) fn new(origin: u64, ppm: i32) -> Self {
        let rate = i128::from(ppm) + 1_000_000;
        Self { origin, rate: rate.unsigned_abs() }
    }

    /// What it shows at this true moment.
    pub(super) fn at(&self, truth: Time) -> Time {
        Time::from_nanos(self.origin + narrow(u128::from(truth.as_nanos()) * self.rate / MILLION))
    }

    /// The first true moment at which it shows `local` or later.
    pub(super) fn when(&self, local: Time) -> Time {
        let since = u128::from(local.as_nanos().saturating_sub(self.origin));
        Time::from_nanos(narrow((since * MILLION).div_ceil(self.rate)))
    }
}

fn narrow(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_the_first_moment_that_shows_it() {
        for ppm in [-50_000, -1, 0, 7, 50_000] {
            let clock = LocalClock::new(123_456_789, ppm);
            for truth in [0, 1, 999_999_999, 77_777_777_777] {
                let local = clock.at(Time::from_nanos(truth));
                let when = clock.when(local);
                assert!(when <= Time::from_nanos(truth));
                assert_eq!(clock.at(when), local);
                assert!(when == Time::ZERO || clock.at(Time::from_nanos(when.as_nanos() - 1)) < local);
            }
        }
    }
}
