//! Finding and ending processes.
//!
//! Only two sorts of process are ever signalled: direct children of this process, and the group of one that has not been
//! reaped. Neither number can have been given to a stranger meanwhile, which cannot be said of a grandchild's. So a tree is
//! ended level by level: when a child dies, its own children become this process's, because it is a subreaper.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};

/// Makes this process the parent of every descendant whose own parent dies.
pub(crate) fn adopt_orphans() {
    // Refused only by kernels older than 3.4; the process group is what is left then.
    #[cfg(target_os = "linux")]
    let _only_a_group = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// The children of this process, dead or alive, that are not among `but`.
pub(super) fn children(but: &[Pid]) -> Vec<Pid> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(|pid| !but.contains(pid) && parent(*pid) == Some(me)).collect()
}

fn parent(pid: Pid) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The second field is the program's name in brackets and may hold anything, brackets and spaces included.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Reaps those that are dead, and returns those that are not.
pub(super) fn reap(pids: Vec<Pid>) -> Vec<Pid> {
    pids.into_iter().filter(|pid| matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None))).collect()
}

/// Sends a signal to children of this process.
pub(super) fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // The only failures are that it is gone, which is as well, and that it is another user's, which nobody here can help.
        let _gone = kill_process(*pid, signal);
    }
}

/// Sends a signal to the group that `leader`, not yet reaped, leads.
pub(super) fn signal_group(leader: Pid, signal: Signal) {
    let _gone = kill_process_group(leader, signal);
}
