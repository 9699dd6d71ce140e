//! The stores: each with a server of its own that flushes to disk what it acknowledges, as one that keeps terms has to (but
//! MariaDB, whose test server pretends to); and the smallest durable write of a
//! bare one, through a plain client on one connection.

use failover::{Backend, ClusterName};
use failover_testing::etcd::Etcd;
use failover_testing::mariadb::Mariadb;
use failover_testing::postgres::{Postgres, PostgresSetup};
use failover_testing::redis::Redis;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, MySqlConnection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::Outcome;
use crate::proc::system_calls;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Mariadb,
    Redis,
    Etcd,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Redis, Self::Etcd, Self::Postgres, Self::Sqlite, Self::Mariadb];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Redis => "Redis",
            Self::Etcd => "etcd",
        }
    }
}

/// A store that runs. Dropping it ends it.
pub(crate) struct Store {
    pub(crate) kind: Kind,
    pub(crate) server: Server,
}

pub(crate) enum Server {
    Sqlite(TempDir),
    Postgres(Box<Postgres>),
    Mariadb(Box<Mariadb>),
    Redis(Box<Redis>),
    Etcd(Box<Etcd>),
}

impl Store {
    pub(crate) fn start(kind: Kind) -> Outcome<Self> {
        let server = match kind {
            Kind::Sqlite => Server::Sqlite(tempfile::tempdir()?),
            Kind::Postgres => Server::Postgres(PostgresSetup::default().setting("fsync=on").start().into()),
            Kind::Mariadb => Server::Mariadb(Mariadb::start().into()),
            Kind::Redis => Server::Redis(Redis::durable().into()),
            Kind::Etcd => Server::Etcd(Etcd::start_with(&["--unsafe-no-fsync=false"]).into()),
        };
        Ok(Self { kind, server })
    }

    pub(crate) fn all(kinds: &[Kind]) -> Outcome<Vec<Self>> {
        kinds.iter().map(|kind| Self::start(*kind)).collect()
    }

    pub(crate) fn url(&self) -> String {
        match &self.server {
            Server::Sqlite(directory) => format!("sqlite://{}", directory.path().join("store.db").display()),
            Server::Postgres(server) => server.url(),
            Server::Mariadb(server) => server.url(),
            Server::Redis(server) => server.url(),
            Server::Etcd(server) => server.url(),
        }
    }

    pub(crate) async fn open(&self, cluster: &str) -> Outcome<Backend> {
        // What is measured is the store, not the way to a thread.
        Ok(failover::open_here(&self.url(), &ClusterName::new(cluster)?).await?)
    }

    /// How much has been asked of it from its start: scripts, transactions, statements, messages; of a file, how often these processes have read and
    /// written at all.
    ///
    /// # Errors
    /// If it does not tell.
    pub(crate) fn asked(&self, by: &[u32]) -> Outcome<f64> {
        match &self.server {
            Server::Redis(server) => {
                let calls = server.calls("eval") + server.calls("evalsha");
                Ok(u32::try_from(calls)?.into())
            }
            Server::Postgres(server) => {
                let all = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database";
                Ok(server.sql("postgres", all).parse()?)
            }
            Server::Mariadb(server) => {
                let told = server.execute("SHOW GLOBAL STATUS LIKE 'Questions'");
                Ok(told.split_whitespace().last().ok_or("it does not count")?.parse()?)
            }
            #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
            Server::Etcd(server) => Ok(server.messages() as f64),
            Server::Sqlite(_) => by.iter().map(|pid| system_calls(*pid)).sum(),
        }
    }

    /// The server's process.
    ///
    /// # Errors
    /// If it has none.
    pub(crate) fn pid(&self) -> Outcome<u32> {
        match &self.server {
            Server::Redis(server) => Ok(server.pid()),
            Server::Postgres(server) => Ok(server.pid()),
            Server::Sqlite(_) | Server::Mariadb(_) | Server::Etcd(_) => Err("nobody asks for it".into()),
        }
    }

    /// The bare store.
    pub(crate) async fn bare(&self) -> Outcome<Bare> {
        let mut bare = match &self.server {
            Server::Sqlite(directory) => {
                let file =
                    SqliteConnectOptions::new().filename(directory.path().join("bare.db")).create_if_missing(true);
                let file = file.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
                Bare::Sqlite(file.disable_statement_logging().connect().await?)
            }
            Server::Postgres(server) => Bare::Postgres(PgConnection::connect(&server.url()).await?),
            Server::Mariadb(server) => Bare::Mariadb(MySqlConnection::connect(&server.url()).await?),
            Server::Redis(server) => {
                let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port()))?;
                let mut info = client.get_connection_info().clone();
                info = info.set_tcp_settings(redis::io::tcp::TcpSettings::default().set_nodelay(true));
                Bare::Redis(redis::Client::open(info)?.get_multiplexed_async_connection().await?)
            }
            Server::Etcd(server) => {
                let address = format!("http://127.0.0.1:{}", server.port());
                Bare::Etcd(Box::new(etcd_client::Client::connect([address], None).await?))
            }
        };
        bare.prepare().await?;
        Ok(bare)
    }
}

pub(crate) enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Mariadb(MySqlConnection),
    Redis(redis::aio::MultiplexedConnection),
    Etcd(Box<etcd_client::Client>),
}

const CREATE: &str = "CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, n BIGINT NOT NULL)";
const RECORDS: &str = "CREATE TABLE IF NOT EXISTS records (id BIGINT PRIMARY KEY, record BLOB NOT NULL)";
const RECORDS_OF_POSTGRES: &str = "CREATE TABLE IF NOT EXISTS records (id BIGINT PRIMARY KEY, record BYTEA NOT NULL)";
const CLEAR: &str = "DELETE FROM bare";
const INSERT: &str = "INSERT INTO bare VALUES (1, 0)";
const UPDATE: &str = "UPDATE bare SET n = n + 1 WHERE id = 1";
/// As long as a lease's record is, about.
const VALUE: &str = "0123456789abcdef0123456789abcdef";

impl Bare {
    async fn prepare(&mut self) -> Outcome<()> {
        for sql in [CREATE, CLEAR, INSERT] {
            self.run(sql).await?;
        }
        let blob = if matches!(self, Self::Postgres(_)) { RECORDS_OF_POSTGRES } else { RECORDS };
        self.run(blob).await?;
        self.write().await
    }

    /// One durable write.
    pub(crate) async fn write(&mut self) -> Outcome<()> {
        match self {
            Self::Sqlite(_) | Self::Postgres(_) | Self::Mariadb(_) => self.run(UPDATE).await?,
            Self::Redis(connection) => redis::cmd("SET").arg("bare").arg(VALUE).exec_async(connection).await?,
            Self::Etcd(client) => {
                client.put("bare", VALUE, None).await?;
            }
        }
        Ok(())
    }

    /// A new record, durably, under a number that was not used before.
    pub(crate) async fn insert(&mut self, number: u64, record: &[u8]) -> Outcome<()> {
        match self {
            Self::Sqlite(file) => {
                sqlx::query("INSERT INTO records VALUES (?, ?)")
                    .bind(number.cast_signed())
                    .bind(record)
                    .execute(file)
                    .await?;
            }
            Self::Postgres(session) => {
                let insert = sqlx::query("INSERT INTO records VALUES ($1, $2)");
                insert.bind(number.cast_signed()).bind(record).execute(session).await?;
            }
            Self::Mariadb(session) => {
                let insert = sqlx::query("INSERT INTO records VALUES (?, ?)");
                insert.bind(number.cast_signed()).bind(record).execute(session).await?;
            }
            Self::Redis(connection) => {
                redis::cmd("SET").arg(format!("records:{number}")).arg(record).exec_async(connection).await?;
            }
            Self::Etcd(client) => {
                client.put(format!("records/{number}"), record, None).await?;
            }
        }
        Ok(())
    }

    /// Runs a prepared statement, where there are any.
    async fn run(&mut self, sql: &'static str) -> Outcome<()> {
        match self {
            Self::Sqlite(file) => {
                sqlx::query(sql).execute(file).await?;
            }
            Self::Postgres(session) => {
                sqlx::query(sql).execute(session).await?;
            }
            Self::Mariadb(session) => {
                sqlx::query(sql).execute(session).await?;
            }
            Self::Redis(_) | Self::Etcd(_) => {}
        }
        Ok(())
    }
}
