//! What looks after machines: guards, and fencers.

use std::time::Duration;

use super::super::plan::{Act, FencerPlan, GuardPlan, Setup, Weather};
use super::{Rng, Timing, target};

/// Guards, and hosts that die under them: soon back, or not.
pub(super) fn guards(rng: &mut Rng, setup: &mut Setup, heals: Duration, acts: &mut Vec<(Duration, Act)>) {
    if !rng.percent(40) {
        return;
    }
    let late = if rng.percent(50) { 0 } else { rng.below(60) };
    let slow = if rng.percent(70) { rng.millis(1, 10) } else { rng.millis(10, 7_000) };
    setup.guards = Some(GuardPlan { late, notices: (Duration::from_micros(200), slow), again: rng.below(3) });
    for _ in 0..=rng.below(3) {
        let back = rng.percent(80).then(|| if rng.percent(60) { rng.millis(1, 300) } else { rng.millis(300, 6_000) });
        acts.push((rng.between(Duration::from_secs(1), heals), Act::Crash(target(rng, &setup.nodes), back)));
    }
}

/// Fencers, and machines that stand still or are cut off from the store for long enough to be switched off. Others are missed well before their leases lapse then.
pub(super) fn fencers(rng: &mut Rng, setup: &mut Setup, heals: Duration, acts: &mut Vec<(Duration, Act)>) {
    if !rng.percent(35) {
        return;
    }
    let slow = if rng.percent(60) { rng.millis(20, 400) } else { rng.millis(400, 5_000) };
    let refuses = if rng.percent(60) { 0 } else { 10 + rng.below(80) };
    let silent = if rng.percent(70) { 0 } else { rng.below(50) };
    setup.fencers = Some(FencerPlan { takes: (Duration::from_millis(10), slow), refuses, silent, restarts: 70 });
    let missing = rng.millis(2_000, 3_200);
    let timing = Timing::builder(setup.timing.beat(), setup.timing.ttl()).missing(missing).build();
    setup.timing = timing.unwrap_or_else(|e| unreachable!("{e}"));
    for pace in [&mut setup.slowest, &mut setup.quickest] {
        let timing = setup.timing.at_pace(pace.beat(), pace.ttl());
        *pace = timing.unwrap_or_else(|e| unreachable!("{e}"));
    }
    for _ in 0..=rng.below(3) {
        let (whom, lasts) = (target(rng, &setup.nodes), rng.millis(2_000, 9_000));
        let act = match rng.below(4) {
            0 | 1 => Act::Pause(whom, lasts),
            2 => Act::Weather(Some(whom), lasts, Weather::Hanging { applied: rng.below(101) }),
            _ => Act::Crash(whom, Some(lasts)),
        };
        acts.push((rng.between(Duration::from_secs(2), heals), act));
    }
}
