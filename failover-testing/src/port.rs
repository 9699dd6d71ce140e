//! Free ports, below the range from which the kernel takes those of outgoing connections.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

const FIRST: u16 = 12_000;
const COUNT: u64 = 20_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of the loopback that nobody listens on, given out once by this process.
///
/// Another process may still take it first; [`Daemon`](crate::daemon::Daemon) says so if that happens.
///
/// # Panics
/// If all ports of the range are taken.
pub fn free() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for attempt in 0..COUNT {
        let pick = RandomState::new().hash_one(attempt) % COUNT;
        let port = FIRST + u16::try_from(pick).expect("below the count");
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", u64::from(FIRST) + COUNT)
}
