//! What each command does.

mod apply;
mod drain;
mod explain;
mod job;
mod lines;
mod node;
mod order;
mod plan;
mod roster;
mod run;
mod runner;
mod settings;
mod status;
mod switchover;
mod wait;

use failover::Admin;

use crate::cli::{Cli, Command, Global};
use crate::failure::Failure;
use crate::store::{self, Absent};

/// Does what the command line asks for; the exit status if nothing went wrong.
pub(crate) async fn run(cli: &Cli) -> Result<u8, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Node(args) => node::run(global, args).await,
        Command::Run(args) => run::run(global, args).await,
        Command::Job(command) => job::run(global, command).await,
        Command::Roster(command) => roster::run(global, command).await,
        Command::Capacity(args) => settings::capacity(global, args).await,
        Command::Cordon(args) => drain::cordon(global, &args.node).await,
        Command::Uncordon(args) => drain::uncordon(global, &args.node).await,
        Command::Drain(args) => drain::run(global, args).await,
        Command::Failback(args) => order::failback(global, args).await,
        Command::Plan(args) => plan::run(global, args).await,
        Command::Settings(command) => settings::run(global, command).await,
        Command::Status(args) => status::run(global, args).await,
        Command::Switchover(args) => switchover::run(global, args).await,
    }
}

/// A cluster that is there already.
async fn admin(global: &Global) -> Result<Admin, Failure> {
    Ok(Admin::new(store::open(global, Absent::Refuse).await?))
}

/// One that is made if it is not there yet.
async fn new_admin(global: &Global) -> Result<Admin, Failure> {
    Ok(Admin::new(store::open(global, Absent::Create).await?))
}
