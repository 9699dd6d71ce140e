//! Three etcd servers, and something happens to the one that leads.

use crate::stage::{KEEPING, LAPSING, Stage, tokens};
use crate::stores::EtcdThree;

pub(crate) async fn a_killed_leader_costs_nobody_a_right() {
    let mut stage = Stage::<EtcdThree>::set(KEEPING).await;
    let before = stage.holds("a").await;
    stage.server(|three| {
        let leader = three.0.leader();
        three.0.member(leader).kill();
        three.0.leader_but(Some(leader));
    });
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

/// The others elect another; the paused one still believes that it leads when it goes on.
pub(crate) async fn a_paused_leader_costs_nobody_a_right_and_renews_nothing_when_it_is_back() {
    let mut stage = Stage::<EtcdThree>::set(KEEPING).await;
    let before = stage.holds("a").await;
    let mut leader = 0;
    stage.server(|three| {
        leader = three.0.leader();
        three.0.member(leader).pause();
        three.0.leader_but(Some(leader));
    });
    stage.are_renewed(&before).await;
    stage.server(|three| three.0.member(leader).resume());
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

/// A leader change makes etcd's leases longer: the store's slack says by how much.
pub(crate) async fn a_holder_killed_with_the_leader_is_replaced_within_the_declared_slack() {
    let mut stage = Stage::<EtcdThree>::set(LAPSING).await;
    let before = stage.holds("a").await;
    let bound = stage.bound().await;
    stage.kill("a");
    stage.server(|three| {
        let leader = three.0.leader();
        three.0.member(leader).kill();
    });
    stage.holds_above("b", bound, tokens(&before)).await;
    stage.judge();
}
