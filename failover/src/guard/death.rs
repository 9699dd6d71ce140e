//! How the guard knows that its host is dead, and not merely silent.

use std::time::Duration;

use rustix::process::{Pid, getppid};
use tokio::time::sleep;

/// The host's process: the guard's parent. A process whose parent dies, with all its threads, becomes another's child; and no parent's number is given to a
/// stranger. So whoever has another parent than it began with has outlived that one, in every container and without any right to look at other processes.
pub(super) struct HostProcess(Pid);

impl HostProcess {
    /// Nothing if the process is gone already.
    pub(super) fn parent(id: Pid) -> Option<Self> {
        let host = Self(id);
        host.lives().then_some(host)
    }

    fn lives(&self) -> bool {
        getppid() == Some(self.0)
    }

    /// Completes once the process is gone. Asked only when the socket and the pipe have ended, which is the last but one thing a process does; it may also
    /// have closed them and go on, as another program.
    pub(super) async fn died(&self) {
        let mut pause = Duration::from_millis(1);
        while self.lives() {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}
