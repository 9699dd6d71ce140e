//! What each command does.

mod job;
mod node;

mod run;
mod runner;

mod status;

mod switchover;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

/// Does what the command line asks for; the exit status if nothing went wrong.
pub(crate) async fn run(cli: &Cli) -> Result<u8, Failure> {
    match &cli.command {
        Command::Node(args) => node::run(&cli.global, args).await,
        Command::Run(args) => run::run(&cli.global, args).await,
        Command::Job(command) => job::run(&cli.global, command).await,
        Command::Status(args) => status::run(&cli.global, args).await,
        Command::Switchover(args) => switchover::run(&cli.global, args).await,
    }
}
