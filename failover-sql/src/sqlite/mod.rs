//! `SQLite`: the processes of one host on one file, with nothing to install.

mod classify;
mod clock;
mod connection;
mod fence;
mod file;
mod open;
mod options;
mod session;
mod watch;

pub use options::SqliteOptions;

use clock::now;
use connection::bind;
