//! The copy of the cluster's configuration that a node keeps on its own disk.

use std::path::Path;
use std::time::Duration;

use failover_core::machine::{EventKind, Reason};
use failover_core::testkit::faults::{Fault, Faulty};
use failover_core::{ErrorKind, Events, Role};

use crate::config::quick;
use crate::support::{node, pass};
use crate::world::{BEAT, TTL, World};

/// What the file holds, once it is there.
async fn kept(world: &World, path: &Path) -> String {
    for _ in 0..500 {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text;
        }
        pass(&world.clock, BEAT).await;
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("nothing is kept in {}", path.display());
}

#[tokio::test]
async fn a_node_begins_with_what_it_kept_while_the_store_is_away_and_is_not_active_from_it() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("cluster.json");
    world.admin.set_config(0, quick(), "ann").await.unwrap();
    let a = world.node("a").local_config(&path).start().unwrap();
    world.role(&a, Role::Active).await;
    let text = kept(&world, &path).await;
    assert!(text.contains("\"by\":\"ann\"") && text.contains("\"roster\":[\"b\",\"a\"]"), "{text}");
    a.shutdown().await;

    let (backend, faults) = Faulty::wrap(world.store.backend());
    faults.all(Fault::Refuse(ErrorKind::Unavailable));
    let a = world.node_on(backend, "a").local_config(&path).start().unwrap();
    let mut events = a.events();
    let restored = world.event(&mut events, EventKind::SettingsRestored).await.event;
    assert_eq!((restored.reason, restored.detail.as_deref()), (Reason::KeptLocally, Some("version 1")));
    world.event(&mut events, EventKind::PaceChanged).await;
    pass(&world.clock, TTL * 4).await;
    assert_eq!(a.role(), Role::Inactive, "nobody becomes active from a file");
    faults.heal();
    world.role(&a, Role::Active).await;
    a.shutdown().await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half-written is left beside it");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_or_written_is_told_and_never_fatal() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    world.admin.set_config(0, quick(), "ann").await.unwrap();
    let path = directory.path().join("cluster.json");
    for (text, why) in [
        ("rubbish", "cannot be read"),
        (r#"{"format":9,"wings":true}"#, "format 9"),
        (r#"{"format":1,"roster":["a","a"]}"#, "roster is `a`"),
    ] {
        std::fs::write(&path, text).unwrap();
        let a = world.node("a").local_config(&path).start().unwrap();
        let mut events = a.events();
        let refused = world.event(&mut events, EventKind::SettingsRefused).await.event;
        assert_eq!(refused.reason, Reason::KeptUnusable);
        assert!(refused.detail.as_deref().is_some_and(|detail| detail.contains(why)), "{refused:?}");
        world.role(&a, Role::Active).await;
        a.shutdown().await;
    }
    let nowhere = directory.path().join("missing").join("cluster.json");
    let a = world.node("a").local_config(&nowhere).start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    let told = not_kept(&mut events).await;
    assert!(told.contains("missing/cluster.json"), "{told}");
    assert_eq!(a.role(), Role::Active);
}

/// What is told of a configuration that could not be written. The node has read it already; the disk takes its own time, which no clock of ours moves.
async fn not_kept(events: &mut Events) -> String {
    let told = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            let event = events.next().await.unwrap().event;
            if event.kind == EventKind::SettingsNotKept {
                return event.detail.unwrap();
            }
        }
    });
    told.await.unwrap()
}

/// Waits until the node has read this version.
async fn follows(world: &World, events: &mut Events, version: u64) {
    let this = format!("version {version} by ");
    while !world.event(events, EventKind::SettingsChanged).await.event.detail.unwrap().starts_with(&this) {}
}

/// Waits until the file tells of this version; the disk takes its own time.
async fn kept_version(path: &Path, version: u64) {
    let there = tokio::time::timeout(Duration::from_mins(1), async {
        while !std::fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("\"version\":{version},"))) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(there.await.is_ok(), "version {version} is not kept in {}", path.display());
}

/// Something lies where the new file is written before it takes the old one's place.
async fn obstructed(obstruct: impl Fn(&Path), clear: impl Fn(&Path), why: &str) {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("cluster.json");
    let beside = directory.path().join(format!(".cluster.json.{}", std::process::id()));
    world.admin.set_config(0, quick(), "ann").await.unwrap();
    let a = world.node("a").local_config(&path).start().unwrap();
    let mut events = a.events();
    world.role(&a, Role::Active).await;
    kept_version(&path, 1).await;
    let whole = std::fs::read(&path).unwrap();

    obstruct(&beside);
    world.admin.set_roster(vec![node("a")]).await.unwrap();
    follows(&world, &mut events, 2).await;
    let told = not_kept(&mut events).await;
    assert!(told.contains("cluster.json: ") && told.contains(why), "{told}");
    assert_eq!(std::fs::read(&path).unwrap(), whole, "what was there is still whole");
    pass(&world.clock, TTL).await;
    assert!(a.active().is_some(), "the node goes on");

    clear(&beside);
    world.admin.set_roster(vec![node("b")]).await.unwrap();
    follows(&world, &mut events, 3).await;
    kept_version(&path, 3).await;
    a.shutdown().await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_full_disk_leaves_the_copy_that_was_there_whole_and_the_node_goes_on() {
    // Whatever is written there finds no space, also for root. What is left of the attempt is removed.
    let full = |beside: &Path| std::os::unix::fs::symlink("/dev/full", beside).unwrap();
    obstructed(full, |beside| assert!(!beside.exists()), "No space left on device").await;
}

#[tokio::test]
async fn a_directory_in_which_nothing_can_be_made_leaves_the_copy_that_was_there_whole_and_the_node_goes_on() {
    // As if it were read-only, also for root.
    let taken = |beside: &Path| std::fs::create_dir(beside).unwrap();
    obstructed(taken, |beside| std::fs::remove_dir(beside).unwrap(), "Is a directory").await;
}
