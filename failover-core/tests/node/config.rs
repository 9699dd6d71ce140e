//! The cluster's configuration as nodes follow it.

use std::time::Duration;

use failover_core::control::{self, Pace, Settings, VersionRule};
use failover_core::lease::Tenant;
use failover_core::machine::{EventKind, Reason};
use failover_core::state::Expect;
use failover_core::{LeaseManager, LeaseName, Role, StateStore, Timing};

use crate::support::{node, pass};
use crate::world::{BEAT, TTL, World};

pub(crate) fn quick() -> Settings {
    let mut settings = Settings::default();
    settings.roster = vec![node("b"), node("a")];
    settings.pace = Pace::new(BEAT / 5, TTL / 5).ok();
    settings
}

#[tokio::test]
async fn a_change_of_the_pace_is_followed_at_once_and_makes_a_failover_quick() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    world.role(&a, Role::Active).await;
    let b = world.node("b").start().unwrap();
    world.role(&b, Role::Standby).await;
    let mut events = b.events();
    assert_eq!(world.admin.set_config(0, quick(), "ann").await.unwrap(), 1);
    let changed = world.event(&mut events, EventKind::SettingsChanged).await;
    assert_eq!(changed.event.detail.as_deref(), Some("version 1 by ann"));
    world.event(&mut events, EventKind::PaceChanged).await;
    pass(&world.clock, TTL).await;
    drop(a);
    pass(&world.clock, Duration::from_millis(1_500)).await;
    assert_eq!(b.role(), Role::Active, "the old pace would have kept it waiting for five seconds");
}

#[tokio::test]
async fn a_pace_the_store_cannot_keep_is_refused_and_the_last_good_one_stays_in_force() {
    let world = World::new();
    let (leases, backend) = world.unruly();
    leases.keeps_at_least(TTL / 5);
    let too_short = world.node_on(backend.clone(), "a").timing(Timing::new(BEAT / 10, TTL / 10).unwrap()).start();
    assert_eq!(too_short.unwrap_err().to_string(), "ttl is `500ms`: this store keeps leases of at least 1s");

    let a = world.node_on(backend, "a").start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    world.admin.set_config(0, quick(), "ann").await.unwrap();
    world.event(&mut events, EventKind::PaceChanged).await;
    let mut shorter = quick();
    (shorter.pace, shorter.roster) = (Pace::new(BEAT / 10, TTL / 10).ok(), vec![node("a")]);
    assert_eq!(world.admin.set_config(1, shorter, "ann").await.unwrap(), 2, "only nodes know their store's least");
    let refused = world.event(&mut events, EventKind::SettingsRefused).await.event;
    assert_eq!(refused.reason, Reason::PaceRefused);
    assert_eq!(refused.detail.as_deref(), Some("ttl is `500ms`: this store keeps leases of at least 1s"));
    pass(&world.clock, TTL).await;
    let right = a.active().unwrap();
    let Tenant::Held { remaining, .. } = world.store.current(&LeaseName::active()).await.unwrap().tenant else {
        panic!()
    };
    assert!(remaining > BEAT / 2 && remaining <= TTL / 5, "it still renews at the quick pace: {remaining:?}");

    // The next one that can be kept is followed.
    let mut slower = quick();
    slower.pace = Pace::new(BEAT / 2, TTL / 2).ok();
    world.admin.set_config(2, slower, "ann").await.unwrap();
    world.event(&mut events, EventKind::PaceChanged).await;
    pass(&world.clock, TTL).await;
    assert!(right.is_valid(), "the lease went over without a gap");
}

#[tokio::test]
async fn a_document_that_breaks_a_rule_leaves_the_last_good_one_in_force() {
    let world = World::new();
    let a = world.node("a").start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    world.admin.set_config(0, quick(), "ann").await.unwrap();
    world.event(&mut events, EventKind::SettingsChanged).await;
    for broken in [&br#"{"format":1,"roster":["a","a"]}"#[..], br#"{"format":1,"roster":7}"#, b"rubbish"] {
        world.store.put(&control::settings_key(), broken, Expect::Any, None).await.unwrap();
        let refused = world.event(&mut events, EventKind::SettingsRefused).await.event;
        assert_eq!(refused.reason, Reason::SettingsBroken, "{refused:?}");
    }
    assert_eq!(a.role(), Role::Active);
    pass(&world.clock, TTL).await;
    assert!(a.active().is_some(), "it still renews at the quick pace");
}

#[tokio::test]
async fn who_is_of_another_version_stays_inactive_and_says_why_until_the_rule_admits_it() {
    let world = World::new();
    let a = world.node("a").version("1.0.0").start().unwrap();
    world.role(&a, Role::Active).await;
    let mut settings = Settings::default();
    settings.versions = VersionRule::Exact;
    world.admin.set_config(0, settings, "ann").await.unwrap();
    let b = world.node("b").version("1.0.1").start().unwrap();
    let mut events = b.events();
    let refused = world.event(&mut events, EventKind::VersionRefused).await.event;
    assert_eq!(refused.detail.as_deref(), Some("1.0.1, where 1.0.0 is wanted: exact"));
    pass(&world.clock, TTL).await;
    assert_eq!(b.role(), Role::Inactive);
    let status = world.admin.status(TTL).await.unwrap();
    assert_eq!(status.nodes.iter().map(|node| node.held_back).collect::<Vec<_>>(), [false, true]);

    let mut settings = Settings::default();
    (settings.versions, settings.version) = (VersionRule::Exact, Some("1.0.1".into()));
    world.admin.set_config(1, settings, "ann").await.unwrap();
    world.role(&b, Role::Active).await;
    world.role(&a, Role::Inactive).await;
    assert!(world.node("c").version("1 0").start().is_err_and(|e| e.field == "version"));
}
