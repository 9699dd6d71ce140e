//! [`Target`]: where connections go, and what a session is told first.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions, MySqlConnection};

use super::classify::{Stage, classify, too_late};
use super::connection;
use crate::dialect::Fault;

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) options: MySqlConnectOptions,
    /// What a session is told before it is used.
    pub(super) setup: Arc<str>,
    pub(super) connect_timeout: Duration,
}

impl Target {
    pub(super) async fn connect(&self, operation: &'static str) -> Result<MySqlConnection, Fault> {
        let connecting = async {
            let mut connection = self.options.connect().await?;
            connection::text(&mut connection, Arc::clone(&self.setup)).await?;
            Ok(connection)
        };
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|e| classify(operation, Stage::Connect, e)),
            Err(_elapsed) => Err(too_late(operation, Stage::Connect)),
        }
    }
}
