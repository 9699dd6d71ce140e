//! [`Daemon`]: a server as a child process that a test can pause, kill and start again.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

use crate::leash::Leash;
use crate::process::{self, number, signal, to_family};

/// How long a server may take to become ready on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A server: how it is started, and its process while it runs.
///
/// Dropping it kills it. If the test's process ends without dropping it, its leash does.
#[derive(Debug)]
pub struct Daemon {
    name: &'static str,
    program: Vec<String>,
    log: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Kills the child when this process is gone.
    leash: Leash,
}

impl Daemon {
    /// Starts a server: `program` with its arguments; what it prints goes to `log`. `package` brings it on Debian.
    ///
    /// # Panics
    /// If it cannot be started: the message names the package.
    pub fn start(name: &'static str, package: &str, program: &[impl AsRef<str>], log: &Path) -> Self {
        let program: Vec<String> = program.iter().map(|part| part.as_ref().to_owned()).collect();
        let mut daemon = Self { name, program, log: log.to_owned(), running: None };
        if let Err(error) = daemon.launch() {
            panic!("{name} cannot be started ({error}); on Debian: apt-get install {package}");
        }
        daemon
    }

    fn launch(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.program[0])
            .args(&self.program[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let leash = Leash::new(&format!("kill -KILL {}", child.id()), &[])?;
        self.running = Some(Running { child, leash });
        Ok(())
    }

    /// The process id.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name)).child.id()
    }

    /// What the server printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` says so, asking again and again: no server tells of it in a common way.
    ///
    /// # Panics
    /// If the server ends meanwhile, or [`PATIENCE`] does: the message has what it printed.
    pub fn wait_until(&mut self, ready: impl Fn() -> bool) {
        let clock = SystemClock::new();
        let give_up = clock.now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                panic!("{} ended ({status}) before it was ready:\n{}", self.name, self.log());
            }
            if ready() {
                return;
            }
            assert!(clock.now() < give_up, "{} is not ready after {PATIENCE:?}:\n{}", self.name, self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until something accepts connections at the address.
    pub fn wait_for_port(&mut self, port: u16) {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        self.wait_until(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.child.try_wait().ok().flatten()
    }

    /// Stops it and all its descendants (SIGSTOP): sockets stay open, nothing answers. When this returns, all of them stand still.
    ///
    /// # Panics
    /// If that does not come about within [`PATIENCE`].
    pub fn pause(&self) {
        process::pause_family(self.pid());
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        to_family(self.pid(), process::resume);
    }

    /// Kills it and all its descendants (SIGKILL) and waits for their end.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // Whoever stands still starts nothing that would be missed.
        process::kill_all(&process::pause_family(running.child.id()));
        // The leash goes before the child is reaped: from then on its number may be another's.
        drop(running.leash);
        let _status = running.child.wait();
    }

    /// Asks it to end in an orderly way (SIGTERM) and waits for it.
    pub fn terminate(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        signal(running.child.id(), Signal::TERM);
        // It may take its time, on the leash; and that goes before the child is reaped, see above.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ended = waitid(WaitId::Pid(number(running.child.id())), ended);
        drop(running.leash);
        let _status = running.child.wait();
    }

    /// Starts it again, with the same arguments, after [`kill`](Self::kill) or [`terminate`](Self::terminate).
    ///
    /// # Panics
    /// If it runs, or cannot be started.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        self.launch().unwrap_or_else(|e| panic!("{} cannot be started again: {e}", self.name));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_paused_with_its_children_and_ends_with_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let program = ["sh", "-c", "sleep 1000 & wait"];
        let mut daemon = Daemon::start("a shell", "dash", &program, &directory.path().join("log"));
        let pid = daemon.pid();
        daemon.wait_until(|| to_family(pid, |_| ()).len() == 2);
        daemon.pause();
        daemon.resume();
        let all = to_family(pid, |_| ());
        let lives =
            |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| !it.contains(") Z "));
        assert!(all.len() == 2 && all.iter().all(lives));
        drop(daemon);
        assert!(!all.iter().any(lives), "the family outlived its value");
    }

    #[test]
    #[should_panic(expected = "apt-get install no-such-package")]
    fn a_missing_program_names_its_package() {
        let directory = tempfile::tempdir().unwrap();
        Daemon::start("nothing", "no-such-package", &["/no/such/program"], &directory.path().join("log"));
    }
}
