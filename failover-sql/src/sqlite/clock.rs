//! The store's clock: the host's boot clock, which all processes of one host share.
//!
//! Not the wall clock, which jumps. `CLOCK_BOOTTIME` never does, and runs during suspend; it starts anew with every boot
//! and is shifted in a time namespace, so the database remembers whose clock its moments are of.

use failover_core::Result;
use failover_core::time::{Clock, SystemClock};
#[cfg(target_os = "linux")]
use failover_core::{Error, ErrorKind};

/// Nanoseconds on that clock.
pub(super) fn now() -> i64 {
    i64::try_from(SystemClock::new().now().as_nanos()).unwrap_or(i64::MAX)
}

/// Whose clock [`now`] shows: the same text for the same clock, another after a reboot and in another time namespace.
#[cfg(target_os = "linux")]
pub(super) fn identity() -> Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|e| {
        let message =
            "/proc/sys/kernel/random/boot_id cannot be read, and without it a reboot is not noticed: mount /proc";
        Error::new(ErrorKind::Denied, "open", message).with_source(e)
    })?;
    // Kernels before 5.6 have no time namespaces, and hence only one.
    let namespace = std::fs::read_link("/proc/self/ns/time").map(|link| link.display().to_string());
    Ok(format!("boot:{} {}", boot.trim(), namespace.unwrap_or_else(|_| "time:none".to_owned())))
}

/// Elsewhere a reboot is noticed by moments that lie in the future.
#[cfg(not(target_os = "linux"))]
pub(super) fn identity() -> Result<String> {
    Ok("monotonic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_has_one_identity_and_runs() {
        assert_eq!(identity().unwrap(), identity().unwrap());
        let before = now();
        assert!(before > 0 && now() >= before);
    }
}
