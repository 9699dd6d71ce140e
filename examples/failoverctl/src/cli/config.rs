//! What there is to say about the cluster's configuration as a whole.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show it and its version; durations are milliseconds
    Get,
    /// Set it as a whole, made from the version that was read
    Set {
        /// The file, in TOML or JSON; its name ends in .toml or .json
        file: PathBuf,
        /// The version it was made from: if it is another one by now, nothing is written
        #[arg(long, value_name = "VERSION")]
        expect: u64,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Edit it in $VISUAL or $EDITOR
    Edit {
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Show the versions that are kept: who made them, when and why
    History,
    /// Make it again what it was in an earlier version; that is a new version
    Rollback {
        /// The earlier version
        version: u64,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
}
