//! Diagnostics on standard error. What a user needs to see is an event, not a log line, so only warnings are on by default.

use tracing_subscriber::EnvFilter;

/// Starts logging, as `RUST_LOG` says.
pub(crate) fn start() {
    let filter = EnvFilter::builder().with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into());
    let fmt = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(filter.from_env_lossy());
    fmt.init();
}
