//! `SQLite`: the processes of one host on one file, with nothing to install.

mod classify;
mod clock;
mod connection;
mod file;
mod open;
mod options;
mod session;
mod watch;

pub use options::SqliteOptions;

pub(crate) use clock::now;
pub(crate) use connection::bind;
