use std::ffi::OsString;
use std::time::Duration;

use async_trait::async_trait;

use super::{Redirect, RedirectError};
use crate::client::{Address, Endpoint};
use crate::command::CommandLine;
use crate::error::Invalid;
use crate::right::Right;

/// A redirect by an external command. It is told where to in its environment:
///
/// | variable | example |
/// |---|---|
/// | `FAILOVER_NODE` | `a` |
/// | `FAILOVER_TERM`, `FAILOVER_TOKEN` | `7`, `active#7` |
/// | `FAILOVER_ENDPOINT` | the first endpoint: `10.0.0.7:443` |
/// | `FAILOVER_ENDPOINTS` | all, with `;` between them |
///
/// Exit status 0 is success. What it writes is told at its end, up to a KiB. At its deadline, and when the node has to stop being active, it is killed with
/// its whole process group.
#[derive(Debug, Clone)]
pub struct Command {
    line: CommandLine,
    within: Duration,
}

impl Command {
    /// A program and its arguments; no shell looks at them.
    ///
    /// # Errors
    /// [`Invalid`] if it names no program.
    pub fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, Invalid> {
        let line = CommandLine::new("redirect", words)?;
        Ok(Self { line, within: Duration::from_secs(30) })
    }

    /// How long one try may take. Default: 30 s.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }
}

#[async_trait]
impl Redirect for Command {
    async fn redirect(&self, to: &Address, right: &Right) -> Result<String, RedirectError> {
        let endpoints: Vec<&str> = to.endpoints.iter().map(Endpoint::as_str).collect();
        let environment = [
            ("FAILOVER_NODE", to.node.to_string()),
            ("FAILOVER_TERM", to.term.to_string()),
            ("FAILOVER_TOKEN", right.token().to_string()),
            ("FAILOVER_ENDPOINT", (*endpoints.first().unwrap_or(&"")).to_owned()),
            ("FAILOVER_ENDPOINTS", endpoints.join(";")),
        ];
        // Dropped at the deadline, it kills the command.
        self.line.run(&environment, std::future::pending()).await.map_err(RedirectError::Failed)
    }

    fn deadline(&self) -> Duration {
        self.within
    }
}
