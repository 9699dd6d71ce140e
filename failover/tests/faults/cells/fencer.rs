//! Nodes that stand still with long leases, and a standby whose host can end their processes for good.

use std::time::Duration;

use crate::node::{Pace, Told};
use crate::stage::{PATIENCE, Stage, tokens};
use crate::stores::Store;

/// A lease so long that it cannot lapse while anything is waited for.
const ENDLESS: Pace =
    Pace { beat: Duration::from_millis(500), ttl: Duration::from_secs(150), call: Duration::from_secs(1) };

/// One that is long, and is waited for.
const LONG: Pace =
    Pace { beat: Duration::from_millis(500), ttl: Duration::from_secs(30), call: Duration::from_secs(1) };

/// `a` stands still, without a call to the store under way, and `b` has a fencer that runs this with the number of `a`'s process behind it.
async fn stopped<S: Store>(pace: Pace, script: &str) -> Stage<S> {
    let mut stage = Stage::<S>::empty(pace).await;
    stage.enter("a", &[]).await;
    stage.holds("a").await;
    let process = stage.resource.record().actors["a"].process.to_string();
    stage.fencer = Some(["sh", "-c", script, "fencer", &process].map(str::to_owned).into());
    stage.enter("b", &[]).await;
    stage.stands_by("b").await;
    stage.tell("a", Told::Hold);
    stage.until("a has checked its right", PATIENCE, |record| record.actors["a"].held.then_some(())).await;
    stage.pause("a");
    stage
}

fn told(stage: &Stage<impl Store>, kind: &str) -> usize {
    stage.resource.record().actors["b"].events.iter().filter(|(told, _)| told == kind).count()
}

pub(crate) async fn a_stopped_holder_whose_process_is_ended_for_good_is_replaced_long_before_its_lease_lapses<
    S: Store,
>() {
    // Confirmed once the kernel has it as dead: gone, or waiting for its parent to notice.
    let script = r#"kill -9 "$1"; while grep -qs '^State:.[^ZX]' "/proc/$1/status"; do sleep 0.01; done"#;
    let stage = stopped::<S>(ENDLESS, script).await;
    let before = stage.resource.record().works["active"][0].clone();
    let after = stage.holds_above("b", PATIENCE, [before.token, 0]).await;
    assert!(after[0].first < before.ends_at, "it waited for the lease to lapse");
    assert!(told(&stage, "fencing_confirmed") == 1, "{:#?}", stage.resource.record());
    stage.judge();
}

pub(crate) async fn a_stopped_holder_that_the_fencer_refuses_to_end_is_replaced_not_before_its_lease_lapses<
    S: Store,
>() {
    let stage = stopped::<S>(LONG, "echo 'no such outlet'; exit 1").await;
    let before = {
        let record = stage.resource.record();
        ["active", "job/j"].map(|work| record.works[work][0].clone())
    };
    let after = stage.holds_above("b", stage.bound().await, tokens(&before)).await;
    for (before, after) in before.iter().zip(&after) {
        assert!(after.first > before.ends_at, "its right was broken: {before:?} {after:?}");
    }
    assert!(told(&stage, "fencing_refused") > 0, "{:#?}", stage.resource.record());
    stage.judge();
}
