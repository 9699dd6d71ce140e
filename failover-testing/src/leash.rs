//! [`Leash`]: a shell that does something once this process is gone, however that ends.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of a pipe that only this process holds. Dropping it lets it go without doing anything.
///
/// It shares this process's group, so it ignores what is sent to all of it to end it: then it has work to do.
#[derive(Debug)]
pub(crate) struct Leash(Child);

impl Leash {
    /// Runs a script of the shell, with its arguments, once this process is gone.
    pub(crate) fn new(script: &str, arguments: &[&OsStr]) -> io::Result<Self> {
        let script = format!("trap '' HUP INT TERM; cat >/dev/null; {script}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "leash"]).args(arguments).stdin(Stdio::piped());
        Ok(Self(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use failover_core::time::{Clock, SystemClock};
    use rustix::process::Signal;

    use super::*;
    use crate::daemon::PATIENCE;
    use crate::process::{signal, to_family};

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let clock = SystemClock::new();
        let give_up = clock.now() + PATIENCE;
        while !is_so() {
            assert!(clock.now() < give_up, "not after {PATIENCE:?}: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn it_outlives_what_ends_a_whole_group_and_acts_at_the_end_of_the_pipe() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("acted");
        let mut leash = Leash::new(r#"touch "$1""#, &[file.as_os_str()]).unwrap();
        until("it waits", || to_family(leash.0.id(), |_| ()).len() == 2);
        for what in [Signal::HUP, Signal::INT, Signal::TERM] {
            to_family(leash.0.id(), |pid| signal(pid, what));
        }
        // As the end of this process would.
        drop(leash.0.stdin.take());
        until("it acts", || file.exists());
    }

    #[test]
    fn one_that_is_let_go_does_nothing() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("acted");
        let leash = Leash::new(r#"touch "$1""#, &[file.as_os_str()]).unwrap();
        drop(leash);
        assert!(!file.exists());
    }
}
