//! A lane's connection: one at a time, replaced as soon as there is doubt about it.

use std::sync::{Arc, Mutex, PoisonError};

use failover_core::Result;

use crate::connection::Connection;

/// Holds the connection of one lane.
///
/// A call that was dropped or timed out under way makes its connection suspect: nobody uses it again, because an
/// established connection whose other side is gone stays silent for minutes. So such a connection costs the calls that were under way on it and no
/// later one. Calls that run on it still may finish.
#[derive(Default)]
pub(crate) struct Link {
    current: Mutex<Option<Arc<Connection>>>,
    /// Held by who makes a new one, so that the others wait for that and do not make their own.
    making: tokio::sync::Mutex<()>,
}

impl Link {
    fn current(&self) -> Option<Arc<Connection>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|connection| connection.is_closed()) {
            *current = None;
        }
        current.clone()
    }

    /// The connection, or a new one.
    pub(crate) async fn get(&self, make: impl Future<Output = Result<Connection>>) -> Result<Arc<Connection>> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let _only = self.making.lock().await;
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let connection = Arc::new(make.await?);
        self.put(&connection);
        Ok(connection)
    }

    pub(crate) fn put(&self, connection: &Arc<Connection>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(connection));
    }

    /// Takes this connection out of use, if it still is in use.
    pub(crate) fn discard(&self, connection: &Arc<Connection>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|there| Arc::ptr_eq(there, connection)) {
            *current = None;
        }
    }

    /// Takes whatever connection there is out of use.
    pub(crate) fn clear(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A call under way. Dropped before it has come [back](Self::came_back), it makes its connection suspect.
pub(crate) struct UnderWay<'l> {
    link: &'l Link,
    connection: &'l Arc<Connection>,
    back: bool,
}

impl<'l> UnderWay<'l> {
    pub(crate) fn on(link: &'l Link, connection: &'l Arc<Connection>) -> Self {
        Self { link, connection, back: false }
    }

    pub(crate) fn came_back(mut self) {
        self.back = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.back {
            self.link.discard(self.connection);
        }
    }
}
