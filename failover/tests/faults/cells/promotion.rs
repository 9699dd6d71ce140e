//! A Redis replica that is made the primary, with and without the last write.

use failover::{ErrorKind, LeaseName};
use failover_testing::proxy::Proxy;
use failover_testing::redis;

use crate::stage::{KEEPING, LAPSING, PATIENCE, Stage, tokens};
use crate::stores::{RedisSentinel, Store};

/// Every grant was on the replica before it counted, so nothing is lost with the primary.
pub(crate) async fn a_killed_primary_costs_nobody_a_right() {
    let mut stage = Stage::<RedisSentinel>::set(KEEPING).await;
    let before = stage.holds("a").await;
    tokio::task::block_in_place(|| {
        let set = &mut stage.store.0;
        let primary = set.primary();
        set.server(primary).kill();
        set.wait_for_change(primary);
        // Until it is back, no replica can have a grant.
        set.server(primary).start_again();
    });
    stage.are_renewed(&before).await;
    stage.judge_that_all_was_kept();
}

/// A primary and a replica whose link can be cut, accepted by name although it may lose what it acknowledged.
pub(crate) struct Pair {
    primary: redis::Redis,
    replica: redis::Redis,
    link: Proxy,
    clients: Proxy,
}

impl Store for Pair {
    fn start() -> Self {
        let primary = redis::Redis::start();
        let (link, clients) = (Proxy::to_port(primary.port()), Proxy::to_port(primary.port()));
        let replica = redis::Redis::replica_of(link.port(), &[]);
        Self { primary, replica, link, clients }
    }

    fn url(&self) -> String {
        self.primary.url_at(self.clients.port())
    }

    fn wipe(&mut self) {
        self.primary.wipe();
    }
}

pub(crate) async fn a_replica_promoted_without_the_last_grant_stops_everyone_who_knows_of_it() {
    let mut stage = Stage::<Pair>::set(LAPSING).await;
    let before = stage.holds("a").await;
    // `b` is granted what the replica never hears of.
    stage.store.link.black_hole();
    stage.kill("a");
    let after = stage.holds_above("b", stage.bound().await, tokens(&before)).await;
    let handle = stage.open().await;
    handle.leases.current(&LeaseName::active()).await.expect("it has seen the last grant");
    tokio::task::block_in_place(|| {
        stage.store.primary.kill();
        stage.store.replica.command(&["REPLICAOF", "NO", "ONE"]);
        stage.store.clients.redirect(([127, 0, 0, 1], stage.store.replica.port()).into());
        stage.store.clients.cut();
    });
    let finish = stage.until("b ends", stage.healing(PATIENCE), |record| record.actors["b"].finish.clone()).await;
    assert_eq!(finish, "StoreChanged");
    stage.are_over(&after).await;
    let asked = async {
        loop {
            match handle.leases.current(&LeaseName::active()).await {
                Err(e) if e.is_retryable() => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                other => return other,
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, asked).await.expect("it answers again").expect_err("it fails closed");
    assert_eq!(told.kind(), ErrorKind::StoreChanged, "{told}");
    stage.judge();
}
