//! A holder that is paused past its lease writes too late, and its write is refused.
//!
//! ```text
//! cargo run -p failover-sql --features mysql --example fenced_write_mysql -- mysql://user:password@host/database
//! ```
#![allow(dead_code, reason = "a test runs it, too")]

use std::time::Duration;

use failover_core::lease::Acquired;
use failover_core::{ClusterName, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId};
use failover_sql::{MysqlOptions, SqlStore};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

type Anything = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let url = std::env::args().nth(1).ok_or("give the address of a database, as in mysql://user@host/database")?;
    println!("{}", late_write(&url).await?);
    Ok(())
}

/// Plays both nodes, and tells what became of the late write.
pub(crate) async fn late_write(url: &str) -> Result<String, Anything> {
    let store = MysqlOptions::from_url(url)?.open(&ClusterName::new("fenced-write")?).await?;
    // The host's own table, in the same database, on a connection of the host's own.
    let mut host = MySqlConnection::connect(url.split('?').next().unwrap_or(url)).await?;
    host.execute("CREATE TEMPORARY TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL) ENGINE = InnoDB")
        .await?;
    host.execute("INSERT INTO account VALUES (1, 100)").await?;
    let one = Member::new(NodeId::new("one")?, Incarnation::fresh());
    let two = Member::new(NodeId::new("two")?, Incarnation::fresh());

    let old = wait_for(&store, &one, Duration::from_secs(1)).await?;
    assert!(withdraw(&mut host, &store, &old).await?, "one holds the lease, so it may write");

    // Here `one` is paused: it neither renews nor writes. Its lease lapses, and `two` gets the next term.
    let new = wait_for(&store, &two, Duration::from_mins(1)).await?;
    assert!(withdraw(&mut host, &store, &new).await?, "two holds it now");

    // `one` goes on as if nothing had happened.
    let late = withdraw(&mut host, &store, &old).await?;
    let balance: i64 = sqlx::query_scalar("SELECT balance FROM account WHERE id = 1").fetch_one(&mut host).await?;
    store.release(&new, None).await?;
    let fate = if late { "TOOK EFFECT" } else { "was refused" };
    let (old, new) = (old.term, new.term);
    Ok(format!("the late write under term {old} {fate}; the balance is {balance}, written under term {new}"))
}

async fn wait_for(store: &SqlStore, who: &Member, ttl: Duration) -> Result<Lease, Anything> {
    loop {
        match store.acquire(&LeaseName::active(), who, ttl).await? {
            Acquired::Granted(lease) => return Ok(lease),
            Acquired::Refused(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One write of the host's own, which takes effect only while the lease is current.
async fn withdraw(host: &mut MySqlConnection, store: &SqlStore, lease: &Lease) -> Result<bool, Anything> {
    let fence = store.fence(lease);
    let sql = format!("UPDATE account SET balance = balance - ? WHERE id = ? AND {}", fence.condition_after(2));
    let update = sqlx::query(AssertSqlSafe(sql)).bind(10).bind(1);
    Ok(fence.bind(update).execute(host).await?.rows_affected() == 1)
}
