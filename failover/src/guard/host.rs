//! The host's side: starts the guard and tells it things.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustix::io::{FdFlags, fcntl_setfd};

use super::message::Message;
use super::process;
use crate::{ClusterName, Estate, Heir, Member};

/// The guard of this process, as long as that lives. Clones are the same guard. Dropping it does not end it: it ends with the process.
#[derive(Clone)]
pub struct Guard(Arc<Host>);

struct Host {
    id: u32,
    /// Held open, and inherited by every process that this one starts: nobody writes, what counts is when its last holder ends.
    _hold: PipeWriter,
    /// Read for its end only.
    socket: UnixStream,
    line: Mutex<Line>,
}

/// The store, and the member there.
type Whose = (usize, Member);

/// What is on its way to the guard.
struct Line {
    child: Child,
    stores: usize,
    /// What the socket has taken in half.
    begun: VecDeque<u8>,
    /// What it has not taken in yet: of each member the latest only.
    waiting: VecDeque<(Option<Whose>, Vec<u8>)>,
    /// Why nobody listens any more.
    broken: Option<String>,
}

impl Guard {
    pub(super) fn spawn(arguments: &[&str]) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let (watched, hold) = io::pipe()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(this_program()?);
        // Another name, so that killing the hosts by name does not kill their guards as well.
        command.arg0("failover-heir").args(arguments).env(process::MARK, std::process::id().to_string());
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(watched));
        let child = command.spawn()?;
        // From here on, not before: the guard itself must not hold it.
        fcntl_setfd(&hold, FdFlags::empty())?;
        let id = child.id();
        let line = Line { child, stores: 0, begun: VecDeque::new(), waiting: VecDeque::new(), broken: None };
        Ok(Self(Arc::new(Host { id, _hold: hold, socket: ours, line: Mutex::new(line) })))
    }

    /// The guard's process.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Tells the guard of a store. It connects to it by itself once this process holds a lease there. What this gives goes to [`NodeBuilder::guarded`](crate::NodeBuilder::guarded) or
    /// [`ElectionBuilder::guarded`](crate::election::ElectionBuilder::guarded). The address is what the host's own backend was opened by.
    pub fn attach(&self, address: &str, cluster: &ClusterName) -> Attached {
        let mut line = self.0.line();
        let store = line.stores;
        line.stores += 1;
        let message = Message::Store { number: store, address: address.to_owned(), cluster: cluster.clone() };
        line.waiting.push_back((None, message.line()));
        self.0.pass_on(&mut line);
        drop(line);
        Attached { guard: self.clone(), store }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl Host {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends as much as the socket takes. A guard that stands still takes nothing for a while: then it is told late.
    fn pass_on(&self, line: &mut Line) {
        while line.broken.is_none() {
            if line.begun.is_empty() {
                match line.waiting.pop_front() {
                    Some((_, next)) => line.begun = next.into(),
                    None => return,
                }
            }
            match (&self.socket).write(line.begun.as_slices().0) {
                Ok(sent) => drop(line.begun.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => line.broken = Some(error.to_string()),
            }
        }
        (line.begun, line.waiting) = (VecDeque::new(), VecDeque::new());
    }

    /// Waits until the guard is gone, and meanwhile sends what the socket did not take at once.
    async fn gone(&self) -> io::Result<()> {
        let socket = tokio::net::UnixStream::from_std(self.socket.try_clone()?)?;
        loop {
            let is_behind = {
                let mut line = self.line();
                self.pass_on(&mut line);
                !line.begun.is_empty()
            };
            tokio::select! {
                ready = socket.readable() => {
                    ready?;
                    match socket.try_read(&mut [0; 64]) {
                        Ok(0) => return Ok(()),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                ready = socket.writable(), if is_behind => ready?,
            }
        }
    }
}

/// A store that the guard knows of: the [`Heir`] of what runs on it.
#[derive(Clone)]
pub struct Attached {
    guard: Guard,
    store: usize,
}

#[async_trait]
impl Heir for Attached {
    fn inherit(&self, estate: &Estate) {
        let whose = Some((self.store, estate.member.clone()));
        let message = Message::Estate { store: self.store, estate: Box::new(estate.clone()) }.line();
        let mut line = self.guard.0.line();
        line.waiting.retain(|(whom, _)| *whom != whose);
        line.waiting.push_back((whose, message));
        self.guard.0.pass_on(&mut line);
    }

    async fn gone(&self) -> String {
        let why = self.guard.0.gone().await.err().map(|error| error.to_string());
        // Its exit is all that it says.
        let status = self.guard.0.line().child.try_wait();
        let status = status.ok().flatten().map(|status| status.to_string());
        why.or(status).unwrap_or_else(|| "it closed its socket".into())
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("guard", &self.guard.0.id).field("store", &self.store).finish()
    }
}

/// This program, also after its file was replaced by another version.
fn this_program() -> io::Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}
