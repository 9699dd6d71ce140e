//! The guard of a host, with real processes on real stores: what it makes quick, and each danger of that.
//!
//! Leases here last so long that nothing lapses while a test has patience: whatever is given back was given back by the guard.

mod crashes;
mod dangers;
mod host;
mod puppets;
mod stage;

/// Not a test of its own: the part of a host's process, when a test starts this binary as one. Its guard's process comes by here as well.
#[test]
fn a_host_process() {
    if std::env::var_os(host::PART).is_some() {
        host::play();
    }
}
