//! What can be wrong with an address, a password, rights or a certificate: each is a typed error that says what to change,
//! and none shows the password.

mod common;

use std::error::Error as _;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{LONG, cluster, granted, key, lease_name, member, open, options, try_open};
use failover_core::state::Expect;
use failover_core::{Error, ErrorKind, HeartbeatStore, Invalid, LeaseManager, StateStore};
use failover_testing::certificates::Certificates;
use failover_testing::redis::Redis;

const CANARY: &str = "canary-7Hq";

/// Everything an error shows, its causes included.
fn all_of(error: &Error) -> String {
    let mut shown = vec![format!("{error} {error:?} {error:#?}")];
    let mut cause = error.source();
    while let Some(next) = cause {
        shown.push(format!("{next} {next:?} {next:#?}"));
        cause = next.source();
    }
    shown.join(" ")
}

/// What is traced while this lives, on this thread.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<u8>>>);

impl Trace {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let trace = Self::default();
        let writer = trace.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
        (trace, tracing::subscriber::set_default(subscriber.finish()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Fails to open, in this way, without the canary anywhere.
async fn fails(url: &str, kind: ErrorKind, says: &str) {
    let error = try_open(url).await.unwrap_err();
    let text = all_of(&error);
    assert_eq!(error.kind(), kind, "{url}: {text}");
    assert!(error.to_string().contains(says), "{url}: {error}");
    assert!(!text.contains(CANARY), "{text}");
}

#[tokio::test]
async fn no_error_and_no_trace_shows_a_password() {
    let (trace, _guard) = Trace::begin();
    let redis = Redis::start_with(&["--requirepass", "right"]);
    let at = format!("127.0.0.1:{}", redis.port());
    let nobody = failover_testing::port::free();
    fails(&format!("redis://:{CANARY}@{at}"), ErrorKind::Denied, "password").await;
    fails(&format!("redis://someone:{CANARY}@{at}"), ErrorKind::Denied, "password").await;
    fails(&format!("redis://{at}"), ErrorKind::Denied, "password").await;
    fails(&format!("redis://:{CANARY}@127.0.0.1:{nobody}"), ErrorKind::Unavailable, "cannot be reached").await;
    fails(&format!("redis://:{CANARY}@no-such-host.invalid"), ErrorKind::Unavailable, "cannot be reached").await;
    fails(&format!("redis+sentinel://:{CANARY}@127.0.0.1:{nobody}/main"), ErrorKind::Unavailable, "Sentinel").await;
    fails(&format!("redis+sentinel://:{CANARY}@{at}/main?sentinel_password={CANARY}"), ErrorKind::Denied, "Sentinel")
        .await;
    fails(&format!("redis+cluster://:{CANARY}@{at}"), ErrorKind::Denied, "password").await;
    for url in [
        format!("redis://:{CANARY}/@{at}"),
        format!("redis://:{CANARY}@{at}?what=1"),
        format!("redis://:{CANARY}%zz@{at}"),
    ] {
        let error = failover_redis::open(&url, &cluster("c")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.source().is_some_and(<dyn std::error::Error>::is::<Invalid>) && !all_of(&error).contains(CANARY),
            "{error}"
        );
    }
    redis.command(&["CONFIG", "SET", "requirepass", CANARY]);
    let url = format!("redis://:{CANARY}@{at}?durability=volatile");
    let (asked, store) = (options(&url), open(&url).await);
    // So that it also has something to tell of: a subscription, and one that is lost.
    HeartbeatStore::changed(&store).await.unwrap();
    let _killed = redis.try_command(&["AUTH", CANARY]);
    for shown in
        [format!("{asked:?}"), format!("{store:?}"), format!("{:?}", failover_core::Backend::new(store.clone()))]
    {
        assert!(!shown.contains(CANARY), "{shown}");
    }
    drop(redis);
    let error = store.put(&key("a"), b"", Expect::Any, None).await.unwrap_err();
    assert!(!all_of(&error).contains(CANARY), "{error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!trace.text().contains(CANARY), "{}", trace.text());
    assert!(trace.text().contains("change hints"), "the trace is looked at: {}", trace.text());
}

#[tokio::test]
async fn a_password_may_hold_any_character() {
    let password = "p@ss/wo:rd?#%é";
    let redis = Redis::start_with(&["--requirepass", password]);
    let url = format!("redis://:p%40ss%2Fwo:rd%3F%23%25%C3%A9@127.0.0.1:{}?durability=volatile", redis.port());
    granted(&open(&url).await, "active", &member("a", 1), LONG).await;
    let built = options(&format!("redis://127.0.0.1:{}", redis.port())).credentials(None, password);
    built.open(&cluster("c")).await.unwrap();
}

#[tokio::test]
async fn missing_rights_are_denied_and_the_file_with_the_right_ones_is_named() {
    let redis = Redis::start();
    let url = |user: &str| format!("redis://{user}:{CANARY}@127.0.0.1:{}?durability=volatile", redis.port());
    let password = format!(">{CANARY}");
    for (user, rights) in [
        ("nothing", &["-@all"][..]),
        ("noinfo", &["~*", "&*", "+@all", "-info"]),
        ("noscript", &["~*", "&*", "+@all", "-@scripting"]),
        ("nokeys", &["~other:*", "&*", "+@all"]),
        ("nohash", &["~*", "&*", "+@all", "-hset"]),
    ] {
        redis.command(&[&["ACL", "SETUSER", user, "on", &password], rights].concat());
        fails(&url(user), ErrorKind::Denied, "rights/redis.acl").await;
    }
    // Without the right to publish it opens, and every change says so.
    redis.command(&["ACL", "SETUSER", "nochannel", "on", &password, "~*", "+@all", "resetchannels"]);
    let store = open(&url("nochannel")).await;
    let error = store.acquire(&lease_name("active"), &member("a", 1), LONG).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Denied && !all_of(&error).contains(CANARY), "{}", all_of(&error));
}

#[tokio::test]
async fn where_config_is_not_permitted_the_users_word_counts() {
    let redis = Redis::durable();
    redis.command(&["ACL", "SETUSER", "some", "on", ">pw", "~*", "&*", "+@all", "-config"]);
    let url = format!("redis://some:pw@127.0.0.1:{}", redis.port());
    let error = open(&url).await.acquire(&lease_name("active"), &member("a", 1), LONG).await.unwrap_err();
    assert!(error.to_string().contains("CONFIG GET"), "{error}");
    granted(&open(&format!("{url}?durability=single-node")).await, "active", &member("a", 1), LONG).await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn an_encrypted_connection_is_made_to_who_the_address_names_and_to_nobody_else() {
    let certificates = Certificates::for_server("127.0.0.1");
    let redis = Redis::with_tls(&certificates, &["--requirepass", CANARY]);
    let ca = certificates.authority();
    let url = |host: &str, ca: &std::path::Path| {
        format!("rediss://:{CANARY}@{host}:{}?durability=volatile&ca={}", redis.tls_port(), ca.display())
    };
    let store = open(&url("127.0.0.1", &ca)).await;
    let lease = granted(&store, "active", &member("a", 1), LONG).await;
    LeaseManager::changed(&store, &lease.name).await.unwrap();
    fails(&url("localhost", &ca), ErrorKind::Unavailable, "its certificate").await;
    let other = Certificates::for_server("127.0.0.1");
    fails(&url("127.0.0.1", &other.authority()), ErrorKind::Unavailable, "its authority").await;
    fails(&format!("rediss://:{CANARY}@127.0.0.1:{}?ca=/no/such.pem", redis.tls_port()), ErrorKind::Invalid, "PEM")
        .await;
    // A plain address to an encrypted port, and the other way round, end in time and say that nobody was reached.
    let patient = Duration::from_secs(1);
    for url in [
        format!("redis://:{CANARY}@127.0.0.1:{}", redis.tls_port()),
        url("127.0.0.1", &ca).replace(&redis.tls_port().to_string(), &redis.port().to_string()),
    ] {
        let error = options(&url).timeout(patient).unwrap().open(&cluster("c")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && !all_of(&error).contains(CANARY), "{}", all_of(&error));
    }
}

#[tokio::test]
async fn an_old_server_or_one_that_is_no_store_says_so() {
    let nobody = Redis::start();
    nobody.pause();
    let paused = options(&nobody.url()).timeout(Duration::from_millis(300)).unwrap();
    let error = paused.open(&cluster("c")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("timeout"), "{error}");
    nobody.resume();
    assert!(open(&nobody.url()).await.sightings().await.unwrap().is_empty());
}
