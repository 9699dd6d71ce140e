//! What a node brings along for the cluster's configuration.

use std::path::PathBuf;

use super::NodeBuilder;

impl NodeBuilder {
    /// The version of the host's program, 1 to 64 visible characters, for [`VersionRule`](crate::control::VersionRule) to compare. Default: none is told, which
    /// matches only where none is wanted.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Keeps a copy of the cluster's configuration in this file, of every version it follows, and begins with it at the next start: so roster, pace and
    /// topology are known while the store is away. Nobody becomes active from it, because that takes the lease. The file is replaced whole, and its
    /// directory must be writable; nodes do not share one. A file that cannot be read or written is told as an event and is never fatal. The backend has to be one that is
    /// made while the store is away: the crate `failover` has `open_later`. Default: none.
    pub fn local_config(mut self, path: impl Into<PathBuf>) -> Self {
        self.local = Some(path.into());
        self
    }
}
