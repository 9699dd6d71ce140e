//! Where the server is and how to talk to it, read from an address.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use async_nats::ConnectOptions;
use failover_core::{Error, Invalid, Result};
use percent_encoding::percent_decode_str;
use url::Url;

const OPERATION: &str = "open";

/// A server's address in pieces, so that no message can show more of it than `address`.
#[derive(Clone)]
pub(crate) struct Server {
    /// Host and port, and nothing else.
    pub(crate) address: String,
    user: Option<(String, String)>,
    /// The longest one call takes.
    pub(crate) timeout: Duration,
}

impl Server {
    /// Reads `nats://user:password@host:port?timeout=5000`; user, port and timeout (milliseconds) may be left out.
    ///
    /// # Errors
    /// `Invalid`, which names the part and the rule it breaks.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let refuse = |field: &str, value: &str, rule: &str| Error::invalid(OPERATION, Invalid::new(field, value, rule));
        // The whole address is never shown: it may hold a password.
        let url = Url::parse(url).map_err(|e| refuse("url", &e.to_string(), "write it as nats://host:port"))?;
        if url.scheme() != "nats" {
            return Err(refuse("scheme", url.scheme(), "this store is opened with nats://"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| refuse("host", "", "name the server, as in nats://host:port"))?;
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
        let user = match (decode(url.username()), decode(url.password().unwrap_or_default())) {
            (Ok(user), Ok(password)) => Some((user, password)).filter(|(user, _)| !user.is_empty()),
            _ => return Err(refuse("user", "(hidden)", "user and password must be UTF-8, percent-encoded")),
        };
        let mut server =
            Self { address: format!("{host}:{}", url.port().unwrap_or(4222)), user, timeout: Duration::from_secs(5) };
        for (name, value) in url.query_pairs() {
            match (&*name, value.parse::<u64>()) {
                ("timeout", Ok(ms @ 1..=600_000)) => server.timeout = Duration::from_millis(ms),
                ("timeout", _) => return Err(refuse("timeout", &value, "milliseconds, 1 to 600000")),
                _ => return Err(refuse("option", &name, "the only option is `timeout`")),
            }
        }
        Ok(server)
    }

    /// What every connection has in common.
    pub(crate) fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new().connection_timeout(self.timeout).ping_interval(Duration::from_secs(1));
        match &self.user {
            Some((user, password)) => options.user_and_password(user.clone(), password.clone()),
            None => options,
        }
    }
}

impl fmt::Debug for Server {
    /// Without user and password (law 19).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
