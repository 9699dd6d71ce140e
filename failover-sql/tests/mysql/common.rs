//! What these tests share.
#![allow(unreachable_pub, reason = "it is shared by the modules of one test binary")]

use std::sync::OnceLock;
use std::time::Duration;

use failover_core::heartbeat::News;
use failover_core::lease::Acquired;
use failover_core::{
    Capacity, ClusterName, Error, Heartbeat, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId, Role,
    StateKey, Term,
};
use failover_sql::{MysqlOptions, SqlStore};
use failover_testing::mariadb::Mariadb;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, MySqlConnection};

/// For leases that must not lapse while a test runs.
pub const LONG: Duration = Duration::from_hours(1);

/// The server that tests share. Each has a database of its own in it.
pub fn server() -> &'static Mariadb {
    static SERVER: OnceLock<Mariadb> = OnceLock::new();
    SERVER.get_or_init(Mariadb::start)
}

/// A database of a test's own on some server.
pub struct Place {
    pub port: u16,
    pub database: String,
}

impl Place {
    /// On the shared server.
    pub fn new() -> Self {
        Self { port: server().port(), database: server().database() }
    }

    /// On a server of the test's own.
    pub fn on(server: &Mariadb) -> Self {
        Self { port: server.port(), database: server.database() }
    }

    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/{}", self.port, self.database)
    }

    pub fn options(&self) -> MysqlOptions {
        MysqlOptions::new("127.0.0.1", self.database.as_str(), "root").port(self.port)
    }

    pub async fn open(&self) -> SqlStore {
        self.try_open().await.unwrap_or_else(|e| panic!("the store has to open: {e}"))
    }

    pub async fn try_open(&self) -> Result<SqlStore, Error> {
        self.options().open(&cluster("c")).await
    }

    /// A connection such as a host has to its own tables in the same database.
    pub async fn host(&self) -> MySqlConnection {
        let options =
            MySqlConnectOptions::new().host("127.0.0.1").port(self.port).username("root").database(&self.database);
        options.connect().await.expect("a connection")
    }

    /// Runs statements behind the store's back.
    pub async fn tamper(&self, sql: &str) {
        let mut host = self.host().await;
        host.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> i64 {
        let mut host = self.host().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut host)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"))
    }
}

pub fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).expect("a valid name")
}

pub fn member(name: &str, bits: u128) -> Member {
    Member::new(NodeId::new(name).expect("a valid name"), Incarnation::from_u128(bits))
}

pub fn lease_name(name: &str) -> LeaseName {
    LeaseName::new(name).expect("a valid name")
}

pub fn key(key: &str) -> StateKey {
    StateKey::new(key).expect("a valid key")
}

pub fn beat(member: &Member, seq: u64, load: u32) -> Heartbeat {
    let news = News { load, ready: true, ..News::new(Role::Inactive, Capacity::default()) };
    Heartbeat { member: member.clone(), term: Term(1), seq, news }
}

/// Acquires a lease that has to be granted.
pub async fn granted(store: &SqlStore, name: &str, member: &Member, ttl: Duration) -> Lease {
    match store.acquire(&lease_name(name), member, ttl).await {
        Ok(Acquired::Granted(lease)) => lease,
        other => panic!("{member} has to be granted {name}: {other:?}"),
    }
}
