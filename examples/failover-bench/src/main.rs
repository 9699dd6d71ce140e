//! What failing over costs, beside the bare stores: `cargo run --release -p failover-bench`.
//!
//! One program and one run: it starts the servers it needs, and measures ours and the bare store's in turn, so that whatever else the machine does meets
//! both. Takeovers are of real processes (this program, started again as a [`node`]), by real signals. A line of the table is printed when it is known.
//!
//! A reader starts at [`rows`]: one file for each row of the table. [`stores`] has the servers and what is done to a bare one, [`pair`] the processes.

#[cfg(not(unix))]
compile_error!("takeovers are brought about by signals, which need a Unix");

mod node;
mod options;
mod pair;
mod proc;
mod report;
mod results;
mod rows;
mod stores;

use std::process::ExitCode;

use crate::options::Options;

/// Whatever ends a run early.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Error>;

fn main() -> ExitCode {
    if let Some(part) = node::part() {
        return node::play(part);
    }
    let options = match Options::of(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failover-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Outcome<()> {
    let mut results = results::Results::new(options);
    for row in rows::ALL.iter().filter(|row| options.wants(row.name)) {
        // One that comes to nothing does not cost the others, and is told with them.
        if let Err(error) = (row.measure)(&options.scale, &mut results).await {
            eprintln!("failover-bench: {}: {error}", row.name);
            results.broken.push((row.name, error.to_string()));
        }
    }
    report::write(options, &results)?;
    if results.broken.is_empty() { Ok(()) } else { Err("not every row was measured to its end".into()) }
}
