//! The node's side of a guard.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use failover::JobRun;
use failover::right::{Extension, Right};
use failover::time::{Clock, SystemClock};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::processes::{children, reap, signal_all, signal_group};
use super::protocol::{Cause, Exit, News, Order};
use super::{GUARD, progress, this_program};

/// The guards that live. Locked while one is started and while orphans are swept, because a process among this one's
/// children that is no guard is what a dead guard has left.
static GUARDS: Mutex<BTreeSet<i32>> = Mutex::const_new(BTreeSet::new());

/// Another child of this process that is no orphan.
pub(crate) async fn spare(process: u32) {
    GUARDS.lock().await.extend(i32::try_from(process));
}

/// How long a guard may be late in ending a command whose right has ended.
const PATIENCE: Duration = Duration::from_millis(250);

/// A command and what it runs in.
#[derive(Debug)]
pub(crate) struct CommandLine {
    /// Program and arguments.
    pub(crate) words: Vec<OsString>,
    /// What it finds in its environment, beside the node's own.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where its standard output goes. Its standard error goes to this process's.
    pub(crate) output: Output,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// Where a command's standard output goes.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// To this process's standard output.
    Stdout,
    /// To its standard error, because its standard output carries events.
    Stderr,
    /// There too, and each line of it is progress of this run.
    Progress(JobRun),
}

/// How a run ended. Nothing of the command is left in either case.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It ran.
    Ran(Exit, Cause),
    /// It could not be started, or its guard was killed.
    Broken(String),
}

/// Runs a command under a right until it ends, is stopped, or the right ends.
///
/// Dropping the future kills the command at once; a task sees it through.
pub(crate) async fn run(command: CommandLine, right: Right, stop: CancellationToken) -> Ended {
    let dropped = CancellationToken::new();
    let _when_dropped = dropped.clone().drop_guard();
    let task = tokio::spawn(supervise(command, right, stop, dropped));
    task.await.unwrap_or_else(|error| Ended::Broken(format!("its supervision broke: {error}")))
}

async fn supervise(
    command: CommandLine,
    mut right: Right,
    stop: CancellationToken,
    dropped: CancellationToken,
) -> Ended {
    let mut guard = match Guard::start(&command).await {
        Ok(guard) => guard,
        Err(error) => return Ended::Broken(format!("a guard could not be started: {error}")),
    };
    guard.extend(&right).await;
    let clock = SystemClock::new();
    let mut over = false;
    let mut asked = false;
    loop {
        // A guard that has not ended the command by then stands still itself.
        let cut_off = right.ends_at() + PATIENCE;
        tokio::select! {
            news = guard.news() => match news {
                Some(News::Started(leader)) => guard.leader = Pid::from_raw(leader),
                Some(News::Ended(exit, cause)) => return guard.finish(Ended::Ran(exit, cause)).await,
                Some(News::NotStarted(text)) => return guard.finish(Ended::Broken(text)).await,
                None => return guard.sweep().await,
            },
            extension = right.extended(), if !over => match extension {
                Extension::Extended { .. } => guard.extend(&right).await,
                Extension::Over => over = true,
            },
            () = stop.cancelled(), if !asked => {
                asked = true;
                guard.tell(Order::Stop).await;
            }
            () = dropped.cancelled() => return guard.abandon().await,
            () = clock.sleep_until(cut_off), if over => return guard.sweep().await,
        }
    }
}

struct Guard {
    process: Child,
    pid: i32,
    leader: Option<Pid>,
    news: Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
    /// Passes on what the command says of its progress.
    relay: Option<JoinHandle<()>>,
}

impl Guard {
    async fn start(command: &CommandLine) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (news, orders) = UnixStream::from_std(ours)?.into_split();

        let output = if matches!(command.output, Output::Stderr) { "stderr" } else { "stdout" };
        let mut guard = Command::new(this_program()?);
        // Another name, so that killing the nodes by name does not kill the guards as well.
        guard.arg0("failover-guard").args([GUARD, output, &command.grace.as_millis().to_string()]);
        guard.args(&command.words).envs(command.environment.iter().map(|(name, value)| (name, value)));
        // A group of its own, so that Ctrl-C reaches the node alone.
        guard.process_group(0).stdin(Stdio::from(OwnedFd::from(theirs)));
        if matches!(command.output, Output::Progress(_)) {
            guard.stdout(Stdio::piped());
        }

        let mut guards = GUARDS.lock().await;
        let mut process = guard.spawn()?;
        let pid =
            process.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| io::Error::other("no process id"))?;
        guards.insert(pid);
        drop(guards);
        let relay = match (&command.output, process.stdout.take()) {
            (Output::Progress(run), Some(lines)) => Some(tokio::spawn(progress::relay(lines, run.clone()))),
            _ => None,
        };
        Ok(Self { process, pid, leader: None, news: BufReader::new(news).lines(), orders, relay })
    }

    async fn extend(&mut self, right: &Right) {
        self.tell(Order::Until { stop_at: right.stop_at(), ends_at: right.ends_at() }).await;
    }

    /// A guard that cannot be told anything has died; its news say so next.
    async fn tell(&mut self, order: Order) {
        let _dead = self.orders.write_all(order.to_string().as_bytes()).await;
    }

    /// Cancel safe.
    async fn news(&mut self) -> Option<News> {
        News::parse(&self.news.next_line().await.ok()??)
    }

    /// Ends the socket, as a death of this process would, and waits until the guard has cleaned up.
    async fn abandon(self) -> Ended {
        let Self { process, pid, orders, news, .. } = self;
        drop((orders, news));
        wait(process, pid).await;
        Ended::Broken("it was abandoned, so it was killed".into())
    }

    async fn finish(self, ended: Ended) -> Ended {
        wait(self.process, self.pid).await;
        // With the command and its guard gone nobody can write any more, so this is the rest of what was written. A process that
        // got away with the descriptor is not waited for.
        if let Some(relay) = self.relay {
            let _late = tokio::time::timeout(PATIENCE, relay).await;
        }
        ended
    }

    /// Kills what a guard that was killed, or stands still, has left.
    async fn sweep(mut self) -> Ended {
        // It may have ended a moment before it could tell; its word would have come first, so this kills no finished run.
        let _dead = self.process.start_kill();
        let _status = self.process.wait().await;
        if let Some(leader) = self.leader {
            signal_group(leader, Signal::KILL);
        }
        loop {
            let guards = GUARDS.lock().await;
            let known: Vec<_> = guards.iter().filter_map(|pid| Pid::from_raw(*pid)).collect();
            let left = reap(children(&known));
            if left.is_empty() {
                break;
            }
            signal_all(&left, Signal::KILL);
            drop(guards);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.finish(Ended::Broken("its guard was killed, so the command was killed too".into())).await
    }
}

/// Reaps a guard and forgets it.
async fn wait(mut process: Child, pid: i32) {
    let _status = process.wait().await;
    GUARDS.lock().await.remove(&pid);
}
