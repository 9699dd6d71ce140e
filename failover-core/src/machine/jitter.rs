//! Spread without randomness: the machine must stay deterministic, yet no two nodes may retry in step (law 17).

use std::time::Duration;

use crate::ids::Member;

/// A fixed sequence of spreads, another for each member.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn of(member: &Member) -> Self {
        let bits = member.incarnation.as_u128();
        let name = member.node.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed in")]
        Self(name ^ (bits as u64) ^ ((bits >> 64) as u64))
    }

    /// A duration between half of `most` and `most`.
    pub(crate) fn upto(&mut self, most: Duration) -> Duration {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = u32::try_from((z ^ (z >> 31)) >> 48).unwrap_or(0);
        most / 2 + (most / 2) * share / 65_536
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, NodeId};

    #[test]
    fn spreads_stay_in_their_half_and_differ_between_members() {
        let of = |i| Jitter::of(&Member::new(NodeId::new("a").unwrap(), Incarnation::from_u128(i)));
        let draw = |mut j: Jitter| (0..100).map(|_| j.upto(Duration::from_secs(1))).collect::<Vec<_>>();
        assert!(draw(of(1)).iter().all(|d| (500..=1000).contains(&d.as_millis())));
        assert_eq!(draw(of(1)), draw(of(1)));
        assert_ne!(draw(of(1)), draw(of(2)));
    }
}
