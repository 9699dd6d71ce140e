//! The moment between the guard and the command: ties the command's life to the guard's, then becomes the command.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// `GUARD-PID COMMAND…`
pub(super) fn main(args: &[OsString]) -> ExitCode {
    let [guard, program, rest @ ..] = args else { return ExitCode::from(2) };
    if !tie_to(guard) {
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(rest).exec();
    eprintln!("failoverctl: cannot run `{}`: {error}", program.display());
    // As `env`, `nohup` and `timeout` do it.
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}

/// Asks the kernel to kill this process when its guard dies. False if the guard died before.
#[cfg(target_os = "linux")]
fn tie_to(guard: &OsString) -> bool {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    let tied = set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
    let parent = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    tied && parent.is_some_and(|parent| guard == parent.as_str())
}

#[cfg(not(target_os = "linux"))]
fn tie_to(_guard: &OsString) -> bool {
    true
}
