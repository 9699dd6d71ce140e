//! `PostgreSQL`: one server for the nodes of any number of hosts.

mod classify;
mod connect;
mod fence;
mod listen;
mod open;
mod options;
mod row;
mod session;
mod shortcut;

pub use options::{Pooler, PostgresOptions, Promotion};
