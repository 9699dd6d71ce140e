//! The servers of a plant: one active, one standby with its application loaded, one inactive, one in maintenance. The active one is killed,
//! the cluster is reconfigured, the role is handed over by hand, a line breaks, a server comes back with another version of the product.
//! Exit status 0 only if everything came as it should, and no two servers were ever in operation at once.
//!
//! ```text
//! cargo run -p hot-standby
//! ```
//!
//! `node.rs` and `application.rs` are what you would write in your own service; the rest is the story around them.

mod application;
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
        [] => stage::exit("hot-standby", story::play().await),
        // How the story starts its servers: this same program, once for each.
        ["node", name, version, directory, began] => {
            let run = async || node::run(name, version, &Scene::of(directory, began)?).await;
            stage::exit(name, run().await)
        }
        _ => stage::usage("hot-standby"),
    }
}
