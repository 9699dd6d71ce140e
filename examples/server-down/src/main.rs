//! Servers go down. Four real processes ping in a table of one `SQLite` file; two of them are killed, and later a third. Each gives one
//! event and one response, what they managed moves to the others as its policy says, whoever waited for them is released, and all of it is
//! rolled back when they return. Exit status 0 only if everything came as it should.
//!
//! ```text
//! cargo run -p server-down
//! ```
//!
//! `node.rs` is what you would write in your own service, `ledger.rs` are tables of its own; the rest is the story around them.

mod ledger;
mod node;
mod operator;
mod story;

use std::process::ExitCode;

use stage::Scene;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => stage::exit("server-down", story::play().await),
        // How the story starts its servers: this same program, once for each.
        ["node", name, directory, began] => {
            let run = async || node::run(name, &Scene::of(directory, began)?).await;
            stage::exit(name, run().await)
        }
        _ => stage::usage("server-down"),
    }
}
