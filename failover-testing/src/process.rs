//! Processes that are stopped, let go on and ended, and really are when the call returns: `kill(2)` only sends a signal.
//!
//! Of any process but one's own child nobody tells what becomes of it, so `proc(5)` is asked again and again.

use std::thread;
use std::time::Duration;

use failover_core::time::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::PATIENCE;

/// Stops a process (SIGSTOP), and returns once each of its threads stands still. One that has ended does so, too.
///
/// # Panics
/// If a thread still runs after [`PATIENCE`].
pub fn pause(pid: u32) {
    signal(pid, Signal::STOP);
    let running = || threads(pid).into_iter().filter(|(_, state)| !matches!(state, 'T' | 't' | 'Z' | 'X')).collect();
    until_none(&format!("process {pid} does not stand still"), running);
}

/// Lets a process go on (SIGCONT).
pub fn resume(pid: u32) {
    signal(pid, Signal::CONT);
}

/// Stops a process and all its descendants, and returns them, parents first, once all of them stand still.
///
/// # Panics
/// As [`pause`].
pub fn pause_family(pid: u32) -> Vec<u32> {
    to_family(pid, pause)
}

/// Kills processes (SIGKILL), and returns once none of them runs any more. One's own children are still to be waited for.
///
/// # Panics
/// If one lives on after [`PATIENCE`].
pub fn kill_all(pids: &[u32]) {
    for pid in pids {
        signal(*pid, Signal::KILL);
    }
    // A zombie has let go of everything but its number.
    until_none("processes that were killed live on", || {
        let state = |pid: &u32| Some((*pid, state(&format!("/proc/{pid}/stat"))?));
        pids.iter().filter_map(state).filter(|(_, state)| *state != 'Z').collect()
    });
}

/// Does something to a process and to all its descendants, and returns them, parents first.
///
/// With [`pause`], whoever stands still starts no child that would be missed. And whoever waits for a child that it has just begun to start (vfork) stands still
/// only once that child has become a program of its own: so no child is stopped before its parent stands still.
pub(crate) fn to_family(pid: u32, what: impl Fn(u32)) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        what(pid);
        family.extend(children(pid));
        next += 1;
    }
    family
}

pub(crate) fn signal(pid: u32, what: Signal) {
    // It may be gone by itself.
    let _gone = kill_process(number(pid), what);
}

pub(crate) fn number(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id")
}

fn until_none(what: &str, left: impl Fn() -> Vec<(u32, char)>) {
    let clock = SystemClock::new();
    let give_up = clock.now() + PATIENCE;
    loop {
        let left = left();
        if left.is_empty() {
            return;
        }
        assert!(clock.now() < give_up, "{what} after {PATIENCE:?}: {left:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The threads of a process and the state of each. None if there is no such process.
fn threads(pid: u32) -> Vec<(u32, char)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let tasks = tasks.filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok());
    tasks.filter_map(|tid| Some((tid, state(&format!("/proc/{pid}/task/{tid}/stat"))?))).collect()
}

/// `T` stopped, `Z` ended, and so on.
fn state(stat: &str) -> Option<char> {
    std::fs::read_to_string(stat).ok()?.rsplit_once(") ")?.1.chars().next()
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            let _gone = self.0.kill();
            let _status = self.0.wait();
        }
    }

    /// This program once more, with many threads that never rest.
    fn busy() -> Killed {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["process::tests::a_busy_process", "--exact", "--nocapture"]).env(BUSY, "");
        let child = Killed(command.stdout(Stdio::null()).spawn().unwrap());
        let clock = SystemClock::new();
        let give_up = clock.now() + PATIENCE;
        while threads(child.0.id()).len() <= THREADS {
            assert!(clock.now() < give_up, "it has not started its threads");
            thread::sleep(Duration::from_millis(1));
        }
        child
    }

    const BUSY: &str = "FAILOVER_TESTING_BUSY";
    const THREADS: usize = 40;

    /// Not a test: what `busy` starts.
    #[test]
    fn a_busy_process() {
        if std::env::var_os(BUSY).is_some() {
            let spin = || {
                loop {
                    std::hint::spin_loop();
                }
            };
            (0..THREADS).for_each(|_| drop(thread::spawn(spin)));
            loop {
                thread::park();
            }
        }
    }

    #[test]
    fn when_a_pause_returns_every_thread_stands_still_and_when_it_ends_none_does() {
        let busy = busy();
        let pid = busy.0.id();
        for _ in 0..20 {
            pause(pid);
            let states = threads(pid);
            assert!(states.len() > THREADS && states.iter().all(|(_, state)| *state == 'T'), "{states:?}");
            resume(pid);
            let states = threads(pid);
            assert!(states.iter().all(|(_, state)| *state != 'T'), "{states:?}");
        }
    }

    #[test]
    fn a_family_that_keeps_starting_processes_stands_still_as_a_whole() {
        let mut family = Command::new("sh");
        family.args(["-c", "while :; do sleep 0.001 & /bin/true; done"]);
        let child = Killed(family.stdout(Stdio::null()).spawn().unwrap());
        for _ in 0..20 {
            let stopped = pause_family(child.0.id());
            assert_eq!(to_family(child.0.id(), |_| ()), stopped, "somebody was missed");
            for pid in &stopped {
                assert!(threads(*pid).iter().all(|(_, state)| matches!(state, 'T' | 'Z')), "{pid} goes on");
            }
            to_family(child.0.id(), resume);
        }
        kill_all(&pause_family(child.0.id()));
    }
}
