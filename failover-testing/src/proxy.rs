//! [`Proxy`]: stands between clients and a server and does to their connections what networks do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A TCP proxy on the loopback, on threads of its own. Dropping it cuts everything.
///
/// A fault begins when its method returns and lasts until [`heal`](Self::heal), unless it says otherwise.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// What happens to what passes. Connections are counted from 1.
#[derive(Debug, Clone, Default)]
struct Weather {
    upstream: Option<SocketAddr>,
    connections: u64,
    delay: Duration,
    /// Nothing passes, in either direction; connections are accepted.
    black_hole: bool,
    /// Connections are closed as soon as they are accepted.
    refuse: bool,
    replies: Replies,
    /// Connections up to this one pass nothing any more, for ever, and stay open.
    dead: u64,
    /// Connections up to this one are closed.
    cut: u64,
    /// Connections up to this one are closed instead of bringing a reply.
    last: u64,
}

/// What becomes of what the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Replies {
    #[default]
    Pass,
    /// It is taken and never arrives; the connection stays open and is of no use afterwards.
    Lose,
    /// Instead of arriving it closes its connection.
    Cut,
}

impl Proxy {
    /// Begins to pass connections on to a server of the loopback.
    pub fn to_port(port: u16) -> Self {
        Self::to(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Begins to pass connections on.
    ///
    /// # Panics
    /// If the machine has no port or thread left.
    pub fn to(upstream: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        // Not by blocking on it: a test that begins this may itself run in a runtime.
        // Somebody else may take a port between the look at it and this.
        let bound = (0..20).find_map(|_| std::net::TcpListener::bind(("127.0.0.1", crate::port::free())).ok());
        let listener = bound.expect("a free port");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).expect("a runtime takes a socket")
        };
        let address = listener.local_addr().expect("a bound socket has an address");
        let weather = Weather { upstream: Some(upstream), ..Weather::default() };
        let weather = Arc::new(watch::Sender::new(weather));
        runtime.spawn(accept(listener, Arc::clone(&weather)));
        Self { address, weather, runtime: Some(runtime) }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port clients connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> u64 {
        self.weather.borrow().connections
    }

    /// Sends connections that are made from now on elsewhere, as a name that was pointed at another server does.
    pub fn redirect(&self, upstream: SocketAddr) {
        self.change(|w| w.upstream = Some(upstream));
    }

    /// Holds everything back for this long before it passes, in each direction.
    pub fn delay(&self, by: Duration) {
        self.change(|w| w.delay = by);
    }

    /// Nothing passes, on old connections or new: what is sent arrives after [`heal`](Self::heal).
    pub fn black_hole(&self) {
        self.change(|w| w.black_hole = true);
    }

    /// Connections that are open now pass nothing any more, for ever, and stay open. New ones work.
    pub fn half_open(&self) {
        self.change(|w| w.dead = w.connections);
    }

    /// Closes the connections that are open now. New ones work.
    pub fn cut(&self) {
        self.change(|w| w.cut = w.connections);
    }

    /// Closes all connections, and each new one at once.
    pub fn refuse(&self) {
        self.change(|w| {
            w.cut = w.connections;
            w.refuse = true;
        });
    }

    /// Requests arrive and are carried out, replies do not come back; a connection that lost one stays open and dead.
    pub fn lose_replies(&self) {
        self.change(|w| w.replies = Replies::Lose);
    }

    /// Requests arrive and are carried out; in place of its reply a connection is closed.
    pub fn cut_replies(&self) {
        self.change(|w| w.replies = Replies::Cut);
    }

    /// On connections that are open now a request arrives and is carried out; in place of its reply the connection is closed. New ones work.
    pub fn cut_last_replies(&self) {
        self.change(|w| w.last = w.connections);
    }

    /// Ends every fault. Connections that are dead stay dead.
    pub fn heal(&self) {
        self.change(|w| {
            *w = Weather {
                upstream: w.upstream,
                connections: w.connections,
                dead: w.dead,
                cut: w.cut,
                last: w.last,
                ..Weather::default()
            };
        });
    }

    fn change(&self, how: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(how);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, weather: Arc<watch::Sender<Weather>>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut number = 0;
        weather.send_modify(|w| {
            w.connections += 1;
            number = w.connections;
        });
        let (refuse, upstream) = {
            let now = weather.borrow();
            (now.refuse, now.upstream)
        };
        let Some(upstream) = upstream.filter(|_| !refuse) else { continue };
        tokio::spawn(connection(client, upstream, number, weather.subscribe()));
    }
}

/// Passes one connection on, until it ends or is cut. Both sockets are closed when this returns.
async fn connection(client: TcpStream, upstream: SocketAddr, number: u64, mut weather: watch::Receiver<Weather>) {
    // A black hole swallows the handshake with the server too.
    if weather.wait_for(|w| !w.black_hole || w.cut >= number).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _nodelay = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pump(from_client, to_server, number, Way::Request, weather.clone());
    let down = pump(from_server, to_client, number, Way::Reply, weather.clone());
    tokio::select! {
        _ = async { tokio::try_join!(up, down) } => {}
        _ = weather.wait_for(|w| w.cut >= number) => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    way: Way,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        let delay = weather.borrow().delay;
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        // One that was cut is about to be closed, and passes nothing until then.
        let replies = match weather.wait_for(|w| !w.black_hole && w.dead < number && w.cut < number).await {
            Ok(now) if way == Way::Reply && number <= now.last => Replies::Cut,
            Ok(now) if way == Way::Reply => now.replies,
            Ok(_) => Replies::Pass,
            Err(_) => return Ok(()),
        };
        match replies {
            // Dead from here on: what follows a hole in a stream means nothing.
            Replies::Lose => std::future::pending::<()>().await,
            Replies::Cut => return Err(io::ErrorKind::ConnectionReset.into()),
            Replies::Pass if n == 0 => return to.shutdown().await,
            Replies::Pass => to.write_all(&buffer[..n]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// A server that gives every byte back, and a proxy to it.
    fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut reader = stream.try_clone().unwrap();
                    let mut writer = stream;
                    io::copy(&mut reader, &mut writer)
                });
            }
        });
        Proxy::to(address)
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        // A machine that is busy with other things may take its time to answer.
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    }

    fn ask(mut stream: &TcpStream) -> io::Result<u8> {
        stream.write_all(b"x")?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// Nothing comes back, and the connection lasts.
    fn is_silent(stream: &TcpStream) {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert_eq!(ask(stream).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    }

    #[tokio::test]
    async fn a_proxy_begins_and_ends_inside_a_runtime() {
        drop(Proxy::to_port(crate::port::free()));
    }

    #[test]
    fn what_passes_arrives() {
        let proxy = echo();
        assert_eq!(ask(&client(&proxy)).unwrap(), b'x');
        assert_eq!(proxy.connections(), 1);
    }

    #[test]
    fn a_half_open_connection_stays_silent_and_a_new_one_works() {
        let proxy = echo();
        let old = client(&proxy);
        ask(&old).unwrap();
        proxy.half_open();
        is_silent(&old);
        assert_eq!(ask(&client(&proxy)).unwrap(), b'x');
        proxy.heal();
        is_silent(&old);
    }

    #[test]
    fn a_black_hole_swallows_and_gives_back() {
        let proxy = echo();
        let old = client(&proxy);
        ask(&old).unwrap();
        proxy.black_hole();
        is_silent(&old);
        is_silent(&client(&proxy));
        proxy.heal();
        assert_eq!(ask(&old).unwrap(), b'x');
    }

    #[test]
    fn a_cut_closes_what_is_open_and_a_refusal_also_what_comes() {
        let proxy = echo();
        let old = client(&proxy);
        ask(&old).unwrap();
        proxy.cut();
        assert!(matches!((&old).read(&mut [0]), Ok(0) | Err(_)));
        assert_eq!(ask(&client(&proxy)).unwrap(), b'x');
        proxy.refuse();
        assert!(ask(&client(&proxy)).is_err());
        proxy.heal();
        assert_eq!(ask(&client(&proxy)).unwrap(), b'x');
    }

    #[test]
    fn a_lost_reply_was_carried_out() {
        let proxy = echo();
        let (lost, cut) = (client(&proxy), client(&proxy));
        assert!(ask(&lost).is_ok() && ask(&cut).is_ok());
        proxy.lose_replies();
        is_silent(&lost);
        proxy.cut_replies();
        assert_ne!(ask(&cut).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        proxy.heal();
        assert_eq!(ask(&client(&proxy)).unwrap(), b'x');
    }
}
