//! One call: a script on its lane's connection, once more where that is safe, and what its answer means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failover_core::{Error, ErrorKind, Invalid, Result};
use redis::{ServerError, Value};

use crate::classify::{Stage, broken, refused};
use crate::connection::{Connection, Outcome};
use crate::link::UnderWay;
use crate::options::Address;
use crate::reply::{Reply, corrupt, too_new};
use crate::scripts::{Kind, Operation};
use crate::store::Shared;

/// How often one call follows to another server, or greets anew, before it gives up.
const MOST_HOPS: u32 = 8;
/// How long a call waits before it asks again for keys that are on their way to another node.
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// Second words of answers that tell of nothing written.
const UNWRITTEN: &[&[u8]] = &[b"refused", b"lost", b"fenced", b"stale", b"conflict", b"there", b"absent"];

/// The values of a call, each as its bytes.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::call::arg(&$value)),*] };
}
pub(crate) use args;

pub(crate) fn arg(value: &(impl ToString + ?Sized)) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// What to do after a server's answer.
enum Next {
    Done(Reply),
    /// The same again, on whatever connection there then is.
    Again,
    /// The same again in a moment.
    Later,
    /// The same again there: the slot is on its way to that node.
    Ask(Address),
}

impl Shared {
    /// Runs a script for `operation`. What has to survive waits for replicas, for at most `patience`, if the user asked for that.
    ///
    /// Cancel safe in the sense of the traits: dropped, its outcome is unknown, and its connection is not used again.
    pub(crate) async fn call(
        &self,
        operation: &'static str,
        script: &Operation,
        args: Vec<Vec<u8>>,
        patience: Duration,
    ) -> Result<Reply> {
        self.alive()?;
        let (within, doubt) = (self.options.timeout, AtomicBool::new(false));
        let patience = patience.min(within / 2);
        let done = tokio::time::timeout(within, self.attempts(operation, script, &args, patience, &doubt)).await;
        let done = done.unwrap_or_else(|_| {
            let (kind, what) = match (doubt.load(Ordering::Relaxed), script.kind) {
                (false, _) => (ErrorKind::Unavailable, "no server that serves was reached"),
                (true, Kind::Read) => (ErrorKind::Unavailable, "no answer"),
                (true, _) => (ErrorKind::Unknown, "no answer: it may have been applied, and may be repeated"),
            };
            Err(Error::new(kind, operation, format!("{what} (within {within:?}; `timeout` sets it)")))
        });
        done.map_err(|error| {
            // The last attempt surely was not applied, but one before it may have been.
            let surely_not = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Full);
            if surely_not && script.kind != Kind::Read && doubt.load(Ordering::Relaxed) {
                let message = format!("the connection broke under it, and then: {error}. It may have been applied");
                return Error::new(ErrorKind::Unknown, operation, message).with_source(error);
            }
            self.note(error)
        })
    }

    async fn attempts(
        &self,
        operation: &'static str,
        script: &Operation,
        args: &[Vec<u8>],
        patience: Duration,
        doubt: &AtomicBool,
    ) -> Result<Reply> {
        let link = self.link(script.lane);
        let keys: Vec<String> = script.keys.iter().map(|key| self.keys.name(*key)).collect();
        let wait = (self.options.wait > 0 && script.kind.must_survive())
            .then(|| (self.options.wait, u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1)));
        let (mut hops, mut broke) = (0, false);
        loop {
            let connection = link.get(self.connect(operation)).await?;
            if operation == "acquire" {
                connection.facts.check(operation, &self.options)?;
            }
            let mut all = self.known_to(&connection);
            all.extend(args.iter().cloned());
            let under_way = UnderWay::on(link, &connection);
            doubt.store(true, Ordering::Relaxed);
            let outcome = match connection.run(script, &keys, &all, wait).await {
                Ok(outcome) => outcome,
                // The connection is out of use by now. A call that may be repeated is, once: on a new one.
                Err(_) if script.kind.is_repeatable() && !broke => {
                    broke = true;
                    continue;
                }
                Err(error) => {
                    let stage = if script.kind == Kind::Read { Stage::Connecting } else { Stage::Sent };
                    return Err(broken(operation, stage, &connection.address.to_string(), &error));
                }
            };
            under_way.came_back();
            // An answer that is not the script's own says that it was not applied.
            doubt.store(broke, Ordering::Relaxed);
            match self.judge(operation, &connection, outcome, wait.map(|(replicas, _)| replicas))? {
                Next::Done(reply) => return Ok(reply),
                Next::Again | Next::Ask(_) if hops > MOST_HOPS => {
                    let message = "the servers disagree about who serves this slot: see CLUSTER NODES, and try again";
                    return Err(Error::new(ErrorKind::Unavailable, operation, message));
                }
                Next::Again => link.discard(&connection),
                // As long as the call may take.
                Next::Later => {
                    tokio::time::sleep(TRY_AGAIN).await;
                    continue;
                }
                Next::Ask(address) => {
                    link.discard(&connection);
                    if let Some(there) = self.connect_asking(operation, &address).await? {
                        link.put(&Arc::new(there));
                    }
                }
            }
            hops += 1;
        }
    }

    /// What every script is told first: which store and run the caller knows, and the highest counters it has seen.
    fn known_to(&self, connection: &Connection) -> Vec<Vec<u8>> {
        let store = self.identity.get().map_or("", String::as_str);
        let seen = self.seen();
        args![store, connection.facts.run, seen.revision, seen.version]
    }

    fn judge(
        &self,
        operation: &'static str,
        connection: &Connection,
        outcome: Outcome,
        wanted: Option<u32>,
    ) -> Result<Next> {
        let mut reply = match outcome.answer {
            Value::ServerError(error) => return self.follow(operation, connection, &error),
            answer => Reply::new(operation, answer)?,
        };
        match reply.text()?.as_str() {
            "ok" => {
                let written = !reply.peek().is_some_and(|word| UNWRITTEN.contains(&word));
                match (wanted, outcome.replicas) {
                    (Some(wanted), Some(have)) if written && have < i64::from(wanted) => {
                        let message = format!(
                            "written, but only {have} of the {wanted} replicas that `wait` asks for have it: it does not count, and \
                             may be repeated; see that they run and follow"
                        );
                        Err(Error::new(ErrorKind::Unknown, operation, message))
                    }
                    _ => Ok(Next::Done(reply)),
                }
            }
            // Another run of a server holds the data than the one that was greeted.
            "run" => Ok(Next::Again),
            "newer" => {
                let (what, format) = (reply.text()?, reply.text()?);
                Err(too_new(operation, &what, &format))
            }
            "corrupt" => Err(corrupt(operation, &reply.text()?)),
            "absent" => {
                let rule = "the cluster is not there and was not to be made: see that the address is right, or leave out `create=false`";
                Err(Error::invalid(operation, Invalid::new("create", "false", rule)))
            }
            "gone" => Err(changed(
                operation,
                "the cluster's own record is gone from the server: it was flushed, or lost its data",
            )),
            "other" => Err(changed(
                operation,
                "the server holds another store than the one this node opened: it was emptied and made anew",
            )),
            "back" => {
                let (what, now, before) = (reply.text()?, reply.text()?, reply.text()?);
                let what =
                    format!("{what} went back from {before} to {now}: an older copy has taken the server's place");
                Err(changed(operation, &what))
            }
            _ => Err(reply.strange()),
        }
    }

    /// What to do after a server has refused. Nothing was applied, so it may go on elsewhere.
    fn follow(&self, operation: &'static str, connection: &Connection, error: &ServerError) -> Result<Next> {
        let at = connection.address.to_string();
        let elsewhere = || {
            let address = error.details()?.split_ascii_whitespace().nth(1)?;
            let (host, port) = address.rsplit_once(':')?;
            // Without a host it is the one that answered.
            let host = if host.is_empty() { connection.address.host.clone() } else { host.to_owned() };
            Some(Address { host, port: port.parse().ok()? })
        };
        match error.code() {
            "MOVED" => {
                self.router.moved_to(elsewhere().ok_or_else(|| refused(operation, &at, error))?);
                Ok(Next::Again)
            }
            "ASK" => elsewhere().map(Next::Ask).ok_or_else(|| refused(operation, &at, error)),
            "TRYAGAIN" => Ok(Next::Later),
            code => {
                // The server is not the right one, or not now: look again the next time.
                if matches!(code, "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "NOAUTH") {
                    self.disconnect();
                }
                Err(refused(operation, &at, error))
            }
        }
    }

    /// A connection to the server that holds the data, greeted, and taught the scripts: a server that was restarted, or took
    /// another's place, would compile each in the middle of the call that needs it first.
    pub(crate) async fn connect(&self, operation: &'static str) -> Result<Connection> {
        let connection = self.connect_to_owner(operation).await?;
        if self.teaches(&connection.facts.run) {
            // Whatever comes of it is found out by the calls.
            let _learnt = connection.teach(&self.scripts).await;
        }
        Ok(connection)
    }

    async fn connect_to_owner(&self, operation: &'static str) -> Result<Connection> {
        let (mut failed, mut hops) = (None, 0);
        let most = self.router.choices();
        for _ in 0..most {
            let mut next = self.router.connect(operation).await;
            loop {
                match next {
                    Err(error) => {
                        // A refusal tells more than a silence.
                        let told = failed.as_ref().is_some_and(|before: &Error| !before.is_retryable());
                        if !told {
                            failed = Some(error);
                        }
                        break;
                    }
                    Ok(connection) => match self.greet(operation, &connection).await? {
                        Next::Done(_) => return Ok(connection),
                        // As long as the call may take.
                        Next::Later => {
                            tokio::time::sleep(TRY_AGAIN).await;
                            next = Ok(connection);
                            continue;
                        }
                        Next::Again | Next::Ask(_) if hops > MOST_HOPS => break,
                        Next::Ask(address) => match self.connect_asking(operation, &address).await? {
                            Some(there) => return Ok(there),
                            None => next = self.router.connect(operation).await,
                        },
                        Next::Again => next = self.router.connect(operation).await,
                    },
                }
                hops += 1;
            }
        }
        Err(failed.unwrap_or_else(|| nobody(operation)))
    }

    /// A connection to the node that a slot is on its way to; nothing if by now it is on its way elsewhere.
    async fn connect_asking(&self, operation: &'static str, address: &Address) -> Result<Option<Connection>> {
        let mut connection = self.router.connector.connect(operation, address).await?;
        connection.asking = true;
        loop {
            match self.greet(operation, &connection).await? {
                Next::Done(_) => return Ok(Some(connection)),
                Next::Later => tokio::time::sleep(TRY_AGAIN).await,
                Next::Again | Next::Ask(_) => return Ok(None),
            }
        }
    }

    async fn greet(&self, operation: &'static str, connection: &Connection) -> Result<Next> {
        let script = &self.scripts.greet;
        let mut args = self.known_to(connection);
        let fresh = if self.options.create { uuid::Uuid::now_v7().to_string() } else { String::new() };
        args.extend(args![fresh, self.options.term_floor.0]);
        let keys: Vec<String> = script.keys.iter().map(|key| self.keys.name(*key)).collect();
        let outcome = connection.run(script, &keys, &args, None).await;
        let at = connection.address.to_string();
        let outcome = outcome.map_err(|error| broken(operation, Stage::Connecting, &at, &error))?;
        let mut next = self.judge(operation, connection, outcome, None).map_err(|error| self.note(error))?;
        if let Next::Done(reply) = &mut next {
            let (store, revision, version) = (reply.text()?, reply.number()?, reply.number()?);
            let known = self.identity.get_or_init(|| store.clone());
            if *known != store {
                return Err(self.note(changed(operation, "two servers hold the same cluster: see which one is right")));
            }
            let mut seen = self.seen();
            seen.saw_revision(revision);
            seen.saw_version(version);
        }
        Ok(next)
    }
}

fn nobody(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, "no node serves the cluster's slot at the moment: see CLUSTER NODES")
}

pub(crate) fn changed(operation: &'static str, what: &str) -> Error {
    let message = format!("{what}. Open it anew, with a `term_floor` above every term and epoch that was in use");
    Error::new(ErrorKind::StoreChanged, operation, message)
}
