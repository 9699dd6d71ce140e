//! The guard: a small process of its own between a node and each command it runs, so that a command never outlives the
//! right it runs under, whatever happens to the node.
//!
//! ```text
//!   node ──socket──▶ guard ──▶ command, its process group, everything descended from it
//! ```
//!
//! | what happens | what the guard does |
//! |---|---|
//! | the right is extended | moves its deadlines |
//! | a planned stop | SIGTERM, after the grace SIGKILL |
//! | no extension in time: the node is stopped, hangs, or lost its store | SIGTERM at `stop_at`, SIGKILL at `ends_at` |
//! | the socket ends: the node has died | SIGKILL at once |
//! | the command ends | SIGTERM to what it left behind, after the grace SIGKILL |
//!
//! Beside these there is one guard of the node itself (`failover::guard`), which gives the node's leases back when the node has died. It waits for whoever holds a descriptor that all of
//! the node's descendants inherit: the guards here and their commands. So a command never overlaps with its successor either, however soon that one starts.
//!
//! It needs neither the node nor the store nor the network for any of it, only `CLOCK_BOOTTIME`. It is a child subreaper, so that
//! a descendant that leaves the process group is still found. If the guard itself is killed, the kernel kills the command
//! (parent death signal), and the node, which is a subreaper too, kills the rest.
//!
//! Off Linux there are no subreapers: there the guard ends the process group, and a command that leaves it is on its own.

mod host;
mod processes;
mod progress;
mod protocol;
mod shim;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

pub(crate) use host::{CommandLine, Ended, Output, run, spare};
pub(crate) use processes::adopt_orphans;
pub(crate) use protocol::{Cause, Exit};

/// The guard's own first argument. Not part of the command line that a user sees.
const GUARD: &str = "__guard";
/// The first argument of the process that becomes the command.
const SHIM: &str = "__exec";

/// Becomes a guard or a shim if the process was started as one; must be asked before anything else.
pub(crate) fn divert(args: &[OsString]) -> Option<ExitCode> {
    match args.get(1)?.to_str()? {
        GUARD => Some(watch::main(args.get(2..).unwrap_or_default())),
        SHIM => Some(shim::main(args.get(2..).unwrap_or_default())),
        _ => None,
    }
}

/// This program, also after its file was replaced by another version.
fn this_program() -> std::io::Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}
