//! [`Lane`]: one connection to one of the servers, replaced as soon as it is suspect.
//!
//! A request that was dropped or timed out says nothing about its connection, which may be half-open: it is never used again,
//! and the next request goes to the next server. So a dead connection or a paused server costs one call, not all.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions, KvClient};
use failover_core::{Error, ErrorKind, Invalid};

use crate::classify::{Fault, What};

/// The largest answer that is taken: far above any that is asked for.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How often a request is made that was surely not applied, before its caller is told.
const TRIES: u32 = 40;

/// Whether a request may be made twice although the first may have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// One call of a trait's method, for its errors.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    /// Whether a write is on its way whose outcome is not known.
    sent: AtomicBool,
    /// Whether the write that the call is about was applied: what follows is only tidying up.
    applied: AtomicBool,
    /// The last fault, for the text of an error.
    last: Mutex<Option<String>>,
}

impl Call {
    pub(crate) fn new(operation: &'static str) -> Self {
        Self { operation, sent: AtomicBool::new(false), applied: AtomicBool::new(false), last: Mutex::default() }
    }

    pub(crate) fn was_applied(&self) {
        self.applied.store(true, Ordering::Relaxed);
    }

    fn lost(&self) -> ErrorKind {
        let maybe = self.sent.load(Ordering::Relaxed) || self.applied.load(Ordering::Relaxed);
        if maybe { ErrorKind::Unknown } else { ErrorKind::Unavailable }
    }

    /// The error for a request that failed for good.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        let Fault { what, text } = fault;
        let (kind, advice) = match what {
            What::Refused => (ErrorKind::Unavailable, "the servers do not serve at present; try again"),
            What::Unreachable => (
                ErrorKind::Unavailable,
                "no server could be reached: check that one runs at the address, and for TLS `ca` and `domain`",
            ),
            What::StaleToken => (ErrorKind::Denied, "the servers do not take the user's token: check the user"),
            What::Lost => (self.lost(), "no answer; try again"),
            What::LeaseGone => (ErrorKind::Unavailable, "the lease lapsed while it was asked for; try again"),
            What::Compacted => (ErrorKind::Unavailable, "what was read was compacted meanwhile; try again"),
            What::Final(ErrorKind::Denied) => {
                (ErrorKind::Denied, "check the user, its password, and its role's rights (rights/etcd.sh grants them)")
            }
            What::Final(ErrorKind::Full) => {
                (ErrorKind::Full, "compact and defragment the servers or raise their quota, then disarm the alarm")
            }
            What::Final(ErrorKind::Invalid) => {
                let rule = "it must fit the servers' limits: send less, or raise --max-request-bytes and --max-txn-ops";
                return Error::invalid(self.operation, Invalid::new("request", text, rule));
            }
            What::Final(kind) => (kind, "the servers refuse the request"),
        };
        Error::new(kind, self.operation, format!("{advice} ({text})"))
    }

    /// The error for a call that took longer than it may.
    pub(crate) fn too_late(&self, after: Duration) -> Error {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        let last = last.map_or_else(String::new, |text| format!("; the last thing heard was: {text}"));
        Error::new(self.lost(), self.operation, format!("no answer within {after:?}; try again{last}"))
    }
}

/// How to reach the servers.
#[derive(Clone)]
pub(crate) struct Connector {
    /// `http://host:port`, or `https`.
    pub(crate) endpoints: Vec<String>,
    pub(crate) options: ConnectOptions,
    pub(crate) timeout: Duration,
    /// Read to see that a server answers, and that the user may read.
    pub(crate) probe: String,
}

impl Connector {
    async fn connect(&self, index: usize, number: u64) -> Result<Connection, Fault> {
        let endpoint = &self.endpoints[index];
        let connect = async {
            // Connects lazily; with a user it proves at once who that is.
            let client = Client::connect([endpoint], Some(self.options.clone())).await?;
            let mut kv = client.kv_client().max_decoding_message_size(MAX_ANSWER);
            // Whatever fails from here on was not applied.
            kv.get(self.probe.as_str(), Some(GetOptions::new().with_serializable())).await?;
            Ok::<_, etcd_client::Error>(Connection { number, client, kv })
        };
        match tokio::time::timeout(self.timeout, connect).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                let fault = Fault::from(error);
                let what = if fault.what == What::Lost { What::Unreachable } else { fault.what };
                Err(Fault::new(what, format!("{endpoint}: {}", fault.text)))
            }
            Err(_) => Err(Fault::new(What::Unreachable, format!("{endpoint}: no answer within {:?}", self.timeout))),
        }
    }
}

/// A connection that has answered at least once.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Which one of its lane.
    pub(crate) number: u64,
    pub(crate) client: Client,
    pub(crate) kv: KvClient,
}

/// One connection at a time, for one sort of calls.
pub(crate) struct Lane {
    connector: Arc<Connector>,
    current: Mutex<Option<Connection>>,
    /// The server to try next.
    next: AtomicUsize,
    count: AtomicU64,
    /// One connects at a time; the others then share what it got.
    connecting: tokio::sync::Mutex<()>,
}

impl Lane {
    pub(crate) fn new(connector: Arc<Connector>) -> Self {
        // Anywhere, so that the nodes spread over the servers.
        let start = RandomState::new().hash_one(0_u8) % connector.endpoints.len().max(1) as u64;
        let next = AtomicUsize::new(usize::try_from(start).unwrap_or(0));
        Self {
            connector,
            current: Mutex::default(),
            next,
            count: AtomicU64::new(1),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    fn usable(&self) -> Option<Connection> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lane's connection, made if there is none.
    pub(crate) async fn connection(&self) -> Result<Connection, Fault> {
        if let Some(connection) = self.usable() {
            return Ok(connection);
        }
        let _one = self.connecting.lock().await;
        if let Some(connection) = self.usable() {
            return Ok(connection);
        }
        let count = self.connector.endpoints.len();
        let mut last = Fault::new(What::Unreachable, "no server is given");
        for _ in 0..count {
            // Moved on before it is tried: if the caller gives up meanwhile, the next one begins elsewhere.
            let index = self.next.fetch_add(1, Ordering::Relaxed) % count;
            // Boxed, as the requests below: they are large, and every call would carry them.
            match Box::pin(self.connector.connect(index, self.count.fetch_add(1, Ordering::Relaxed))).await {
                Ok(connection) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                    return Ok(connection);
                }
                Err(fault) if matches!(fault.what, What::Final(_)) => return Err(fault),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// Never to use this connection again.
    pub(crate) fn suspect(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|connection| connection.number == number) {
            *current = None;
        }
    }

    /// Makes a request, again where it was surely not applied, or is a read.
    pub(crate) async fn run<T, F>(&self, call: &Call, access: Access, ask: impl Fn(Connection) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        for attempt in 0..TRIES {
            let connection = match self.connection().await {
                Ok(connection) => connection,
                Err(fault) if matches!(fault.what, What::Refused | What::StaleToken) => {
                    self.pause(call, &fault, attempt).await;
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            let guard = Guard { lane: self, number: connection.number, armed: true };
            call.sent.store(access == Access::Write, Ordering::Relaxed);
            let fault = match Box::pin(ask(connection)).await {
                Ok(answer) => {
                    guard.trust();
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            let again = match fault.what {
                What::Refused | What::StaleToken => true,
                What::Unreachable => attempt < 3,
                What::Lost => access == Access::Read && attempt < 3,
                What::LeaseGone | What::Compacted | What::Final(_) => {
                    guard.trust();
                    false
                }
            };
            if fault.what != What::Lost {
                call.sent.store(false, Ordering::Relaxed);
            }
            if !again {
                return Err(fault);
            }
            self.pause(call, &fault, attempt).await;
        }
        Err(Fault::new(What::Refused, "refused again and again"))
    }

    /// Nothing at first, then a little, different for everybody.
    async fn pause(&self, call: &Call, fault: &Fault, attempt: u32) {
        *call.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.text.clone());
        if attempt > 0 {
            tokio::time::sleep(jitter(Duration::from_millis(u64::from(attempt.min(10)) * 10))).await;
        }
    }
}

/// Between half of it and all of it.
pub(crate) fn jitter(most: Duration) -> Duration {
    let half = most / 2;
    let parts = RandomState::new().hash_one(most) % 1024;
    half + half * u32::try_from(parts).unwrap_or(0) / 1024
}

/// Makes a connection suspect, unless it was found to answer.
struct Guard<'a> {
    lane: &'a Lane,
    number: u64,
    armed: bool,
}

impl Guard<'_> {
    fn trust(mut self) {
        self.armed = false;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.lane.suspect(self.number);
        }
    }
}
