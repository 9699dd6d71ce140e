//! Three servers and twenty policies: which job runs where and why, told by the library while it happens. A server fills up and the
//! next takes the rest; one is lost and its policies go on elsewhere, but for one that is pinned to it; it comes back and an operator
//! returns what was moved. Exit status 0 only if everything came as it should and no policy ever ran twice at once.
//!
//! ```text
//! cargo run -p policies
//! ```
//!
//! Everything is in one process and one store in its memory, so that there is nothing to set up; on any other store the story is the same.

mod servers;
mod story;
mod tell;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        eprintln!("usage: policies\nIt takes no arguments; run it and read.");
        return ExitCode::from(2);
    }
    match story::play().await {
        Ok(()) => {
            println!("\nEverything came as it should, and no policy ever ran twice at once.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("policies: {error}");
            ExitCode::FAILURE
        }
    }
}
