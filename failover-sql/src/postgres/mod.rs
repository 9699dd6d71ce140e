//! `PostgreSQL`: one server for the nodes of any number of hosts.

mod classify;
mod connection;
mod fence;
mod open;
mod options;
mod put;
mod row;
mod session;
mod shortcut;
mod warm;
mod watch;

pub use options::{Pooler, PostgresOptions, Promotion};
