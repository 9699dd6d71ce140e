//! `MySQL` and `MariaDB`: any number of hosts on one server.

mod bell;
mod classify;
mod connection;
mod fence;
mod open;
mod options;
mod pace;
mod server;
mod session;
mod shortcut;
mod target;
mod watch;

pub use options::{MysqlOptions, MysqlTls};

/// The server's clock in nanoseconds, when it is read and not when the statement began, as `NOW(6)` would tell: it may have
/// waited for a lock in between. The session's time zone is UTC.
macro_rules! now {
    () => {
        "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', SYSDATE(6)) * 1000)"
    };
}
use now;
