//! A host that says that it is ill, and one that says nothing any more.

use std::time::Duration;

use failover::Admin;
use failover::control::HoldOff;
use failover::machine::{EventKind, Reason};

use crate::node::Told;
use crate::resource::{Record, Tenure};
use crate::stage::{KEEPING, PATIENCE, Stage};
use crate::stores::Store;

/// Longer than any cell lasts.
const HOLD_OFF: Duration = Duration::from_mins(30);

/// How long a host may be silent: a starved machine is not to pass for one that hangs.
const LIMIT: Duration = Duration::from_secs(8);

pub(crate) async fn a_failure_moves_the_role_once_and_not_to_and_fro<S: Store>() {
    let stage = Stage::<S>::set(KEEPING).await;
    let hold = |settings: &mut failover::control::Settings| {
        settings.hold_off = HoldOff(HOLD_OFF);
        Ok(())
    };
    Admin::new(stage.open().await).reconfigure(hold).await.expect("the settings are changed");
    let before = acts(&stage, "a", 0).await;

    stage.tell("a", Told::Fail("disk".into(), 10));
    let after = acts(&stage, "b", before.token).await;
    stage.stands_by("a").await;
    // Now `a` is in better health, and the role stays all the same.
    stage.tell("b", Told::Fail("line".into(), 20));
    reported(&stage, "b", EventKind::FailureReported).await;
    stage.a_few_calls().await;
    still_acts(&stage, &after).await;
    // And when all is well again nobody takes it back.
    stage.tell("b", Told::Clear("line".into()));
    stage.tell("a", Told::Clear("disk".into()));
    reported(&stage, "a", EventKind::FailureCleared).await;
    reported(&stage, "b", EventKind::FailureCleared).await;
    stage.a_few_calls().await;
    still_acts(&stage, &after).await;

    stage.judge();
    let record = stage.resource.record();
    let asked = EventKind::ReliefRequested.to_string();
    let asked = record.actors.values().flat_map(|actor| &actor.events).filter(|(kind, _)| *kind == asked).count();
    assert_eq!((asked, record.works["active"].len()), (1, 2), "{record:#?}");
}

pub(crate) async fn a_host_that_hangs_loses_the_role_and_may_stand_by_again<S: Store>() {
    let stage = Stage::<S>::set_watched(KEEPING, LIMIT).await;
    let before = acts(&stage, "a", 0).await;
    stage.tell("a", Told::Starve);
    let why = ("role_changed".to_owned(), Reason::HostHung.to_string());
    let lost = |record: &Record| record.actors["a"].events.contains(&why).then_some(());
    stage.until("a loses the role, because its host hangs", LIMIT + PATIENCE, lost).await;
    let after = acts(&stage, "b", before.token).await;
    let over = |record: &Record| record.works["active"].iter().find(|tenure| tenure.over).cloned();
    let tenure = stage.until("a says that its right is over", PATIENCE, over).await;
    let early = Duration::from_nanos(tenure.ends_at.saturating_sub(after.first));
    assert_eq!((tenure.node.as_str(), tenure.token), ("a", before.token));
    assert!(early > KEEPING.ttl / 3, "b waited for the lease's lapse: {early:?}, {tenure:?}");
    // It takes no role while it is not fed.
    stage.a_few_calls().await;
    assert_eq!(stage.resource.record().role("a"), Some("inactive"));
    stage.tell("a", Told::Feed);
    stage.stands_by("a").await;
    still_acts(&stage, &after).await;
    stage.judge();
    assert_eq!(stage.resource.record().works["active"].len(), 2, "the role has passed once");
}

/// Waits until this node acts as the active one under a token above `above`.
async fn acts<S: Store>(stage: &Stage<S>, node: &str, above: u64) -> Tenure {
    let within = stage.healing(Duration::ZERO);
    let what = format!("{node} is active under a token above {above}");
    let acts = |record: &Record| record.held_by("active", node).filter(|tenure| tenure.token > above).cloned();
    stage.until(&what, within, acts).await
}

/// Waits until the same right was renewed by a call that was sent from now on.
async fn still_acts<S: Store>(stage: &Stage<S>, tenure: &Tenure) {
    let timing = stage.pace.timing();
    let renewed = crate::node::now() + u64::try_from(timing.right(timing.ttl()).as_nanos()).expect("a short time");
    stage
        .until("the same right is renewed", stage.healing(Duration::ZERO), |record| {
            let there = record.held_by("active", &tenure.node);
            assert_eq!(there.map(|there| there.token), Some(tenure.token), "its right was lost: {record:#?}");
            there.filter(|there| there.ends_at >= renewed).map(|_| ())
        })
        .await;
}

async fn reported<S: Store>(stage: &Stage<S>, node: &str, kind: EventKind) {
    let kind = kind.to_string();
    let is_so = |record: &Record| record.actors[node].events.iter().any(|(told, _)| *told == kind).then_some(());
    stage.until(&format!("{node} tells {kind}"), PATIENCE, is_so).await;
}
