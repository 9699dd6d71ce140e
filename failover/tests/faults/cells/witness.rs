//! A node that is cut off, and a store that is away: told apart by a witness, a port that accepts connections or does not.

use std::net::TcpListener;
use std::time::Duration;

use failover::machine::{EventKind, Reason};
use failover_testing::proxy::Proxy;

use crate::node::Told;
use crate::resource::Record;
use crate::stage::{KEEPING, PATIENCE, Proxies, Stage, tokens};
use crate::stores::{Served, Sqlite, Store};

/// What stands between `a` and its store.
enum Between {
    Proxies(Proxies),
    /// Its process's own wrapper around a file.
    Wrapper,
}

impl Between {
    fn silence<S: Store>(&self, stage: &Stage<S>) {
        match self {
            Self::Proxies(proxies) => proxies.all(Proxy::black_hole),
            Self::Wrapper => stage.tell("a", Told::Silence),
        }
    }

    fn heal<S: Store>(&self, stage: &Stage<S>) {
        match self {
            Self::Proxies(proxies) => proxies.all(Proxy::heal),
            Self::Wrapper => stage.tell("a", Told::Heal),
        }
    }
}

pub(crate) async fn a_holder_that_is_cut_off_stands_down_long_before_its_right_is_over<S: Served>() {
    let (witness, address) = witness();
    let (stage, proxies) = Stage::<S>::set_with_proxies_and(KEEPING, Some(address)).await;
    stands_down(stage, Between::Proxies(proxies), witness).await;
}

pub(crate) async fn a_holder_that_is_cut_off_from_a_file_stands_down_long_before_its_right_is_over() {
    let (witness, address) = witness();
    stands_down(Stage::<Sqlite>::set_with(KEEPING, Some(address)).await, Between::Wrapper, witness).await;
}

pub(crate) async fn a_store_that_is_away_is_told_apart_and_costs_nobody_a_right<S: Served>() {
    let (witness, address) = witness();
    let (stage, proxies) = Stage::<S>::set_with_proxies_and(KEEPING, Some(address)).await;
    is_told_apart(stage, Between::Proxies(proxies), witness).await;
}

pub(crate) async fn a_file_that_is_away_is_told_apart_and_costs_nobody_a_right() {
    let (witness, address) = witness();
    is_told_apart(Stage::<Sqlite>::set_with(KEEPING, Some(address)).await, Between::Wrapper, witness).await;
}

/// Accepts connections until it is dropped.
fn witness() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, format!("tcp://{address}"))
}

async fn stands_down<S: Store>(stage: Stage<S>, between: Between, witness: TcpListener) {
    let before = stage.holds("a").await;
    let bound = stage.bound().await;
    drop(witness);
    between.silence(&stage);
    silent(&stage, Reason::CutOff).await;
    stage.are_over(&before).await;
    {
        let record = stage.resource.record();
        for tenure in record.works.values().flatten().filter(|tenure| tenure.node == "a") {
            let early = Duration::from_nanos(tenure.ends_at.saturating_sub(tenure.last));
            assert!(early > KEEPING.ttl / 3, "it stopped only {early:?} before the end of its right: {tenure:?}");
        }
    }
    between.heal(&stage);
    stage.anybody_holds_above(bound, tokens(&before)).await;
    stage.judge();
}

async fn is_told_apart<S: Store>(stage: Stage<S>, between: Between, _witness: TcpListener) {
    let before = stage.holds("a").await;
    between.silence(&stage);
    silent(&stage, Reason::StoreAway).await;
    between.heal(&stage);
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

async fn silent<S: Store>(stage: &Stage<S>, why: Reason) {
    let said = (EventKind::StoreSilent.to_string(), why.to_string());
    let is_so = |record: &Record| record.actors["a"].events.contains(&said).then_some(());
    stage.until(&format!("a says that {why}"), PATIENCE, is_so).await;
}
