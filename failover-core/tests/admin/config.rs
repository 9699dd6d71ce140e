//! The cluster's configuration as one versioned document: nobody's change is overwritten, and no crash loses a version.

use failover_core::admin::{By, ConfigError};
use failover_core::control::{self, KEPT_VERSIONS, Settings};
use failover_core::memory::MemoryStore;
use failover_core::state::Expect;
use failover_core::testkit::faults::{Fault, Faulty, Op};
use failover_core::{Admin, ErrorKind, StateStore};

use crate::{job, node, policy};

/// Settings whose roster is these nodes.
fn roster(names: &[&str]) -> Settings {
    let mut settings = Settings::default();
    settings.roster = names.iter().map(|name| node(name)).collect();
    settings
}

/// The versions in the history, the latest first, and the first node of each one's roster.
async fn history(admin: &Admin) -> Vec<(u64, Option<String>)> {
    let history = admin.config_history().await.unwrap();
    let first = |settings: &Settings| settings.roster.first().map(ToString::to_string);
    history.into_iter().map(|version| (version.edit.version, first(&version.settings))).collect()
}

#[tokio::test]
async fn whoever_edits_what_another_has_changed_meanwhile_is_told_who_and_changes_nothing() {
    let admin = Admin::new(MemoryStore::new().backend());
    let empty = admin.config().await.unwrap();
    assert_eq!((empty.version, &empty.settings), (0, &Settings::default()));
    assert_eq!(Settings::parse(&empty.text), Ok(Settings::default()));

    assert_eq!(admin.set_config(0, roster(&["a"]), "ann").await.unwrap(), 1);
    let error = admin.set_config(0, roster(&["b"]), "bob").await.unwrap_err();
    let ConfigError::Conflict { expected: 0, now } = &error else { panic!("{error}") };
    assert_eq!((now.version, now.by.as_str(), now.replaced), (1, "ann", 0));
    assert!(error.to_string().contains("`ann` has changed it meanwhile: it is version 1 now"), "{error}");
    assert_eq!(admin.config().await.unwrap().settings, roster(&["a"]));
    assert_eq!(admin.set_config(1, roster(&["b"]), By::from("bob").because("b is bigger")).await.unwrap(), 2);
    let now = admin.config().await.unwrap();
    assert_eq!((now.version, now.edit.why.as_deref(), now.edit.replaced), (2, Some("b is bigger"), 1));
    assert!(now.edit.at.0 > 0);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_field_and_the_last_version_stays() {
    let admin = Admin::new(MemoryStore::new().backend());
    admin.set_config(0, roster(&["a"]), "ann").await.unwrap();
    let error = admin.set_config(1, roster(&["a", "b", "a"]), "ann").await.unwrap_err();
    assert!(matches!(&error, ConfigError::Failed(error) if error.kind() == ErrorKind::Invalid), "{error}");
    assert!(error.to_string().contains("roster"), "{error}");
    assert_eq!(history(&admin).await, [(1, Some("a".into()))]);
}

#[tokio::test]
async fn an_old_version_comes_back_as_a_new_one() {
    let admin = Admin::new(MemoryStore::new().backend()).with_operator("ann");
    admin.set_config(0, roster(&["a"]), "bob").await.unwrap();
    admin.set_roster(vec![node("b")]).await.unwrap();
    assert_eq!(admin.config().await.unwrap().edit.by, "ann", "single changes are versions too");
    assert_eq!(admin.rollback(1, "eve").await.unwrap(), 3);
    let there = |version: u64, first: &str| (version, Some(first.to_owned()));
    assert_eq!(history(&admin).await, [there(3, "a"), there(2, "b"), there(1, "a")]);
    assert_eq!(admin.config().await.unwrap().edit.why.as_deref(), Some("as it was in version 1"));
    assert!(matches!(admin.rollback(9, "eve").await, Err(ConfigError::NoVersion { version: 9 })));
}

#[tokio::test]
async fn the_last_fifty_versions_are_kept() {
    let admin = Admin::new(MemoryStore::new().backend());
    for version in 0..KEPT_VERSIONS as u64 + 7 {
        admin.set_config(version, roster(&[&format!("n{version}")]), "ann").await.unwrap();
    }
    let kept = history(&admin).await;
    assert_eq!((kept.len(), kept[0].0, kept[KEPT_VERSIONS].0), (KEPT_VERSIONS + 1, 57, 7));
}

/// An edit whose writer dies at the `dies_at`-th write, before it is applied or after: no version is lost, and the edit can be made again.
async fn dies(dies_at: usize, fault: Fault) {
    let store = MemoryStore::new();
    let sound = Admin::new(store.backend());
    sound.set_config(0, roster(&["a"]), "ann").await.unwrap();
    sound.set_config(1, roster(&["b"]), "ann").await.unwrap();

    let (backend, faults) = Faulty::wrap(store.backend());
    for _ in 1..dies_at {
        faults.next(Op::Put, Fault::Delay(std::time::Duration::ZERO));
    }
    faults.next(Op::Put, fault);
    let error = Admin::new(backend).set_config(2, roster(&["c"]), "bob").await.unwrap_err();
    assert!(matches!(&error, ConfigError::Failed(error) if error.is_outcome_unknown()), "{error}");

    let versions = history(&sound).await;
    let there = |version: u64, first: &str| (version, Some(first.to_owned()));
    let whole = [there(3, "c"), there(2, "b"), there(1, "a")];
    let applied = dies_at == 2 && fault == Fault::LoseReply;
    assert_eq!(versions, if applied { &whole[..] } else { &whole[1..] }, "{dies_at} {fault:?}");
    assert_eq!(sound.set_config(2, roster(&["c"]), "bob").await.unwrap(), 3, "it is safe to repeat");
    assert_eq!(history(&sound).await, whole, "{dies_at} {fault:?}");
}

#[tokio::test]
async fn an_editor_that_dies_at_any_write_loses_no_version() {
    for dies_at in [1, 2] {
        for fault in [Fault::LoseRequest, Fault::LoseReply] {
            dies(dies_at, fault).await;
        }
    }
    // The third thing it does is to forget what is too old, which is no part of the edit.
    let (backend, faults) = Faulty::wrap(MemoryStore::new().backend());
    let admin = Admin::new(backend);
    faults.every(Op::Delete, Fault::LoseRequest);
    for version in 0..KEPT_VERSIONS as u64 + 3 {
        admin.set_config(version, roster(&["a"]), "ann").await.unwrap();
    }
    assert_eq!(admin.config().await.unwrap().version, 53);
}

#[tokio::test]
async fn a_document_of_a_build_that_counted_no_versions_is_the_first() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    let plain = br#"{"format":1,"roster":["a"]}"#;
    store.put(&control::settings_key(), plain, Expect::Absent, None).await.unwrap();
    assert_eq!(admin.config().await.unwrap().version, 0);
    assert_eq!(admin.set_config(0, roster(&["b"]), "ann").await.unwrap(), 2);
    assert_eq!(history(&admin).await, [(2, Some("b".into())), (1, Some("a".into()))]);
}

#[tokio::test]
async fn a_configuration_of_a_newer_format_is_left_as_it_is() {
    let store = MemoryStore::new();
    let newer = br#"{"format":999,"roster":"of another shape"}"#;
    store.put(&control::settings_key(), newer, Expect::Absent, None).await.unwrap();
    let admin = Admin::new(store.backend());
    let refused = |error: ConfigError| matches!(error, ConfigError::Failed(e) if e.kind() == ErrorKind::TooNew);
    assert!(refused(admin.set_config(0, roster(&["a"]), "ann").await.unwrap_err()));
    assert!(refused(admin.rollback(1, "ann").await.unwrap_err()));
    assert_eq!(store.get(&control::settings_key()).await.unwrap().unwrap().value, newer);
}

#[tokio::test]
async fn jobs_without_a_class_have_the_clusters_defaults() {
    let admin = Admin::new(MemoryStore::new().backend());
    let mut settings = Settings::default();
    settings.defaults = policy(|policy| policy.retries = Some(3));
    admin.set_config(0, settings, "ann").await.unwrap();
    admin.submit(&job("j")).await.unwrap();
    assert_eq!(admin.jobs().await.unwrap()[0].spec.policy().retries, Some(3));
}
