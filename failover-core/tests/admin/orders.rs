//! What an operator asks for once, answered by the hand of a test.

use failover_core::admin::OrderError;
use failover_core::control::{self, Errand, Order, OrderPhase, Orders};
use failover_core::job::FailoverPolicy;
use failover_core::memory::MemoryStore;
use failover_core::state::Expect;
use failover_core::{Admin, Capacity, StateStore, record};

use crate::{LONG, SHORT, active, id, job, node, pinned, policy, seen, with};

async fn orders(store: &MemoryStore) -> Vec<Order> {
    let Some(document) = store.get(&control::orders_key()).await.unwrap() else { return Vec::new() };
    let orders: Orders = record::decode("test", "orders", &document.value).unwrap();
    orders.orders.into_values().collect()
}

/// Waits for an order, and answers it as the active node would.
async fn answer(store: &MemoryStore, phase: OrderPhase, reason: Option<&str>) {
    let key = control::orders_key();
    loop {
        if let Some(document) = store.get(&key).await.unwrap() {
            let mut orders: Orders = record::decode("test", "orders", &document.value).unwrap();
            if let Some(order) = orders.orders.values_mut().find(|order| order.phase == OrderPhase::Requested) {
                (order.phase, order.reason) = (phase, reason.map(Into::into));
                let value = record::encode("test", &orders).unwrap();
                store.put(&key, value.as_bytes(), Expect::Version(document.version), None).await.unwrap();
                return;
            }
        }
        StateStore::changed(store, &key).await.unwrap();
    }
}

async fn stage() -> (MemoryStore, Admin) {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    for name in ["a", "b"] {
        seen(&store, name, Capacity::default()).await;
    }
    active(&store, "a").await;
    admin.submit(&job("j")).await.unwrap();
    (store, admin)
}

#[tokio::test]
async fn an_order_ends_as_the_active_node_says() {
    let (store, admin) = stage().await;
    let (job, to) = (id("j"), node("b"));
    let (done, ()) =
        tokio::join!(admin.move_job(&job, &to, LONG), answer(&store, OrderPhase::Done, Some("it runs there")));
    let done = done.unwrap();
    assert_eq!((done.phase, done.reason.as_deref()), (OrderPhase::Done, Some("it runs there")));
    assert_eq!(done.what, Errand::Move { job: job.clone(), to: to.clone() });

    let answered = answer(&store, OrderPhase::Refused, Some("it is full"));
    let (refused, ()) = tokio::join!(admin.failback(&to, LONG), answered);
    let error = refused.unwrap_err();
    assert!(matches!(&error, OrderError::Refused { reason } if reason == "it is full"), "{error}");
    assert_eq!(admin.orders().await.unwrap().orders.len(), 2);
}

#[tokio::test]
async fn what_can_be_told_to_be_wrong_is_refused_at_once_and_says_what_to_do() {
    let (store, admin) = stage().await;
    admin.submit(&with("never", policy(|policy| policy.failover = FailoverPolicy::Never))).await.unwrap();
    admin.submit(&with("pinned", pinned(&["a"]))).await.unwrap();
    let refused = async |job: &str, to: &str| admin.move_job(&id(job), &node(to), LONG).await.unwrap_err();
    let error = refused("nothing", "b").await;
    assert!(matches!(error, OrderError::NoJob { .. }) && error.to_string().contains("list the jobs"), "{error}");
    let error = refused("j", "x").await;
    assert!(matches!(error, OrderError::NoNode(_)) && error.to_string().contains("known: a, b"), "{error}");
    for (job, rule) in [("never", "change its failover policy first"), ("pinned", "change its pins first")] {
        let error = refused(job, "b").await;
        assert!(matches!(error, OrderError::Forbidden { .. }) && error.to_string().contains(rule), "{error}");
    }
    let error = admin.failback(&node("x"), LONG).await.unwrap_err();
    assert!(matches!(error, OrderError::NoNode(_)), "{error}");
    assert_eq!(orders(&store).await, []);
}

#[tokio::test]
async fn without_an_active_node_nobody_is_asked() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    seen(&store, "a", Capacity::default()).await;
    let error = admin.failback(&node("a"), LONG).await.unwrap_err();
    assert!(matches!(error, OrderError::NoActive), "{error}");
    assert_eq!(orders(&store).await, []);
}

#[tokio::test]
async fn an_order_nobody_begins_is_withdrawn_and_one_that_has_begun_goes_on() {
    let (store, admin) = stage().await;
    let error = admin.failback(&node("b"), SHORT).await.unwrap_err();
    assert!(matches!(error, OrderError::TimedOut { phase: OrderPhase::Requested }), "{error}");
    let withdrawn = orders(&store).await.remove(0);
    assert_eq!(withdrawn.phase, OrderPhase::Refused);
    assert!(withdrawn.reason.unwrap().contains("withdrawn"));

    let to = node("b");
    let (late, ()) = tokio::join!(admin.failback(&to, SHORT), answer(&store, OrderPhase::Started, None));
    let error = late.unwrap_err();
    assert!(matches!(error, OrderError::TimedOut { phase: OrderPhase::Started }), "{error}");
    assert_eq!(orders(&store).await[1].phase, OrderPhase::Started);
}

#[tokio::test]
async fn orders_given_at_the_same_time_do_not_lose_each_other() {
    let (store, admin) = stage().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let admin = admin.clone();
        tasks.spawn(async move { admin.failback(&node("b"), LONG).await });
    }
    for _ in 0..8 {
        answer(&store, OrderPhase::Done, None).await;
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    assert_eq!(orders(&store).await.len(), 8);
}
