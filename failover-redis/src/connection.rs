//! One connection: made, greeted, used until it is suspect.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failover_core::{Error, ErrorKind, Invalid, Result};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, Value,
};
use tokio::sync::mpsc;

use crate::classify::{Stage, broken, refused};
use crate::durability::Facts;
use crate::options::{Address, Login, RedisOptions, Servers};
use crate::scripts::{Operation, Scripts};

/// A connection to one server.
pub(crate) struct Connection {
    wire: MultiplexedConnection,
    /// Set when the server has closed it; noticed before anything more is sent.
    closed: Arc<AtomicBool>,
    pub(crate) address: Address,
    pub(crate) facts: Facts,
    /// Whether each command has to ask to be let in: the slot is on its way here.
    pub(crate) asking: bool,
}

/// What a server sends unasked.
pub(crate) enum News {
    Message(Vec<u8>),
    Ended,
}

/// How connections are made.
pub(crate) struct Connector {
    options: RedisOptions,
    certificates: Certificates,
}

/// The files that TLS needs, as read when the store was opened.
#[derive(Default)]
struct Certificates {
    authority: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Connector {
    pub(crate) fn new(options: &RedisOptions) -> Result<Self> {
        let read = |field: &str, path: &std::path::Path| {
            let why = |e: std::io::Error| {
                let rule = "it must be the path of a readable PEM file";
                Error::invalid("open", Invalid::new(field, path.display(), rule)).with_source(e)
            };
            std::fs::read(path).map_err(why)
        };
        let mut certificates = Certificates::default();
        if let Some(tls) = &options.tls {
            certificates.authority = tls.authority.as_ref().map(|path| read("ca", path)).transpose()?;
            let identity =
                tls.identity.as_ref().map(|(cert, key)| Ok::<_, Error>((read("cert", cert)?, read("key", key)?)));
            certificates.identity = identity.transpose()?;
        }
        Ok(Self { options: options.clone(), certificates })
    }

    /// A connection without a greeting, such as to a Sentinel. What the server sends unasked goes to `news`.
    async fn wire(
        &self,
        address: &Address,
        login: &Login,
        database: u32,
        news: Option<mpsc::UnboundedSender<News>>,
    ) -> redis::RedisResult<(MultiplexedConnection, Arc<AtomicBool>)> {
        let (host, port) = (address.host.clone(), address.port);
        let location = if self.options.tls.is_some() {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut settings = RedisConnectionInfo::default()
            .set_db(database.into())
            // So that the end of a connection is told, and a subscription is a connection like any other.
            .set_protocol(ProtocolVersion::RESP3)
            // One command less that an ACL has to permit.
            .set_skip_set_lib_name();
        if let Some(user) = &login.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &login.password {
            settings = settings.set_password(password);
        }
        let info = location
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings);
        let closed = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&closed);
        let hear = move |push: PushInfo| {
            let told = match push.kind {
                PushKind::Disconnection => {
                    noticed.store(true, Ordering::Release);
                    News::Ended
                }
                PushKind::Message => match push.data.into_iter().nth(1) {
                    Some(Value::BulkString(message)) => News::Message(message),
                    _ => return Ok(()),
                },
                _ => return Ok::<(), redis::aio::SendError>(()),
            };
            // Nobody may be listening (any more).
            let _ = news.as_ref().map(|news| news.send(told));
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.connect_timeout))
            // Every call has a deadline of its own.
            .set_response_timeout(None)
            .set_push_sender(hear);
        let client = self.client(info)?;
        // Names are resolved here, each time.
        Ok((client.get_multiplexed_async_connection_with_config(&config).await?, closed))
    }

    #[cfg(feature = "tls")]
    fn client(&self, info: redis::ConnectionInfo) -> redis::RedisResult<Client> {
        if self.options.tls.is_none() {
            return Client::open(info);
        }
        // The first of the process decides; a host that prefers another has installed it before.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client_tls = self.certificates.identity.clone();
        let client_tls = client_tls.map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key });
        let root_cert = self.certificates.authority.clone();
        Client::build_with_tls(info, redis::TlsCertificates { client_tls, root_cert })
    }

    #[cfg(not(feature = "tls"))]
    fn client(&self, info: redis::ConnectionInfo) -> redis::RedisResult<Client> {
        // An address that asks for TLS was refused when it was read.
        let Certificates { authority: _, identity: _ } = &self.certificates;
        Client::open(info)
    }

    /// A connection to a server that holds data, with what it says of itself.
    pub(crate) async fn connect(&self, operation: &'static str, address: &Address) -> Result<Connection> {
        let at = address.to_string();
        let failed = |error| broken(operation, Stage::Connecting, &at, &error);
        let (wire, closed) =
            self.wire(address, &self.options.login, self.options.database, None).await.map_err(failed)?;
        let mut connection =
            Connection { wire, closed, address: address.clone(), facts: Facts::default(), asking: false };
        let mut ask = Pipeline::new();
        ask.cmd("INFO").arg("server").arg("replication").arg("persistence").arg("memory");
        ask.cmd("CONFIG").arg("GET").arg("appendfsync");
        let mut told = connection.send(&ask, 2).await.map_err(failed)?.into_iter();
        let info = match told.next() {
            Some(Value::ServerError(error)) => return Err(refused(operation, &at, &error)),
            Some(info) => redis::from_redis_value::<String>(info).unwrap_or_default(),
            None => String::new(),
        };
        // Rights to CONFIG are often withheld: then it is not known.
        let flushes = told.next().and_then(|told| redis::from_redis_value::<HashMap<String, String>>(told).ok());
        connection.facts = Facts::parse(&info, flushes.and_then(|told| told.into_values().next()));
        if !connection.facts.is_primary && self.options.servers != Servers::Cluster {
            let message = format!("{at} is a replica: connect to the primary, or through Sentinel");
            return Err(Error::new(ErrorKind::Unavailable, operation, message));
        }
        Ok(connection)
    }

    /// A connection on which messages of a channel arrive.
    pub(crate) async fn subscribe(
        &self,
        address: &Address,
        login: &Login,
        channel: &str,
    ) -> Result<(Ear, mpsc::UnboundedReceiver<News>)> {
        let (news, heard) = mpsc::unbounded_channel();
        let at = address.to_string();
        let failed = |error| broken("changed", Stage::Connecting, &at, &error);
        let (mut wire, _) = self.wire(address, login, 0, Some(news)).await.map_err(failed)?;
        wire.subscribe(channel).await.map_err(failed)?;
        Ok((Ear(wire), heard))
    }

    /// Asks a Sentinel one thing.
    pub(crate) async fn ask(
        &self,
        address: &Address,
        login: &Login,
        parts: &[&str],
    ) -> Result<HashMap<String, String>> {
        let at = address.to_string();
        let failed = |error| broken("connect", Stage::Connecting, &at, &error);
        let (mut wire, _) = self.wire(address, login, 0, None).await.map_err(failed)?;
        let mut command = redis::cmd(parts[0]);
        command.arg(&parts[1..]);
        command.query_async(&mut wire).await.map_err(failed)
    }
}

/// A subscription. Dropping it ends it.
pub(crate) struct Ear(MultiplexedConnection);

impl Ear {
    /// Whether the other side still answers.
    pub(crate) async fn probe(&mut self) -> bool {
        redis::cmd("PING").query_async::<Value>(&mut self.0).await.is_ok()
    }
}

/// What came back of a script.
pub(crate) struct Outcome {
    pub(crate) answer: Value,
    /// How many replicas have it, if that was asked.
    pub(crate) replicas: Option<i64>,
}

impl Connection {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    async fn send(&self, pipeline: &Pipeline, answers: usize) -> redis::RedisResult<Vec<Value>> {
        // A clone is a handle on the same connection.
        self.wire.clone().send_packed_commands(pipeline, 0, answers).await
    }

    /// Runs a script: by its hash, and by its text if the server does not know that (any more).
    pub(crate) async fn run(
        &self,
        operation: &Operation,
        keys: &[String],
        args: &[Vec<u8>],
        wait: Option<(u32, u64)>,
    ) -> redis::RedisResult<Outcome> {
        let hash = operation.script.get_hash();
        let outcome = self.evaluate("EVALSHA", hash, keys, args, wait).await?;
        match &outcome.answer {
            Value::ServerError(error) if error.code() == "NOSCRIPT" => {
                self.evaluate("EVAL", operation.source, keys, args, wait).await
            }
            _ => Ok(outcome),
        }
    }

    /// Has the server learn all scripts, so that none of the calls to come is the one that waits for its text to be compiled.
    pub(crate) async fn teach(&self, scripts: &Scripts) -> redis::RedisResult<()> {
        let all = scripts.all();
        let mut pipeline = Pipeline::new();
        for operation in &all {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(operation.source);
        }
        // Rights to it may be withheld: then each is sent when it is first needed.
        self.send(&pipeline, all.len()).await.map(drop)
    }

    async fn evaluate(
        &self,
        command: &str,
        script: &str,
        keys: &[String],
        args: &[Vec<u8>],
        wait: Option<(u32, u64)>,
    ) -> redis::RedisResult<Outcome> {
        let mut pipeline = Pipeline::new();
        if self.asking {
            pipeline.cmd("ASKING");
        }
        pipeline.cmd(command).arg(script).arg(keys.len()).arg(keys).arg(args);
        if let Some((replicas, patience)) = wait {
            // On this connection: it counts only those who have what this connection wrote.
            pipeline.cmd("WAIT").arg(replicas).arg(patience);
        }
        let count = usize::from(self.asking) + 1 + usize::from(wait.is_some());
        let mut answers = self.send(&pipeline, count).await?.into_iter();
        if self.asking {
            answers.next();
        }
        let answer = answers.next().unwrap_or_default();
        let replicas = answers.next().map(|told| if let Value::Int(count) = told { count } else { 0 });
        Ok(Outcome { answer, replicas })
    }
}
