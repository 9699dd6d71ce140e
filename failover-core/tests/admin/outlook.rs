//! Why jobs are where they are, and what would follow if something changed.

use std::collections::BTreeMap;

use failover_core::admin::What;
use failover_core::control::StrategyName;
use failover_core::job::JobStatus;
use failover_core::memory::MemoryStore;
use failover_core::plan::{Candidate, Decision, Demand, State, Strategy, Verdict};
use failover_core::{Admin, Capacity, ErrorKind, NodeId};

use crate::support::node;
use crate::{LONG, active, broken, id, job, pinned, place, policy, report, seen, with};

/// Two nodes of two jobs each: `1` and `2` run on a, `3` on b, `bound` has to wait for a.
async fn stage() -> (MemoryStore, Admin) {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    for name in ["a", "b"] {
        seen(&store, name, Capacity::of(2).unwrap()).await;
    }
    let fence = active(&store, "a").await;
    for (name, to) in [("1", "a"), ("2", "a"), ("3", "b")] {
        admin.submit(&job(name)).await.unwrap();
        place(&store, &fence, name, to).await;
        report(&store, name, to, 1, JobStatus::Running).await;
    }
    admin.submit(&with("bound", pinned(&["a"]))).await.unwrap();
    (store, admin)
}

/// The moves in short: `job from>to`.
fn told(decisions: &[Decision]) -> Vec<String> {
    let name = |node: &Option<NodeId>| node.as_ref().map_or("-", NodeId::as_str).to_owned();
    let one = |d: &Decision| format!("{} {}>{}", d.mv.job, name(&d.from), name(&d.to));
    decisions.iter().map(one).collect()
}

fn added(capacity: u32) -> What {
    What::IfAdded { node: node("c"), capacity: Capacity::of(capacity).unwrap(), labels: BTreeMap::new() }
}

#[tokio::test]
async fn a_job_that_waits_says_why_node_by_node() {
    let (_, admin) = stage().await;
    let explained = admin.explain(&id("bound"), LONG).await.unwrap().unwrap();
    assert_eq!(explained.state, State::Bound { to: node("a") }, "it is pinned to that one alone");
    let [(a, on_a), (b, on_b)] = &explained.verdicts[..] else { panic!("{explained:?}") };
    assert_eq!((a, b, on_b), (&node("a"), &node("b"), &Verdict::HeldElsewhere { node: node("a") }));
    assert!(matches!(on_a, Verdict::Full { .. }), "{on_a:?}");

    let zoned = policy(|policy| drop(policy.requires.insert("zone".into(), "eu".into())));
    admin.submit(&with("labelled", zoned)).await.unwrap();
    let explained = admin.explain(&id("labelled"), LONG).await.unwrap().unwrap();
    assert_eq!(explained.state, State::Queued);
    assert!(explained.verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::LacksLabel { .. })));

    let runs = admin.explain(&id("1"), LONG).await.unwrap().unwrap();
    assert_eq!(runs.state, State::Running { on: node("a") });
    assert_eq!(runs.verdicts[1], (node("b"), Verdict::WouldTake));
    assert_eq!(admin.explain(&id("nothing"), LONG).await.unwrap(), None);
}

#[tokio::test]
async fn a_lost_node_moves_exactly_its_own_jobs_and_only_on_paper() {
    let (_, admin) = stage().await;
    let before = admin.jobs().await.unwrap();
    let lost = admin.plan(&What::IfLost(node("a")), LONG).await.unwrap();
    assert_eq!(told(&lost.decisions), ["1 a>b", "2 a>-"], "there is room for one of them");
    assert_eq!(lost.waiting.iter().map(|(job, _)| job.as_str()).collect::<Vec<_>>(), ["2"]);
    assert_eq!(lost.pending, []);
    assert_eq!(admin.jobs().await.unwrap(), before);
}

#[tokio::test]
async fn a_node_that_is_added_gets_what_waits_and_nothing_that_runs() {
    let (_, admin) = stage().await;
    assert_eq!(told(&admin.plan(&added(9), LONG).await.unwrap().decisions), [""; 0]);
    admin.submit(&job("big").with_weight(2).unwrap()).await.unwrap();
    let plan = admin.plan(&added(9), LONG).await.unwrap();
    assert_eq!(told(&plan.decisions), ["big ->c"]);
    assert_eq!(told(&admin.plan(&added(1), LONG).await.unwrap().decisions), [""; 0], "it is too heavy for that one");

    // What follows anyway is told apart.
    admin.submit(&job("light")).await.unwrap();
    let plan = admin.plan(&added(9), LONG).await.unwrap();
    assert_eq!(
        (told(&plan.pending), told(&plan.decisions)),
        (vec!["light ->b".to_owned()], vec!["big ->c".to_owned()])
    );
}

#[tokio::test]
async fn another_roster_moves_nothing_that_runs_and_orders_what_comes() {
    let (_, admin) = stage().await;
    admin.set_capacity(&node("a"), Some(Capacity::of(3).unwrap())).await.unwrap();
    admin.submit(&job("next")).await.unwrap();
    let plan = admin.plan(&What::Roster(vec![node("b"), node("a")]), LONG).await.unwrap();
    assert_eq!(told(&plan.decisions), [""; 0]);
    assert_eq!(told(&plan.pending), ["bound ->a", "next ->b"], "as the present order has it");
}

#[tokio::test]
async fn what_cannot_be_rehearsed_is_refused() {
    let (_, admin) = stage().await;
    let refused = async |what: What| {
        let error = admin.plan(&what, LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        broken(&error)
    };
    assert_eq!(refused(What::IfLost(node("x"))).await, "node is `x`: no such node has been seen; there are: a, b");
    let there = What::IfAdded { node: node("a"), capacity: Capacity::default(), labels: BTreeMap::new() };
    assert!(refused(there).await.starts_with("node is `a`: it is there already"));
    assert!(refused(What::Roster(vec![node("a"), node("a")])).await.starts_with("roster is `a`"));
    admin.set_strategy(StrategyName("last".into())).await.unwrap();
    assert!(refused(What::IfLost(node("a"))).await.starts_with("strategy is `last`: this program does not have"));
}

/// Prefers whoever comes last.
#[derive(Debug)]
struct Last;

impl Strategy for Last {
    fn name(&self) -> &'static str {
        "last"
    }

    fn score(&self, _: &Demand<'_>, node: &Candidate<'_>) -> i64 {
        -i64::try_from(node.rank).unwrap()
    }
}

#[tokio::test]
async fn a_strategy_of_the_hosts_own_is_rehearsed_where_it_is_brought_along() {
    let (_, admin) = stage().await;
    let admin = admin.with_strategy(Last);
    admin.set_strategy(StrategyName("last".into())).await.unwrap();
    admin.set_roster(["b", "a"].map(node).to_vec()).await.unwrap();
    admin.set_capacity(&node("a"), Some(Capacity::of(4).unwrap())).await.unwrap();
    admin.submit(&job("next")).await.unwrap();
    let plan = admin.plan(&added(9), LONG).await.unwrap();
    assert_eq!(told(&plan.pending), ["bound ->a", "next ->a"]);
}
