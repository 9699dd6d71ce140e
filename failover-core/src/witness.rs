//! [`Witness`]: somebody beside the store who answers as long as this node is not cut off.
//!
//! A store that does not answer says little: is it the store that is away, or this node? A witness tells the two apart. It is asked only
//! while no call to the store succeeds, once a beat, and each question has the deadline of a store call
//! ([`Timing::call`](crate::Timing::call)). Several may be given: that one answers is enough.
//!
//! - **The store is silent and a witness answers**: it is the store that is away, for everybody. The event `store_silent` says so, and the node keeps
//!   its rights until their end, because nobody else can get them either.
//! - **Neither answers**: the node is cut off. It stops everything at once, while its rights still last, so that the host's `demote` and the jobs have
//!   more time than they would have at the forced end; and it joins anew as soon as the store answers.
//! - **The store answers**: the node is not cut off, whatever a witness says, and none is asked.
//!
//! A witness should stand where the clients are: the gateway, another switch, a peer's port. A name that has to be resolved is asked of the
//! resolver each time; an address is not.

use std::ffi::OsString;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tracing::{debug, error};

use crate::command::CommandLine;
use crate::driver::Host;
use crate::error::Invalid;
#[cfg(feature = "http")]
use crate::http::{self, Url};
use crate::machine::Reach;
use crate::time::Clock;

/// Somebody beside the store who answers as long as this node is not cut off. See the [module](self).
///
/// Parsed from `tcp://host:port`, `http://host[:port][/path]` (with the feature `http`) or `command:program argument …`, whose words
/// are separated by spaces.
#[derive(Clone)]
pub struct Witness(Kind);

#[derive(Clone)]
enum Kind {
    Tcp {
        host: String,
        port: u16,
    },
    #[cfg(feature = "http")]
    Http(Url),
    Command(CommandLine),
    Function(Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>),
}

impl Witness {
    /// One that answers by accepting a connection at `host:port`. A peer's own port will do.
    ///
    /// # Errors
    /// [`Invalid`] if the address is not `host:port`.
    pub fn tcp(address: &str) -> Result<Self, Invalid> {
        let refuse = |rule: &str| Invalid::new("witness", address, rule);
        let (host, port) = address.rsplit_once(':').ok_or_else(|| refuse("it must be `host:port`"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains([':', '[', ']', '/', '@']) {
            return Err(refuse("it must be `host:port`, and an IPv6 address must stand in brackets"));
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(refuse("it must name a host"));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self(Kind::Tcp { host: host.to_owned(), port })),
            Ok(_) | Err(_) => Err(refuse("its port must be 1 to 65535")),
        }
    }

    /// One that answers `GET` of this address; with whatever status, for it is the network that is asked about.
    ///
    /// # Errors
    /// [`Invalid`] if the address is not `http://host[:port][/path]`.
    #[cfg(feature = "http")]
    pub fn http(url: &str) -> Result<Self, Invalid> {
        Url::parse("witness", url).map(|url| Self(Kind::Http(url)))
    }

    /// One that answers by a command's exit status 0. At its deadline the command is killed, with its process group.
    ///
    /// # Errors
    /// [`Invalid`] if it names no program.
    pub fn command(words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, Invalid> {
        CommandLine::new("witness", words).map(|line| Self(Kind::Command(line)))
    }

    /// One that answers by a function's `true`. At its deadline its future is dropped; a panic is no answer.
    pub fn function<F, R>(function: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        Self(Kind::Function(Arc::new(move || function().boxed())))
    }

    async fn answers(&self, patience: Duration, host: &Host) -> bool {
        let answer = match &self.0 {
            Kind::Tcp { host, port } => {
                TcpStream::connect((host.as_str(), *port)).await.map(drop).map_err(|e| e.to_string())
            }
            #[cfg(feature = "http")]
            Kind::Http(url) => http::ask(hyper::Method::GET, url, Vec::new(), patience).await.map(drop),
            // The deadline is the caller's: dropping this kills the command.
            Kind::Command(line) => line.run(&[], std::future::pending()).await.map(drop),
            Kind::Function(function) => {
                let function = function.clone();
                host.ask(async move { function().await }).await.then_some(()).ok_or_else(|| "it says no".to_owned())
            }
        };
        debug!(witness = %self, ?patience, ?answer, "a witness was asked");
        answer.is_ok()
    }
}

/// Asks all of them at once; the host's functions in its own runtime. Cancel safe: whatever is still under way is dropped.
pub(crate) async fn ask(witnesses: &[Witness], clock: &dyn Clock, patience: Duration, host: &Host) -> Reach {
    let expired = clock.sleep_until(clock.now() + patience);
    let mut asked: FuturesUnordered<_> = witnesses.iter().map(|witness| guarded(witness, patience, host)).collect();
    let anybody = async {
        while let Some(answers) = asked.next().await {
            if answers {
                return Reach::Reachable;
            }
        }
        Reach::Unreachable
    };
    tokio::select! {
        biased;
        reach = anybody => reach,
        () = expired => Reach::Unreachable,
    }
}

async fn guarded(witness: &Witness, patience: Duration, host: &Host) -> bool {
    let answers = AssertUnwindSafe(witness.answers(patience, host)).catch_unwind().await;
    answers.unwrap_or_else(|_| {
        error!(%witness, "a witness panicked, which is no answer");
        false
    })
}

impl FromStr for Witness {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(address) = text.strip_prefix("tcp://") {
            return Self::tcp(address);
        }
        if let Some(line) = text.strip_prefix("command:") {
            return Self::command(line.split_whitespace());
        }
        #[cfg(feature = "http")]
        if text.starts_with("http://") {
            return Self::http(text);
        }
        // What a user wrote is repeated without what may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, after)| after);
        let rule = if cfg!(feature = "http") {
            "it must be `tcp://host:port`, `http://host[:port][/path]` or `command:program argument …`"
        } else {
            "it must be `tcp://host:port` or `command:program argument …`; the build has no HTTP"
        };
        Err(Invalid::new("witness", shown, rule))
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Kind::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            #[cfg(feature = "http")]
            Kind::Http(url) => write!(f, "{url}"),
            Kind::Command(line) => write!(f, "command:{}", line.program()),
            Kind::Function(_) => f.write_str("function"),
        }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;
    use crate::time::SystemClock;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn reach(witnesses: &[Witness], patience: Duration) -> Reach {
        let host = Host::new(tokio::runtime::Handle::current(), None);
        ask(witnesses, &SystemClock::new(), patience, &host).await
    }

    async fn listener() -> (TcpListener, Witness) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let witness = Witness::tcp(&listener.local_addr().unwrap().to_string()).unwrap();
        (listener, witness)
    }

    #[tokio::test]
    async fn one_that_answers_among_several_is_enough() {
        let (up, there) = listener().await;
        // Bound and not listening, so that nobody else can be there.
        let down = TcpSocket::new_v4().unwrap();
        down.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let gone = Witness::tcp(&down.local_addr().unwrap().to_string()).unwrap();
        let no = Witness::function(|| async { false });
        let hangs = Witness::function(std::future::pending);
        assert_eq!(reach(&[gone.clone(), no.clone(), hangs, there], PATIENCE).await, Reach::Reachable);
        drop(up);
        assert_eq!(reach(&[gone, no], PATIENCE).await, Reach::Unreachable);
    }

    #[tokio::test]
    async fn one_that_hangs_or_panics_is_no_answer_and_is_dropped_at_its_deadline() {
        let dropped = Arc::new(AtomicBool::new(false));
        let seen = dropped.clone();
        let hangs = Witness::function(move || {
            let guard = OnDrop(seen.clone());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        });
        let panics = Witness::function(|| async { panic!("oh no") });
        assert_eq!(reach(&[hangs, panics], Duration::from_millis(30)).await, Reach::Unreachable);
        assert!(dropped.load(Ordering::Relaxed));
    }

    struct OnDrop(Arc<AtomicBool>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_answers_by_its_exit_status() {
        assert_eq!(reach(&[Witness::command(["/bin/true"]).unwrap()], PATIENCE).await, Reach::Reachable);
        assert_eq!(reach(&["command:/bin/false".parse().unwrap()], PATIENCE).await, Reach::Unreachable);
        assert_eq!(
            reach(&["command:/bin/sleep 60".parse().unwrap()], Duration::from_millis(50)).await,
            Reach::Unreachable
        );
    }

    #[cfg(feature = "http")]
    #[tokio::test]
    async fn any_answer_over_http_is_one() {
        use tokio::io::AsyncWriteExt as _;

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let witness: Witness = format!("http://{}/health", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            // The next connection is accepted and never answered.
            let _open = listener.accept().await.unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(reach(std::slice::from_ref(&witness), PATIENCE).await, Reach::Reachable);
        assert_eq!(reach(&[witness], Duration::from_millis(50)).await, Reach::Unreachable);
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_field_value_and_rule() {
        let refused = |text: &str| text.parse::<Witness>().unwrap_err().to_string();
        assert_eq!(refused("tcp://gateway"), "witness is `gateway`: it must be `host:port`");
        assert!(refused("tcp://:80").ends_with("it must name a host"));
        assert!(refused("tcp://a:0").ends_with("its port must be 1 to 65535"));
        assert!(refused("tcp://a:65536").ends_with("its port must be 1 to 65535"));
        assert!(refused("tcp://::1:80").ends_with("an IPv6 address must stand in brackets"));
        assert_eq!(refused("command:  "), "witness is ``: a command must name a program");
        assert!(refused("ping gateway").starts_with("witness is `ping gateway`: it must be `tcp://host:port`"));
        assert!(!refused("ftp://me:secret@host/").contains("secret"));
        for text in ["tcp://gateway:80", "tcp://[::1]:80", "command:/bin/check"] {
            assert_eq!(text.parse::<Witness>().unwrap().to_string(), text);
        }
    }
}
