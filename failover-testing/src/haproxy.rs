//! [`Haproxy`]: a load balancer of a test's own.

use tempfile::TempDir;

use crate::daemon::Daemon;

/// An `HAProxy` with a configuration of the test's.
#[derive(Debug)]
pub struct Haproxy {
    _daemon: Daemon,
    _directory: TempDir,
}

impl Haproxy {
    /// Starts one with this configuration, and waits until these ports, on which it is to listen, accept connections.
    ///
    /// # Panics
    /// If it is not installed (the message names the package), or refuses the configuration.
    pub fn start(configuration: &str, ports: &[u16]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).expect("a file of our own can be written");
        let file = file.display().to_string();
        let program = [program().as_str(), "-db", "-f", &file].map(str::to_owned);
        let mut daemon = Daemon::start("haproxy", "haproxy", &program, &directory.path().join("log"));
        for port in ports {
            daemon.wait_for_port(*port);
        }
        Self { _daemon: daemon, _directory: directory }
    }
}

/// Debian keeps it where not everybody's `PATH` looks.
fn program() -> String {
    let debian = "/usr/sbin/haproxy";
    if std::path::Path::new(debian).exists() { debian.to_owned() } else { "haproxy".to_owned() }
}
