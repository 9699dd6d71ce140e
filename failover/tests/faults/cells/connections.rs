//! Connections that break, go silent, or lose what they carry, for one node only.

use failover_testing::proxy::Proxy;

use crate::stage::{KEEPING, LAPSING, Stage, tokens};
use crate::stores::Served;

pub(crate) async fn cut_connections_cost_nobody_a_right<S: Served>() {
    let (stage, proxies) = Stage::<S>::set_with_proxies(KEEPING).await;
    let before = stage.holds("a").await;
    for _ in 0..3 {
        proxies.all(Proxy::cut);
        stage.are_renewed(&before).await;
    }
    stage.judge_that_all_was_kept();
}

/// Nothing says that the old connections are dead; new ones work.
pub(crate) async fn half_open_connections_cost_nobody_a_right<S: Served>() {
    let (stage, proxies) = Stage::<S>::set_with_proxies(KEEPING).await;
    let before = stage.holds("a").await;
    proxies.all(Proxy::half_open);
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

pub(crate) async fn a_holder_in_a_black_hole_stops_by_itself_and_is_replaced<S: Served>() {
    let (stage, proxies) = Stage::<S>::set_with_proxies(LAPSING).await;
    let before = stage.holds("a").await;
    let bound = stage.bound().await;
    proxies.all(Proxy::black_hole);
    let after = stage.holds_above("b", bound, tokens(&before)).await;
    stage.are_over(&before).await;
    proxies.all(Proxy::heal);
    stage.stands_by("a").await;
    stage.are_renewed(&after).await;
    stage.judge();
}

pub(crate) async fn refused_connections_within_the_lease_cost_nobody_a_right<S: Served>() {
    let (stage, proxies) = Stage::<S>::set_with_proxies(KEEPING).await;
    let before = stage.holds("a").await;
    proxies.all(Proxy::refuse);
    stage.a_few_calls().await;
    proxies.all(Proxy::heal);
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

/// Each write is applied, and nobody is told.
pub(crate) async fn lost_replies_cost_nobody_a_right<S: Served>() {
    let (stage, proxies) = Stage::<S>::set_with_proxies(KEEPING).await;
    let before = stage.holds("a").await;
    for lose in [Proxy::lose_replies, Proxy::cut_replies] {
        proxies.all(lose);
        stage.a_few_calls().await;
        proxies.all(Proxy::heal);
        stage.are_renewed(&before).await;
    }
    stage.judge_that_all_was_kept();
}
