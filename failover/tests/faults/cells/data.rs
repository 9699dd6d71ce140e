//! Data that is gone.

use failover::{ErrorKind, LeaseName};

use crate::stage::{LAPSING, PATIENCE, Stage, tokens};
use crate::stores::Store;

pub(crate) async fn a_wiped_store_stops_every_node_and_goes_on_above_the_floor<S: Store>() {
    let mut stage = Stage::<S>::set(LAPSING).await;
    let before = stage.holds("a").await;
    let handle = stage.open().await;
    handle.leases.current(&LeaseName::active()).await.expect("it knows the store");
    tokio::task::block_in_place(|| stage.store.wipe());
    for node in ["a", "b"] {
        let what = format!("{node} ends");
        let finish = stage.until(&what, stage.healing(PATIENCE), |record| record.actors[node].finish.clone()).await;
        assert_eq!(finish, "StoreChanged", "{node}");
    }
    stage.are_over(&before).await;
    let told = handle.leases.current(&LeaseName::active()).await.expect_err("it fails closed");
    assert_eq!(told.kind(), ErrorKind::StoreChanged, "{told}");
    // An operator who knows how high the tokens were goes on above them.
    let floor = tokens(&before).into_iter().max().expect("two") + 1000;
    stage.option = Some(format!("term_floor={floor}"));
    stage.submit().await;
    stage.enter("a", &[]).await;
    let above = [floor, if S::WIPES_JOBS { floor } else { before[1].token }];
    stage.holds_above("a", stage.bound().await, above).await;
    stage.judge();
}
