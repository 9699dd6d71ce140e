//! The guard process itself.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use failover::time::{Clock, SystemClock, Time};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{SignalKind, signal};

use super::processes::{adopt_orphans, children, reap, signal_all, signal_group};
use super::protocol::{Cause, Exit, News, Order};
use super::{SHIM, this_program};

/// How soon to look again after processes that were killed and are not gone yet.
const AGAIN: Duration = Duration::from_millis(20);

/// `OUTPUT GRACE-MS COMMAND…`, with the node's socket as standard input.
pub(super) fn main(args: &[OsString]) -> ExitCode {
    // `pkill failoverctl` is meant for the node; this process has to survive that to clean up after it.
    #[cfg(target_os = "linux")]
    let _cosmetic = rustix::thread::set_name(c"failover-guard");
    adopt_orphans();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(guard(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failoverctl: a guard failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn guard(args: &[OsString]) -> io::Result<()> {
    let [output, grace, command @ ..] = args else { return Err(io::Error::other("started by hand")) };
    let grace = grace.to_str().and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    let grace = grace.ok_or_else(|| io::Error::other("started by hand"))?;

    // A service manager that stops everything at once must not stop the guard before its node has asked for it.
    let _ignored = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let mut child_changed = signal(SignalKind::child())?;

    let socket = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let (orders, mut news) = UnixStream::from_std(socket)?.into_split();
    let mut orders = BufReader::new(orders).lines();

    let clock = SystemClock::new();
    let Some(Order::Until { stop_at, ends_at }) = next(&mut orders).await else { return Ok(()) };
    if clock.now() >= stop_at {
        return say(&mut news, &News::NotStarted("the right had ended already".into())).await;
    }
    let leader = match start(output, command) {
        Ok(leader) => leader,
        Err(error) => return say(&mut news, &News::NotStarted(error.to_string())).await,
    };
    let mut watch = Watch { leader, stop_at, ends_at, grace, exit: None, stage: Stage::Running };
    say(&mut news, &News::Started(leader.as_raw_nonzero().get())).await?;

    loop {
        tokio::select! {
            biased;
            order = next(&mut orders), if watch.stage != Stage::Orphaned => match order {
                Some(Order::Until { stop_at, ends_at }) => (watch.stop_at, watch.ends_at) = (stop_at, ends_at),
                Some(Order::Stop) => watch.stop(clock.now(), Cause::Asked),
                None => watch.stage = Stage::Orphaned,
            },
            () = clock.sleep_until(watch.deadline(clock.now())) => {}
            _ = child_changed.recv() => {}
        }
        if let Some((exit, cause)) = watch.look(clock.now()) {
            // A node that has died does not hear it, and need not.
            let _unheard = say(&mut news, &News::Ended(exit, cause)).await;
            return Ok(());
        }
    }
}

/// The node's next order, or that it has died. A line that makes no sense is as good as a death.
async fn next(orders: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Order> {
    Order::parse(&orders.next_line().await.ok()??)
}

async fn say(to: &mut OwnedWriteHalf, news: &News) -> io::Result<()> {
    to.write_all(news.to_string().as_bytes()).await
}

/// Starts the command in a process group of its own.
fn start(output: &OsString, command: &[OsString]) -> io::Result<Pid> {
    let mut shim = Command::new(this_program()?);
    shim.arg(SHIM).arg(std::process::id().to_string()).args(command).process_group(0).stdin(Stdio::null());
    if output == "stderr" {
        shim.stdout(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?));
    }
    let child = shim.spawn()?;
    Ok(Pid::from_child(&child))
}

/// What the guard knows.
struct Watch {
    /// The command's main process, which leads its group. Reaped last of all, so that the group's number stays its own.
    leader: Pid,
    stop_at: Time,
    ends_at: Time,
    grace: Duration,
    exit: Option<Exit>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// SIGTERM was sent; SIGKILL follows then, or when the right ends.
    Stopping(Time, Cause),
    /// SIGKILL was sent, and is sent again until nothing is left.
    Killing(Cause),
    /// As killing, for a node that has died.
    Orphaned,
}

impl Watch {
    /// When to look again.
    fn deadline(&self, now: Time) -> Time {
        match self.stage {
            Stage::Running => self.stop_at,
            Stage::Stopping(kill_at, _) => kill_at.min(self.ends_at),
            Stage::Killing(_) | Stage::Orphaned => now + AGAIN,
        }
    }

    /// Begins to stop the command; a second reason changes nothing.
    fn stop(&mut self, now: Time, cause: Cause) {
        if self.stage != Stage::Running {
            return;
        }
        self.stage = Stage::Stopping(now + self.grace, cause);
        // SIGCONT, because a process that stands still does not hear SIGTERM.
        for signal in [Signal::TERM, Signal::CONT] {
            signal_group(self.leader, signal);
            signal_all(&children(&[self.leader]), signal);
        }
    }

    /// Does what is due, and tells how it ended once nothing of the command is left.
    fn look(&mut self, now: Time) -> Option<(Exit, Cause)> {
        // The leader before the others: once it is dead, its children are this process's and will be found.
        if self.exit.is_none() {
            self.exit = peek(self.leader);
        }
        let others = self.others();
        if self.stage == Stage::Running {
            if self.exit.is_some() {
                self.stop(now, Cause::Own);
            } else if now >= self.stop_at {
                self.stop(now, Cause::RightEnded);
            }
        }
        if let Stage::Stopping(kill_at, cause) = self.stage
            && now >= kill_at.min(self.ends_at)
        {
            self.stage = Stage::Killing(cause);
        }
        let cause = match self.stage {
            Stage::Running => return None,
            Stage::Stopping(_, cause) => cause,
            Stage::Killing(cause) => self.kill(&others, cause),
            Stage::Orphaned => self.kill(&others, Cause::RightEnded),
        };
        let exit = self.exit?;
        if !others.is_empty() {
            return None;
        }
        if !cfg!(target_os = "linux") {
            // Nobody is found there, so whoever is left in the group goes unasked.
            signal_group(self.leader, Signal::KILL);
        }
        let _reaped = waitpid(Some(self.leader), WaitOptions::NOHANG);
        Some((exit, cause))
    }

    /// The children that are alive, without the leader. None means that the leader's is the only life left, because the
    /// topmost of any descendants is a child of this process, and stays one until it is reaped here.
    fn others(&self) -> Vec<Pid> {
        loop {
            let all = children(&[self.leader]);
            if all.is_empty() {
                return all;
            }
            let alive = reap(all);
            if !alive.is_empty() {
                return alive;
            }
        }
    }

    fn kill(&self, others: &[Pid], cause: Cause) -> Cause {
        signal_group(self.leader, Signal::KILL);
        signal_all(others, Signal::KILL);
        cause
    }
}

/// How the command's main process ended, without reaping it.
fn peek(leader: Pid) -> Option<Exit> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(leader), options).ok()??;
    status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(Exit::Signal))
}
