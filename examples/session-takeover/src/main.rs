//! Logins that survive their server. Two login servers, one active, one passive; two terminal servers on which the users work; a client
//! that knows both login servers and follows the active one. The active server is killed with SIGKILL in the midst of logins, comes
//! back as the passive one, catches up, and gets its role back. In the end the records of all are compared: exit status 0 only if
//! no acknowledged login is lost, none was accepted twice, and no two servers ever let users in at the same time.
//!
//! ```text
//! cargo run -p session-takeover
//! ```
//!
//! `server.rs` is what you would write in your own service; the rest is the story around it.

mod check;
mod client;
mod door;
mod journal;
mod server;
mod story;

use std::process::ExitCode;

use stage::Scene;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => stage::exit("session-takeover", story::play().await),
        // How the story starts its processes: this same program, once for each.
        ["server", name, logins, health, directory, began] => {
            let run = async || server::run(name, logins, health, &Scene::of(directory, began)?).await;
            stage::exit(name, run().await)
        }
        ["desk", name, directory, began] => {
            let run = async || server::run_desk(name, &Scene::of(directory, began)?).await;
            stage::exit(name, run().await)
        }
        _ => stage::usage("session-takeover"),
    }
}
