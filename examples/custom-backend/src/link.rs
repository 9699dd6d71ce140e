//! [`Link`]: a connection that is replaced as soon as there is doubt about it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerError};
use failover_core::{Error, ErrorKind, Result};
use tokio::sync::{Mutex, watch};

use crate::options::Server;

/// A connection to the server. There is one for heartbeats and leases and one for everything else, so that large values never
/// stand in a heartbeat's way.
#[derive(Debug)]
pub(crate) struct Link {
    server: Server,
    live: Mutex<Option<Arc<Live>>>,
}

/// A connection that has been made.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) jetstream: Context,
    trouble: Arc<watch::Sender<Option<Trouble>>>,
}

/// Why a connection is not used for another call.
#[derive(Debug, Clone)]
enum Trouble {
    /// A call on it got no answer: it may be half-open, which looks like a slow server for a quarter of an hour. Calls that are
    /// on their way may still be answered.
    Suspect,
    /// It ended, and with it all calls that are on their way.
    Ended,
    /// The server says that something is not permitted, without saying to which request.
    Denied(String),
}

impl Link {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, live: Mutex::default() }
    }

    /// The connection, if there is one: for what is not worth waiting for.
    pub(crate) fn at_hand(&self) -> Option<Arc<Live>> {
        self.live.try_lock().ok()?.clone()
    }

    /// The connection; a new one if there is none that is beyond doubt.
    pub(crate) async fn live(&self, operation: &'static str) -> Result<Arc<Live>> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| live.trouble.borrow().is_none()) {
            return Ok(Arc::clone(live));
        }
        *slot = None;
        // Boxed: connecting takes far more room than the calls that may need it.
        let live = Arc::new(Box::pin(connect(&self.server, operation)).await?);
        *slot = Some(Arc::clone(&live));
        Ok(live)
    }
}

async fn connect(server: &Server, operation: &'static str) -> Result<Live> {
    let trouble = Arc::new(watch::Sender::new(None));
    let told = Arc::clone(&trouble);
    let options = server.options().max_reconnects(1).event_callback(move |event| {
        let told = Arc::clone(&told);
        async move {
            match event {
                Event::Disconnected | Event::Closed => drop(told.send_replace(Some(Trouble::Ended))),
                Event::ServerError(ServerError::Other(text))
                    if text.to_lowercase().contains("permissions violation") =>
                {
                    told.send_replace(Some(Trouble::Denied(text)));
                }
                _ => {}
            }
        }
    });
    let client = open(server, options, operation).await?;
    let mut jetstream = jetstream::new(client);
    // Whoever calls has a deadline of its own; this one is only for what nobody waits for any more.
    jetstream.set_timeout(server.timeout);
    Ok(Live { jetstream, trouble })
}

/// Connects, and says in our words why it does not work.
pub(crate) async fn open(
    server: &Server,
    options: ConnectOptions,
    operation: &'static str,
) -> Result<async_nats::Client> {
    options.connect(server.address.clone()).await.map_err(|e| {
        let address = &server.address;
        let (kind, message) = match e.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                (ErrorKind::Denied, format!("{address} refuses this user or password: correct them in the address"))
            }
            ConnectErrorKind::ServerParse => (ErrorKind::Invalid, format!("{address} is no address of a server")),
            _ => (ErrorKind::Unavailable, format!("{address} cannot be reached: check that nats-server runs there")),
        };
        Error::new(kind, operation, message).with_source(e)
    })
}

impl Live {
    /// Waits for a request's answer, but not beyond the end of the connection. `lost` is what the failure is called then. A
    /// request that is given up without an answer leaves the connection in doubt.
    pub(crate) async fn answer<A>(
        &self,
        operation: &'static str,
        lost: ErrorKind,
        request: impl Future<Output = A>,
    ) -> Result<A> {
        let mut trouble = self.trouble.subscribe();
        let mut doubt = Doubt { live: self, settled: false };
        let answer = tokio::select! {
            answer = request => Ok(answer),
            _ = trouble.wait_for(|trouble| matches!(trouble, Some(Trouble::Ended | Trouble::Denied(_)))) => Err(self.failure(operation, lost)),
        };
        doubt.settled = answer.is_ok();
        answer
    }

    fn failure(&self, operation: &'static str, lost: ErrorKind) -> Error {
        match &*self.trouble.borrow() {
            Some(Trouble::Denied(text)) => {
                Error::new(ErrorKind::Denied, operation, format!("the server says: {text}; give this user the right"))
            }
            _ => Error::new(lost, operation, "the connection ended before the answer came: call again"),
        }
    }

    /// Takes the connection out of use.
    pub(crate) fn distrust(&self) {
        self.trouble.send_modify(|trouble| {
            trouble.get_or_insert(Trouble::Suspect);
        });
    }
}

/// Set on its way while a request is: a caller that gives up drops it unsettled.
struct Doubt<'a> {
    live: &'a Live,
    settled: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.live.distrust();
        }
    }
}

/// How long to wait before attempt number `n` of something that others want at the same moment: at random, so that they do
/// not meet again, and longer the more often they have met.
pub(crate) fn jitter(n: u32) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let most = 500_u64 << n.min(6);
    Duration::from_micros(RandomState::new().hash_one(n) % most)
}
