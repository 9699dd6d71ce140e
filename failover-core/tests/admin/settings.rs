//! The cluster's settings, edited by several people at a time.

use failover_core::admin::Rank;
use failover_core::control::{self, Drain, Overdue, Settings, StrategyName};
use failover_core::memory::MemoryStore;
use failover_core::state::Expect;
use failover_core::{Admin, Capacity, ErrorKind, Invalid, NodeId, StateStore};

use crate::{LONG, broken, class, node, pinned, seen};

#[tokio::test]
async fn settings_are_default_until_written_and_changes_do_not_lose_each_other() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    assert_eq!(admin.settings().await.unwrap(), Settings::default());

    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..8 {
        let admin = admin.clone();
        tasks.spawn(async move {
            let change = |settings: &mut Settings| {
                settings.maintenance.extend([node(&format!("n{i}"))]);
                Ok(())
            };
            admin.reconfigure(change).await.unwrap()
        });
    }
    tasks.join_all().await;
    assert_eq!(admin.settings().await.unwrap().maintenance.len(), 8);

    let mut settings = Settings::default();
    settings.roster = vec![node("b"), node("a")];
    admin.configure(settings.clone()).await.unwrap();
    assert_eq!(admin.settings().await.unwrap(), settings);
}

#[tokio::test]
async fn settings_of_a_newer_format_are_left_as_they_are() {
    let store = MemoryStore::new();
    let newer = br#"{"format":999,"roster":"of another shape"}"#;
    store.put(&control::settings_key(), newer, Expect::Absent, None).await.unwrap();
    let admin = Admin::new(store.backend());
    assert_eq!(admin.configure(Settings::default()).await.unwrap_err().kind(), ErrorKind::TooNew);
    assert_eq!(store.get(&control::settings_key()).await.unwrap().unwrap().value, newer);
}

#[tokio::test]
async fn what_cannot_be_is_not_written_and_what_was_there_stays_in_force() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    let good = admin.set_roster(vec![node("a"), node("b")]).await.unwrap();
    let version = || async { store.get(&control::settings_key()).await.unwrap().unwrap().version };
    let before = version().await;

    let error = admin.set_roster(vec![node("b"), node("c"), node("b")]).await.unwrap_err();
    assert_eq!(broken(&error), "roster is `b`: it must name each node once");
    let half = |settings: &mut Settings| {
        settings.roster.clear();
        Err(Invalid::new("roster", "none", "somebody has to come first"))
    };
    assert_eq!(admin.reconfigure(half).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(admin.set_capacity(&node("a"), Some(Capacity::NONE)).await.is_err());
    assert!(admin.set_strategy(StrategyName("by luck".into())).await.is_err());
    assert!(admin.set_class(&class("c"), &pinned(&["nobody"])).await.is_err());
    assert!(
        admin
            .configure({
                let mut settings = Settings::default();
                settings.damping.within = std::time::Duration::ZERO;
                settings
            })
            .await
            .is_err()
    );
    assert_eq!((admin.settings().await.unwrap(), version().await), (good, before));
}

#[tokio::test]
async fn a_node_that_nobody_knows_cannot_be_set_anything() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    seen(&store, "a", Capacity::default()).await;
    let x = node("x");
    let refusals = [
        admin.cordon(&x).await,
        admin.uncordon(&x).await,
        admin.drain(&x, &Drain::new(LONG, Overdue::Abort)).await,
        admin.set_capacity(&x, Some(Capacity::default())).await,
        admin.rank(&x, Rank::First).await,
    ];
    for refusal in refusals {
        assert!(broken(&refusal.unwrap_err()).starts_with("node is `x`: no such node is known"));
    }
    assert_eq!(admin.settings().await.unwrap(), Settings::default());
}

#[tokio::test]
async fn each_setting_is_set_and_taken_back() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    let a = node("a");
    seen(&store, "a", Capacity::default()).await;

    let names = |settings: &Settings| settings.roster.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
    admin.set_roster(vec![node("b"), node("c")]).await.unwrap();
    assert_eq!(names(&admin.rank(&a, Rank::First).await.unwrap()), "a,b,c");
    assert_eq!(names(&admin.rank(&a, Rank::Down).await.unwrap()), "b,a,c");

    let capacity = Capacity::of(3).unwrap();
    assert_eq!(admin.set_capacity(&a, Some(capacity)).await.unwrap().capacity[&a], capacity);
    assert!(admin.set_capacity(&a, None).await.unwrap().capacity.is_empty());

    assert!(admin.cordon(&a).await.unwrap().cordoned.contains(&a));
    let drain = Drain::new(LONG, Overdue::Force).at_once();
    let settings = admin.drain(&a, &drain).await.unwrap();
    assert_eq!((&settings.drains[&a], settings.cordoned.len()), (&drain, 1));
    let settings = admin.uncordon(&a).await.unwrap();
    assert!(settings.drains.is_empty() && settings.cordoned.is_empty());

    assert_eq!(admin.set_class(&class("c"), &pinned(&["a"])).await.unwrap().classes[&class("c")], pinned(&["a"]));
    assert!(admin.remove_class(&class("c")).await.unwrap().classes.is_empty());
    assert_eq!(admin.set_strategy(StrategyName("spread".into())).await.unwrap().strategy.0, "spread");
}
