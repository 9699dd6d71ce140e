//! Nodes that are killed, paused, or have the wrong time of day.

use std::process::Command;

use crate::node::Told;
use crate::stage::{KEEPING, LAPSING, PATIENCE, Stage, tokens};
use crate::stores::Store;

pub(crate) async fn a_killed_holder_is_replaced<S: Store>() {
    let mut stage = Stage::<S>::set(LAPSING).await;
    let before = stage.holds("a").await;
    let bound = stage.bound().await;
    stage.kill("a");
    stage.holds_above("b", bound, tokens(&before)).await;
    // And back: who was killed is a new member, and stands by.
    stage.enter("a", &[]).await;
    stage.stands_by("a").await;
    stage.judge();
}

pub(crate) async fn a_holder_paused_longer_than_its_lease_is_replaced_and_its_late_write_is_refused<S: Store>() {
    let stage = Stage::<S>::set(LAPSING).await;
    let before = stage.holds("a").await;
    let bound = stage.bound().await;
    // Between its check and its write: nothing but the resource can refuse what comes after that.
    stage.tell("a", Told::Hold);
    stage.until("a has checked its right", PATIENCE, |record| record.actors["a"].held.then_some(())).await;
    stage.pause("a");
    let after = stage.holds_above("b", bound, tokens(&before)).await;
    stage.tell("a", Told::Go);
    stage.resume("a");
    let late = ("active".to_owned(), "a".to_owned(), before[0].token);
    stage.until("its late write is refused", PATIENCE, |record| record.refused.contains(&late).then_some(())).await;
    // It notices by itself, joins anew and stands by. Nobody's work is disturbed by that.
    stage.are_over(&before).await;
    stage.stands_by("a").await;
    stage.are_renewed(&after).await;
    stage.judge();
}

pub(crate) async fn a_wall_clock_an_hour_off_changes_nothing<S: Store>() {
    let (fast, slow) = (off_by("+3600"), off_by("-3600"));
    let mut stage = Stage::<S>::empty(KEEPING).await;
    stage.enter("a", &fast).await;
    let before = stage.holds("a").await;
    stage.enter("b", &slow).await;
    stage.stands_by("b").await;
    let (a, b, here) = {
        let record = stage.resource.record();
        (record.actors["a"].wall, record.actors["b"].wall, crate::node::wall())
    };
    assert!(a > here + 3000 && b < here - 3000, "their clocks are off: {a} {b} {here}");
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

/// The environment that makes a process's wall clock wrong by so many seconds, and leaves the clocks that count time alone.
fn off_by(seconds: &str) -> Vec<(String, String)> {
    // The wrapper stays the parent of what it starts, which then could not be killed: only its environment is of use.
    let asked = Command::new("faketime").args(["-m", "--exclude-monotonic", "-f", seconds, "env"]).output();
    let asked =
        asked.unwrap_or_else(|e| panic!("faketime cannot be started ({e}); on Debian: apt-get install faketime"));
    let text = String::from_utf8(asked.stdout).expect("text");
    let mine = |name: &str| name == "LD_PRELOAD" || (name.contains("FAKE") && name != "FAKETIME_SHARED");
    let variables = text.lines().filter_map(|line| line.split_once('='));
    variables.filter(|(name, _)| mine(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
