//! A holder that is paused past its lease writes too late, and its write is refused.
//!
//! ```text
//! cargo run -p failover-sql --features postgres --example fenced_write_postgres -- postgres://user:password@host/database
//! ```
#![allow(dead_code, reason = "a test runs it, too")]

use std::time::Duration;

use failover_core::lease::Acquired;
use failover_core::{ClusterName, Incarnation, Lease, LeaseManager, LeaseName, Member, NodeId};
use failover_sql::{PostgresOptions, SqlStore};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

type Anything = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let url = std::env::args().nth(1).ok_or("give the address of a database, as in postgres://user@host/database")?;
    println!("{}", late_write(&url).await?);
    Ok(())
}

/// Plays both nodes, and tells what became of the late write.
pub(crate) async fn late_write(url: &str) -> Result<String, Anything> {
    let store = PostgresOptions::from_url(url)?.open(&ClusterName::new("fenced-write")?).await?;
    // The host's own table, in the same database, on a connection of the host's own.
    let mut host = PgConnection::connect(url.split('?').next().unwrap_or(url)).await?;
    host.execute("CREATE TEMPORARY TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)").await?;
    host.execute("INSERT INTO account VALUES (1, 100)").await?;

    let (one, two) = (
        Member::new(NodeId::new("one")?, Incarnation::fresh()),
        Member::new(NodeId::new("two")?, Incarnation::fresh()),
    );
    let old = wait_for(&store, &one, Duration::from_millis(500)).await?;
    assert!(withdraw(&mut host, &store, &old).await?, "one holds the lease, so it may write");

    // Here `one` is paused: it neither renews nor writes. Its lease lapses, and `two` gets the next term.
    let new = wait_for(&store, &two, Duration::from_secs(5)).await?;
    assert!(withdraw(&mut host, &store, &new).await?, "two holds it now");

    // `one` goes on as if nothing had happened.
    let late = withdraw(&mut host, &store, &old).await?;
    let balance: i64 = sqlx::query_scalar("SELECT balance FROM account WHERE id = 1").fetch_one(&mut host).await?;
    store.release(&new, None).await?;
    let fate = if late { "TOOK EFFECT" } else { "was refused" };
    Ok(format!(
        "the late write under term {} {fate}; the balance is {balance}, written under term {}",
        old.term, new.term
    ))
}

async fn wait_for(store: &SqlStore, who: &Member, ttl: Duration) -> Result<Lease, Anything> {
    let name = LeaseName::active();
    loop {
        match store.acquire(&name, who, ttl).await? {
            Acquired::Granted(lease) => return Ok(lease),
            Acquired::Refused(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One statement, true only while its token is current: the condition is judged where the write happens.
async fn withdraw(host: &mut PgConnection, store: &SqlStore, lease: &Lease) -> Result<bool, Anything> {
    let fence = store.fence(lease);
    // One value of its own comes first.
    let sql = format!("UPDATE account SET balance = balance - 10 WHERE id = $1 AND {}", fence.condition_after(1));
    let done = fence.bind(sqlx::query(AssertSqlSafe(sql)).bind(1_i64)).execute(host).await?;
    Ok(done.rows_affected() == 1)
}
