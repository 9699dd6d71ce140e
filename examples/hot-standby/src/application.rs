//! The application: loaded on the standby, in operation on the active server. It samples the plant's line into a table of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use failover::sql::SqlStore;
use failover::{Right, RoleHooks};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use stage::{Error, Scene};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS samples (
        id     INTEGER PRIMARY KEY,
        server TEXT NOT NULL,
        term   INTEGER NOT NULL,
        line   TEXT NOT NULL
    ) STRICT";

/// Opens the file as any program would that has tables in it.
pub(crate) async fn open(file: &Path) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(5));
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::raw_sql(TABLE).execute(&pool).await?;
    Ok(pool)
}

/// What one server has of it.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) server: String,
    pub(crate) store: SqlStore,
    pub(crate) sql: SqlitePool,
    /// The plant's line, as this server can reach it.
    pub(crate) line: PathBuf,
    pub(crate) scene: Scene,
}

impl Application {
    /// Enters one sample. The token goes with the write: the condition is judged where the write happens, so a server that is paused just
    /// before this line does not write over its successor.
    async fn sample(&self, right: &Right) -> Result<(), Error> {
        let line = std::fs::read_to_string(&self.line).unwrap_or_else(|error| error.kind().to_string());
        let fence = self.store.fence(right.lease());
        let sql = format!("INSERT INTO samples (server, term, line) SELECT ?, ?, ? WHERE {}", fence.condition_after(3));
        let term = i64::try_from(right.token().number)?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.server.clone()).bind(term).bind(line);
        match fence.bind(query).execute(&self.sql).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(format!("{} is not current any more", right.token()).into()),
        }
    }

    async fn operate(self, right: Right) {
        let stop = right.stopping();
        while !stop.is_cancelled() {
            if let Err(error) = self.sample(&right).await {
                return self.scene.say(&format!("{}: {error}", self.server));
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }
}

/// What a server does when its role changes.
pub(crate) struct Operation {
    pub(crate) application: Application,
    pub(crate) running: Mutex<Option<JoinHandle<()>>>,
}

#[async_trait::async_trait]
impl RoleHooks for Operation {
    async fn prepare(&self) {
        // Yours would read its project and connect to its devices here: all that takes time and changes nothing.
        self.application.scene.say(&format!("{}: application loaded, waits for its command", self.application.server));
    }

    async fn promote(&self, right: Right) {
        self.application.scene.say(&format!(
            "{}: application in operation under {}",
            self.application.server,
            right.token()
        ));
        let operation = tokio::spawn(self.application.clone().operate(right));
        *self.running.lock().await = Some(operation);
    }

    async fn demote(&self) {
        if let Some(running) = self.running.lock().await.take() {
            // Its right is stopping, so it comes to its end; nobody else is active before that.
            let _ended = running.await;
        }
        self.application.scene.say(&format!("{}: application out of operation", self.application.server));
    }
}
