//! What can be wrong with the file: before it is opened, and under a running node.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{LONG, Place, beat, cluster, granted, key, lease_name, member};
use failover_core::lease::{Acquired, Renewed, Tenant};
use failover_core::state::{Expect, Written};
use failover_core::{
    ErrorKind, HeartbeatStore, Invalid, JobAssigner, JobId, JobSpec, LeaseManager, Revision, StateStore, Term,
};
use failover_sql::{SqliteOptions, TablePrefix};
use std::error::Error as _;

#[tokio::test]
async fn a_missing_directory_is_named_with_its_rule() {
    let place = Place::new();
    let url = format!("sqlite://{}/nowhere/x.db", place.directory().display());
    let error = failover_sql::open(&url, &cluster("c")).await.unwrap_err();
    let invalid = error.source().and_then(|e| e.downcast_ref::<Invalid>()).expect("a typed error inside");
    assert_eq!((error.kind(), invalid.field.as_str()), (ErrorKind::Invalid, "path"));
    assert!(error.to_string().contains("nowhere") && error.to_string().contains("directory must exist"), "{error}");
}

#[tokio::test]
async fn an_unknown_parameter_is_named_and_the_known_ones_listed() {
    let place = Place::new();
    let url = format!("sqlite://{}?mode=rwc", place.path().display());
    let error = failover_sql::open(&url, &cluster("c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for word in ["mode", "prefix", "create", "term_floor"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(!place.path().exists(), "nothing was made");
}

#[tokio::test]
async fn a_directory_is_no_database() {
    let place = Place::new();
    let error = SqliteOptions::new(place.directory()).open(&cluster("c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn a_file_that_must_exist_is_not_made() {
    let place = Place::new();
    let error = place.options().must_exist().open(&cluster("c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(!place.path().exists());
}

#[tokio::test]
async fn garbage_is_corrupt_and_stays_as_it_was() {
    let place = Place::new();
    let garbage = "this is no database ".repeat(500);
    std::fs::write(place.path(), &garbage).unwrap();
    let error = place.try_open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(std::fs::read_to_string(place.path()).unwrap(), garbage);
}

#[tokio::test]
async fn a_read_only_file_is_denied() {
    let place = Place::new();
    drop(place.open().await);
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o444)).unwrap();
    let error = place.try_open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("read-only") && !error.is_retryable(), "{error}");
}

/// In a mount namespace of its own, because a mode does not bind root.
#[test]
fn a_read_only_file_system_is_denied() {
    const SELF: &str = "a_read_only_file_system_is_denied";
    let Some(directory) = common::part() else {
        let place = Place::new();
        let output = common::child_that_mounts(SELF, place.directory().to_str().unwrap()).output();
        common::said(&output.expect("`unshare` is there (package util-linux)"), "");
        return;
    };
    common::mount(&["-t", "tmpfs", "tmpfs", &directory]);
    let options = SqliteOptions::new(format!("{directory}/store.db"));
    common::runtime().block_on(async {
        // An empty file is an empty database.
        std::fs::write(format!("{directory}/store.db"), "").expect("it is writable at first");
        common::mount(&["-o", "remount,ro", &directory]);
        let error = options.open(&cluster("c")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    });
}

#[tokio::test]
async fn a_newer_schema_is_refused_at_opening_and_under_a_running_node() {
    let place = Place::new();
    let running = place.open().await;
    granted(&running, "active", &member("a", 1), LONG).await;
    place.tamper("UPDATE failover_meta SET version = 2").await;
    let refused = place.try_open().await.unwrap_err();
    let noticed = running.current(&lease_name("active")).await.unwrap_err();
    for error in [refused, noticed] {
        assert_eq!(error.kind(), ErrorKind::TooNew, "{error}");
        assert!(error.to_string().contains("version 2") && error.to_string().contains("upgrade"), "{error}");
    }
    place.tamper("UPDATE failover_meta SET version = 1").await;
    let view = place.open().await.current(&lease_name("active")).await.unwrap();
    assert_eq!(view.term, Term(1), "nothing was touched");
}

#[tokio::test]
async fn a_record_of_a_newer_format_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let store = place.open().await;
    let me = member("a", 1);
    let lease = granted(&store, "active", &me, LONG).await;
    store.beat(&beat(&me, 1, 0)).await.unwrap();
    let job = JobSpec::new(JobId::new("j").unwrap(), "old").unwrap();
    store.submit(&job).await.unwrap();
    store.put(&key("a/b"), b"old", Expect::Any, None).await.unwrap();
    let tables = ["heartbeats", "leases", "jobs", "documents"];
    place.tamper(&tables.map(|t| format!("UPDATE failover_{t} SET format = 2;")).concat()).await;
    let dump = async || {
        let mut host = place.host().await;
        let mut all = Vec::new();
        for table in tables {
            let sql = format!("SELECT * FROM failover_{table}");
            let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut host).await.unwrap();
            all.push(rows.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>());
        }
        all
    };
    let before = dump().await;
    let other = JobSpec::new(JobId::new("j").unwrap(), "new").unwrap();
    let (name, job_id) = (lease_name("active"), JobId::new("j").unwrap());
    let errors = [
        store.acquire(&name, &me, LONG).await.unwrap_err(),
        store.renew(&lease).await.unwrap_err(),
        store.release(&lease, None).await.unwrap_err(),
        store.current(&name).await.unwrap_err(),
        store.beat(&beat(&me, 2, 0)).await.unwrap_err(),
        store.forget(&me).await.unwrap_err(),
        store.sightings().await.unwrap_err(),
        store.submit(&other).await.unwrap_err(),
        store.remove(&job_id).await.unwrap_err(),
        store.changes(Revision::ZERO, 10).await.unwrap_err(),
        store.get(&key("a/b")).await.unwrap_err(),
        store.list(&key("a"), None, 10).await.unwrap_err(),
        store.put(&key("a/b"), b"new", Expect::Any, None).await.unwrap_err(),
        store.delete(&key("a/b"), Expect::Any, None).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::TooNew, "{error}");
    }
    assert_eq!(dump().await, before);
}

#[tokio::test]
async fn a_deleted_file_is_noticed_by_every_call_and_every_wait() {
    let place = Place::new();
    let store = place.open().await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { LeaseManager::changed(&store, &lease_name("active")).await })
    };
    // The grant itself may still be told.
    place.delete();
    let told = tokio::time::timeout(Duration::from_secs(20), async {
        let first = waiting.await.unwrap();
        if first.is_ok() { LeaseManager::changed(&store, &lease_name("active")).await } else { first }
    });
    assert_eq!(told.await.expect("the watcher notices").unwrap_err().kind(), ErrorKind::StoreChanged);
    let error = store.renew(&lease).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged);
    assert!(error.to_string().contains("deleted") && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_replaced_file_ends_the_handle_for_ever() {
    let (place, other) = (Place::new(), Place::new());
    let store = place.open().await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    let kept = place.directory().join("kept.db");
    std::fs::rename(place.path(), &kept).unwrap();
    drop(other.open().await);
    std::fs::rename(other.path(), place.path()).unwrap();
    let error = store.renew(&lease).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged);
    assert!(error.to_string().contains("replaced"), "{error}");
    // Also after the right one is back: what happened meanwhile, nobody knows.
    std::fs::rename(&kept, place.path()).unwrap();
    assert_eq!(store.renew(&lease).await.unwrap_err().kind(), ErrorKind::StoreChanged);
    assert_eq!(place.open().await.renew(&lease).await.unwrap(), Renewed::Extended, "a new handle may");
}

#[tokio::test]
async fn another_store_in_the_same_file_is_noticed() {
    let place = Place::new();
    let store = place.open().await;
    place.tamper("UPDATE failover_meta SET store = 'another'").await;
    let error = store.current(&lease_name("active")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged);
    assert!(error.to_string().contains("another store"), "{error}");
}

#[tokio::test]
async fn tables_that_are_gone_are_noticed() {
    let place = Place::new();
    let store = place.open().await;
    place.tamper("DROP TABLE failover_meta").await;
    let error = store.current(&lease_name("active")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged, "{error}");
}

#[tokio::test]
async fn a_store_restored_in_place_fails_closed_until_a_floor_is_given() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let first = granted(&store, "active", &a, LONG).await;
    store.release(&first, None).await.unwrap();
    let second = granted(&store, "active", &b, LONG).await;
    // What restoring an older copy into the same file looks like.
    place.tamper("UPDATE failover_leases SET term = 1, holder = NULL, incarnation = NULL, ends = 0").await;
    let error = store.acquire(&lease_name("active"), &a, LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged);
    assert!(error.to_string().contains("went back from 2 to 1"), "{error}");
    let reopened = place.options().term_floor(second.term).open(&cluster("c")).await.unwrap();
    assert_eq!(granted(&reopened, "active", &a, LONG).await.term, Term(3));
}

#[tokio::test]
async fn after_a_reboot_every_lease_and_reservation_has_its_whole_time_again() {
    let place = Place::new();
    let store = place.open().await;
    let (a, b) = (member("a", 1), member("b", 2));
    let held = granted(&store, "held", &a, Duration::from_secs(40)).await;
    let passed_on = granted(&store, "passed-on", &a, Duration::from_secs(90)).await;
    store.release(&passed_on, Some(&b.node)).await.unwrap();
    let free = granted(&store, "free", &a, LONG).await;
    store.release(&free, None).await.unwrap();
    store.beat(&beat(&a, 1, 0)).await.unwrap();
    drop(store);
    // The clock of another boot, by which all of this was long ago.
    place
        .tamper(
            "UPDATE failover_meta SET clock = 'boot:another'; UPDATE failover_leases SET ends = 1; \
             UPDATE failover_heartbeats SET seen = 1",
        )
        .await;
    let store = place.open().await;
    let remaining = async |name| match store.current(&lease_name(name)).await.unwrap().tenant {
        Tenant::Held { remaining, .. } | Tenant::Reserved { remaining, .. } => remaining,
        Tenant::Free => Duration::ZERO,
    };
    assert!(remaining("held").await > Duration::from_secs(30), "never shorter");
    assert!(remaining("held").await <= Duration::from_secs(40));
    assert!(remaining("passed-on").await > Duration::from_secs(20));
    assert_eq!(remaining("free").await, Duration::ZERO);
    assert!(store.sightings().await.unwrap()[0].age < Duration::from_secs(10), "never overstated");
    let refused = store.acquire(&lease_name("held"), &b, LONG).await.unwrap();
    assert!(matches!(refused, Acquired::Refused(view) if view.term == held.term));
}

#[tokio::test]
async fn moments_in_the_future_are_of_another_clock() {
    let place = Place::new();
    let store = place.open().await;
    granted(&store, "held", &member("a", 1), Duration::from_secs(40)).await;
    drop(store);
    place.tamper("UPDATE failover_leases SET ends = 4000000000000000000").await;
    let view = place.open().await.current(&lease_name("held")).await.unwrap();
    assert!(matches!(view.tenant, Tenant::Held { remaining, .. } if remaining <= Duration::from_secs(40)), "{view:?}");
}

#[tokio::test]
async fn a_file_used_from_another_host_stops_the_running_node() {
    let place = Place::new();
    let store = place.open().await;
    place.tamper("UPDATE failover_meta SET clock = 'boot:another'").await;
    let error = store.current(&lease_name("active")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreChanged);
    assert!(error.to_string().contains("another host"), "{error}");
}

#[tokio::test]
async fn clusters_and_prefixes_share_a_file_and_nothing_else() {
    let place = Place::new();
    let first = place.open().await;
    let other = place.options().open(&cluster("other")).await.unwrap();
    let prefix = place.options().prefix(TablePrefix::new("my_").unwrap());
    let prefixed = prefix.open(&cluster("c")).await.unwrap();
    for (store, bits) in [(&first, 1), (&other, 2), (&prefixed, 3)] {
        let me = member("a", bits);
        assert_eq!(granted(store, "active", &me, LONG).await.term, Term(1));
        store.beat(&beat(&me, 1, 0)).await.unwrap();
        let written = store.put(&key("a/b"), &[u8::try_from(bits).unwrap()], Expect::Absent, None).await.unwrap();
        assert!(matches!(written, Written::Written(_)));
        let sightings = store.sightings().await.unwrap();
        assert_eq!(sightings.iter().map(|s| &s.heartbeat.member).collect::<Vec<_>>(), [&me]);
    }
}

/// On a small file system of its own, in a mount namespace of its own.
#[test]
fn a_full_disk_is_full_and_what_was_written_stays() {
    const SELF: &str = "a_full_disk_is_full_and_what_was_written_stays";
    let Some(directory) = common::part() else {
        let place = Place::new();
        let output = common::child_that_mounts(SELF, place.directory().to_str().unwrap()).output();
        common::said(&output.expect("`unshare` is there (package util-linux)"), "");
        return;
    };
    common::mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs", &directory]);
    let options = SqliteOptions::new(format!("{directory}/store.db"));
    common::runtime().block_on(async {
        let store = options.open(&cluster("c")).await.expect("there is room at first");
        let lease = granted(&store, "active", &member("a", 1), LONG).await;
        let value = vec![7; 32 * 1024];
        let mut written = 0;
        let error = loop {
            match store.put(&key(&format!("big/{written}")), &value, Expect::Absent, None).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(error.is_retryable() && written > 0);
        assert_eq!(store.list(&key("big"), None, 1000).await.unwrap().len(), written, "nothing is half-written");
        assert!(matches!(store.current(&lease_name("active")).await.unwrap().tenant, Tenant::Held { .. }));
        // No room is no reason to open what cannot be kept.
        let fresh = SqliteOptions::new(format!("{directory}/another.db")).open(&cluster("c")).await.unwrap_err();
        assert_eq!(fresh.kind(), ErrorKind::Full, "{fresh}");
        common::mount(&["-o", "remount,size=8m", &directory]);
        assert_eq!(store.renew(&lease).await.unwrap(), Renewed::Extended, "the same handle goes on");
        let again = store.put(&key("big/again"), &value, Expect::Absent, None).await.unwrap();
        assert!(matches!(again, Written::Written(_)));
    });
}
