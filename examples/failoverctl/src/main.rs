//! `failoverctl`: runs nodes whose jobs are external commands, and asks and tells a cluster things.
//!
//! A reader starts at [`cli`] for what there is, at [`command`] for what each does, and at [`guard`] for how a command
//! never outlives its right. The formats and exit statuses are documented in the README beside this package.

#[cfg(not(unix))]
compile_error!("failoverctl stops commands by signals and process groups, which need a Unix");

mod cli;
mod command;
mod failure;
mod file;
mod guard;
mod logging;
mod output;
mod payload;
mod signals;
mod store;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::failure::{Failure, Status};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = guard::divert(&args) {
        return code;
    }
    failover::guard::divert();
    // Prints help and errors itself, and exits with 0 for the one and 2 for the other.
    let cli = Cli::parse_from(args);
    logging::start();
    // Before there are threads.
    let guard = cli.command.is_guarded().then(failover::guard::start).transpose().unwrap_or_else(|error| {
        eprintln!("failoverctl: no guard could be started, so after a crash the leases have to lapse: {error}");
        None
    });
    match run(&cli, guard) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn run(cli: &Cli, guard: Option<failover::guard::Guard>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(Status::Failed, format!("no runtime: {e}")))?;
    let code = runtime.block_on(command::run(cli, guard));
    // Whatever still hangs in a store has had its deadline.
    runtime.shutdown_background();
    code
}
