//! The guard's process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use super::death::HostProcess;
use super::message::Message;
use super::settle::Store;
use crate::time::{Clock as _, SystemClock, Time};
use crate::{Backend, ClusterName, Estate, Member, Result};

/// The environment variable that makes a process the guard of the process it names.
pub(super) const MARK: &str = "FAILOVER_GUARD";

/// What the host told.
#[derive(Default)]
pub(super) struct Told {
    /// Those that the host holds nothing in yet. They may not even be there, and are not to be made by the guard.
    addresses: BTreeMap<usize, (String, ClusterName)>,
    stores: BTreeMap<usize, Store>,
    estates: BTreeMap<(usize, Member), Estate>,
}

/// Guards, and ends the process.
pub(super) fn main<F>(host: &OsStr, open: F) -> !
where
    F: AsyncFn(String, ClusterName) -> Result<Backend> + 'static,
{
    let Some(host) = host.to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw) else {
        eprintln!(
            "failover: {MARK} is set in the environment, which makes this process a guard; it is not to be set by hand"
        );
        exit(2);
    };
    // A session of its own: neither Ctrl-C nor the end of a terminal is meant for it.
    let _leads_one_already = rustix::process::setsid();
    #[cfg(target_os = "linux")]
    let _cosmetic = rustix::thread::set_name(c"failover-heir");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let guarded = runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, guard(host, Rc::new(open))));
    if let Err(error) = &guarded {
        eprintln!(
            "failover: the guard of process {host} failed, so after a crash its leases have to lapse: {error}",
            host = host.as_raw_nonzero()
        );
    }
    exit(i32::from(guarded.is_err()))
}

async fn guard<F>(host: Pid, open: Rc<F>) -> io::Result<()>
where
    F: AsyncFn(String, ClusterName) -> Result<Backend> + 'static,
{
    let socket = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // A host may be dead before its guard has begun: what it told is there all the same. Where nobody can have told anything, this guards nobody.
    let host = HostProcess::parent(host);
    if host.is_none() && socket.local_addr().is_err() {
        return Ok(());
    }
    // A service manager that stops everything at once must not stop the guard before its host.
    let quits = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
    let _ignored = quits.map(signal);
    socket.set_nonblocking(true)?;
    let mut lines = BufReader::new(UnixStream::from_std(socket)?).lines();
    let mut pipe = Receiver::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
    let mut told = Told::default();
    while let Ok(Some(line)) = lines.next_line().await {
        told.hear(&line, &open);
    }
    let clock = SystemClock::new();
    // Nothing that it was told of lasts longer than this: either it lapses, or it is of no use any more.
    let until = clock.now() + told.longest();
    let gone = async {
        // What the pipe's holders write by mistake says nothing.
        while pipe.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {}
        if let Some(host) = host {
            host.died().await;
        }
    };
    tokio::select! {
        biased;
        () = gone => told.settle(until).await,
        // The host has become another program, or something of it goes on.
        () = clock.sleep_until(until) => {}
    }
    Ok(())
}

impl Told {
    fn hear<F>(&mut self, line: &str, open: &Rc<F>)
    where
        F: AsyncFn(String, ClusterName) -> Result<Backend> + 'static,
    {
        match Message::parse(line) {
            Some(Message::Store { number, address, cluster }) => {
                self.addresses.insert(number, (address, cluster));
            }
            Some(Message::Estate { store, estate }) => {
                let whose = (store, estate.member.clone());
                if let Some((address, cluster)) = self.addresses.remove(&store) {
                    self.stores.insert(store, Store::keep(open.clone(), address, cluster));
                }
                if estate.is_empty() {
                    self.estates.remove(&whose);
                } else {
                    self.estates.insert(whose, *estate);
                }
            }
            // Half a line: the host died while it told.
            None => {}
        }
    }

    /// The longest of the leases.
    fn longest(&self) -> Duration {
        let leases = self.estates.values().flat_map(|estate| &estate.bequests);
        leases.map(|bequest| bequest.lease.ttl).max().unwrap_or_default()
    }

    async fn settle(self, until: Time) {
        let mut settling = tokio::task::JoinSet::new();
        for ((store, _), estate) in self.estates {
            if let Some(store) = self.stores.get(&store) {
                settling.spawn_local(store.settle(estate, until));
            }
        }
        while settling.join_next().await.is_some() {}
    }
}
