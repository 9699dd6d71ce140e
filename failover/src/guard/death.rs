//! How the guard knows that its host is dead, and not merely silent.

use std::time::Duration;

use rustix::process::{Pid, getppid};
use tokio::time::sleep;

/// The host's process: the guard's parent. A process whose parent dies, with all its threads, becomes another's child; and no parent's number is given to a
/// stranger. So whoever has another parent than it began with has outlived that one, in every container and without any right to look at other processes.
pub(super) struct HostProcess {
    id: Pid,
    /// Where the kernel tells of a process's end: an old one does not, nor does every sandbox.
    #[cfg(target_os = "linux")]
    end: Option<std::os::fd::OwnedFd>,
}

impl HostProcess {
    /// Nothing if the process is gone already.
    pub(super) fn parent(id: Pid) -> Option<Self> {
        // In this order: whoever is the parent still was it when its end began to be watched for.
        let host = Self {
            id,
            #[cfg(target_os = "linux")]
            end: rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty()).ok(),
        };
        host.lives().then_some(host)
    }

    fn lives(&self) -> bool {
        getppid() == Some(self.id)
    }

    /// Completes once the process is gone. Asked only when the socket and the pipe have ended, which is the last but one thing a process does; it may also
    /// have closed them and go on, as another program.
    pub(super) async fn died(self) {
        if !self.lives() {
            return;
        }
        #[cfg(target_os = "linux")]
        if let Some(end) = self.end.as_ref().and_then(|end| end.try_clone().ok()) {
            let (tell, told) = tokio::sync::oneshot::channel();
            // Not one of the runtime's own, which waits for them when it ends.
            let _none_left = std::thread::Builder::new().spawn(move || {
                use rustix::event::{PollFd, PollFlags, poll};
                let _either = poll(&mut [PollFd::new(&end, PollFlags::IN)], None);
                tell.send(())
            });
            // At once where there is no thread to be had.
            let _told = told.await;
        }
        let mut pause = Duration::from_millis(1);
        while self.lives() {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}
