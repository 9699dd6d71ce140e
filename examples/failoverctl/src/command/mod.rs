//! What each command does.

mod apply;
mod calm;
mod config;
mod drain;
mod emptying;
mod explain;
mod incidents;
mod job;
mod lines;
mod node;
mod order;
mod plan;
mod resolve;
mod response;
mod roster;
mod run;
mod runner;
mod settings;
mod status;
mod switchover;
mod wait;

use failover::Admin;
use failover::guard::Guard;

use crate::cli::{Cli, Command, Global};
use crate::failure::Failure;
use crate::store::{self, Absent};

/// Does what the command line asks for; the exit status if nothing went wrong.
pub(crate) async fn run(cli: &Cli, guard: Option<Guard>) -> Result<u8, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Node(args) => node::run(global, args, guard).await,
        Command::Run(args) => run::run(global, args, guard).await,
        Command::Job(command) => job::run(global, command).await,
        Command::Roster(command) => roster::run(global, command).await,
        Command::Capacity(args) => settings::capacity(global, args).await,
        Command::Cordon(args) => drain::cordon(global, &args.node).await,
        Command::Uncordon(args) => drain::uncordon(global, &args.node).await,
        Command::Drain(args) => drain::run(global, args).await,
        Command::Failback(args) => order::failback(global, args).await,
        Command::Plan(args) => plan::run(global, args).await,
        Command::Settings(command) => settings::run(global, command).await,
        Command::Config(command) => config::run(global, command).await,
        Command::Status(args) => status::run(global, args).await,
        Command::Incidents(args) => incidents::run(global, args).await,
        Command::History(args) => incidents::history(global, args).await,
        Command::Switchover(args) => switchover::run(global, args).await,
        Command::Activate(args) => switchover::activate(global, args).await,
        Command::Pause(args) => calm::pause(global, args).await,
        Command::Resume => calm::resume(global).await,
        Command::Maintenance(command) => calm::maintenance(global, command).await,
        Command::Resolve(args) => resolve::run(global, args).await,
    }
}

/// A cluster that is there already.
async fn admin(global: &Global) -> Result<Admin, Failure> {
    Ok(Admin::new(store::open(global, Absent::Refuse).await?).with_operator(operator()))
}

/// One that is made if it is not there yet.
async fn new_admin(global: &Global) -> Result<Admin, Failure> {
    Ok(Admin::new(store::open(global, Absent::Create).await?).with_operator(operator()))
}

/// Who it is, for the history of what they change.
fn operator() -> String {
    let name = ["FAILOVER_OPERATOR", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "an operator".to_owned())
}
