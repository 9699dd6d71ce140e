use std::time::Duration;

/// A small generator whose sequence never changes between versions, so that a seed in an old report still replays:
/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub(in crate::testkit) struct Rng(u64);

impl Rng {
    pub(in crate::testkit) fn new(seed: u64) -> Self {
        let mut rng = Self(seed ^ 0x5851_F42D_4C95_7F2D);
        rng.next();
        rng
    }

    pub(in crate::testkit) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; zero for an empty range.
    pub(in crate::testkit) fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    pub(in crate::testkit) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    pub(in crate::testkit) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(in crate::testkit) fn between(&mut self, from: Duration, upto: Duration) -> Duration {
        let span = u64::try_from(upto.saturating_sub(from).as_nanos()).unwrap_or(u64::MAX);
        from + Duration::from_nanos(self.below(span.max(1)))
    }

    pub(in crate::testkit) fn millis(&mut self, from: u64, upto: u64) -> Duration {
        self.between(Duration::from_millis(from), Duration::from_millis(upto))
    }

    pub(in crate::testkit) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.index(i + 1);
            items.swap(i, j);
        }
    }
}
