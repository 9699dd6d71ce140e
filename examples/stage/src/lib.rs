//! What the stories among the examples are played on: real processes that are started, killed and asked to leave, and one time for all of
//! them. Nothing of this belongs into a service of your own; for that look into the stories' `node.rs`.

mod scene;
mod watch;

use std::collections::BTreeMap;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use failover::machine::Finish;
use failover::{Node, Timing};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

pub use scene::Scene;
pub use watch::{one_at_a_time, watch};

/// Whatever ends a story early.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long any single step of a story may take before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A heartbeat each 500 ms, a lease of 2 s: quick enough to watch, slow enough for a machine that has other things to do. Half a second of
/// head start for whoever comes first, so that a busy machine does not change who takes over.
///
/// # Errors
/// None: the two fit together.
pub fn timing() -> Result<Timing, Error> {
    let (beat, ttl) = (Duration::from_millis(500), Duration::from_secs(2));
    Ok(Timing::builder(beat, ttl).stagger(beat).build()?)
}

/// The processes of a story: this same program, started again with other arguments.
#[derive(Debug)]
pub struct Stage {
    scene: Scene,
    actors: BTreeMap<String, Child>,
}

impl Stage {
    /// An empty stage.
    pub fn new(scene: Scene) -> Self {
        Self { scene, actors: BTreeMap::new() }
    }

    /// Starts a process by this name. Its arguments are `words`, then what [`Scene::of`] takes.
    ///
    /// # Errors
    /// The system's.
    pub fn start(&mut self, name: &str, words: &[&str]) -> Result<(), Error> {
        let child = Command::new(std::env::current_exe()?)
            .args(words)
            .args(self.scene.words())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.scene.say(&format!("{name}: started"));
        self.actors.insert(name.to_owned(), child);
        Ok(())
    }

    /// Kills a process as hard as the system can, and returns when it is dead.
    ///
    /// # Errors
    /// The system's, and if there is none of this name.
    pub async fn kill(&mut self, name: &str) -> Result<(), Error> {
        self.actors.remove(name).ok_or("there is no such process")?.kill().await?;
        self.scene.say(&format!("{name}: killed with SIGKILL"));
        Ok(())
    }

    /// Asks a process to leave by SIGTERM, and waits until it has.
    ///
    /// # Errors
    /// If it does not leave in good order or in time, and if there is none of this name.
    pub async fn stop(&mut self, name: &str) -> Result<(), Error> {
        let mut child = self.actors.remove(name).ok_or("there is no such process")?;
        terminate(&child)?;
        let status = tokio::time::timeout(PATIENCE, child.wait()).await??;
        self.scene.say(&format!("{name}: left, {status}"));
        if status.success() { Ok(()) } else { Err(format!("{name} did not leave in good order").into()) }
    }

    /// Asks all processes to leave, at once, and waits until they have.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub async fn curtain(mut self) -> Result<(), Error> {
        self.actors.values().try_for_each(terminate)?;
        while let Some(name) = self.actors.keys().next().cloned() {
            self.stop(&name).await?;
        }
        Ok(())
    }
}

fn terminate(child: &Child) -> Result<(), Error> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(pid.map_or(Ok(()), |pid| kill_process(pid, Signal::TERM))?)
}

/// Lets a node run until its process is told to leave by SIGTERM, and leaves in good order.
///
/// # Errors
/// If the node ended in another way.
pub async fn until_told_to_leave(node: &Node) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let finish = tokio::select! {
        finish = node.finished() => finish,
        _ = terminate.recv() => node.shutdown().await,
    };
    if finish == Finish::Left { Ok(()) } else { Err(format!("{} ended: {finish:?}", node.member().node).into()) }
}

/// The exit status that tells how a story, or one of its processes, came out; and why, if not well.
pub fn exit(story: &str, outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{story}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The exit status for arguments that nobody understands.
pub fn usage(story: &str) -> ExitCode {
    eprintln!("usage: {story}\nIt takes no arguments; run it and read.");
    ExitCode::from(2)
}
