//! A failover you can watch: three real processes on one `SQLite` file, jobs, `kill -9`, a takeover, a planned switchover, the
//! return of the killed node. In the end the processes' own records are checked: exit status 0 only if every check held.
//!
//! ```text
//! cargo run -p quickstart
//! ```
//!
//! `node.rs` is what you would write in your own service; the rest is the play around it.

mod check;
mod journal;
mod node;
mod stage;
mod story;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        [] => story::play().await,
        // How the play starts its actors: this same program, once for each node.
        ["node", name, directory] => node::run(name, directory.as_ref()).await.map(|()| true),
        _ => {
            eprintln!("usage: quickstart\nIt takes no arguments; run it and watch.");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}
