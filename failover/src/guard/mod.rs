//! The guard of a host: a small process that gives back at once what the host held when it died. Feature `guard`, Unix.
//!
//! Without it the others wait until a dead host's leases have lapsed. The kernel knows at once that a process is dead; the guard listens to the kernel and
//! tells the store, over a connection that is open already. So a lease can be long and calm, and a crash is over within a few round trips all the same.
//!
//! ```no_run
//! # use failover::{ClusterName, Node, NodeId};
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let guard = failover::guard::start()?; // before there are threads
//!     let runtime = tokio::runtime::Runtime::new()?;
//!     runtime.block_on(async {
//!         let (address, cluster) = (std::env::var("FAILOVER_STORE")?, ClusterName::new("billing")?);
//!         let backend = failover::open(&address, &cluster).await?;
//!         let node = Node::builder(backend, NodeId::new("n1")?).guarded(guard.attach(&address, &cluster)).start()?;
//!         node.finished().await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! ```text
//!   host ──socket──▶ guard      what it holds, each time that changes: a name, a term, who is next
//!     │  ◀──pipe───  guard      held open by the host and by every process that it starts; nobody writes
//!     └── children ──┘
//! ```
//!
//! **It acts when the host's process is gone and nobody holds the pipe any more**: then nothing of what the leases cover runs (law 8). It is the host's own
//! program started a second time, in a session of its own. The end of the socket and the pipe wakes it; that the host is dead it knows from the kernel, which has given it
//! another parent by then. The address of the store goes through the socket, never through arguments or environment.
//!
//! | what happens | what the guard does |
//! |---|---|
//! | the host dies, however | gives back what it was told of, by its token: the role to the standby, then the node's own lease; then says that the node has died |
//! | the host ends in good order | nothing: everything was given back, and the guard was told so |
//! | a child of the host outlives it | waits until the child has ended too; for a ttl at most, because then all has lapsed |
//! | the host forks and the parent exits | the same: the child holds the pipe |
//! | the host becomes another program (`exec`) | nothing, while that program lives; it ends after a ttl |
//! | the host stands still, hangs, or loses its network | nothing: it lives. Its own rights end by its clock, and its leases lapse |
//! | the host dies before its guard has begun | the same as later: what it told is there |
//! | the guard was told late of a new term | gives back the older one, which changes nothing |
//! | the store is away when the host dies | tries again until everything has lapsed |
//! | the standby is dead too | the reservation for it lapses after a third of a ttl, and the next in line has the role |
//! | the guard is killed, alone or with the host, stands still or never started | nothing; the leases lapse as they do without one. A living host says `guard_lost` |
//!
//! Everything in it is about speed: whatever the guard does, early, late or twice, is a release by token, which the store refuses unless that very lease is current.
//! **What is left is what was on its way when the host died**: a request that has left the host reaches the resource after another has the role. Nobody can call it
//! back; that is what the [token](crate::fencing) is for, here as after a pause.
//!
//! While the host lives the guard costs one process that sleeps, connections of its own to the store, and two cheap calls a minute, which are of the kinds that a death takes and keep them warm.
//!
//! **A guard that is gone is not started again.** Whatever the host had started before holds the end of the first guard's pipe, which went with it: a second guard could not see that such a child goes
//! on, and would give the leases back too early. Without one, leases lapse by time; a host that wants its guard back is started anew, at a moment of its own choosing.
//!
//! **A child that is meant to outlive the host** (a daemon that a hook starts) keeps the guard from acting, as long as it keeps the descriptor it inherits. Close it
//! there, or start the daemon through the service manager, which does not inherit it. Start the guard after the host has become a daemon itself.

mod death;
mod host;
mod message;
mod process;
mod settle;

use std::io;

use crate::{Backend, ClusterName, Result};

pub use host::{Attached, Guard};

/// Starts the guard of this process. Call it first of all in `main`: in the guard's process, which is this program once more, it never returns.
///
/// # Errors
/// The system's, if the process cannot be started. A host can go on without.
pub fn start() -> io::Result<Guard> {
    start_with(async |address: String, cluster: ClusterName| crate::open_here(&address, &cluster).await)
}

/// The same, for a host that opens its stores in another way than [`open`](crate::open): `open` gets what is given to [`Guard::attach`].
///
/// # Errors
/// As [`start`].
pub fn start_with<F>(open: F) -> io::Result<Guard>
where
    F: AsyncFn(String, ClusterName) -> Result<Backend> + 'static,
{
    start_among(&[], open)
}

/// Becomes the guard if this process was started as one, and does not return then. [`start`] does that itself; this is for hosts that only sometimes start one, and want
/// to read their arguments before.
pub fn divert() {
    if let Some(host) = std::env::var_os(process::MARK) {
        process::main(&host, async |address: String, cluster: ClusterName| crate::open_here(&address, &cluster).await);
    }
}

/// For tests, whose `main` is not their own: with these arguments the guard's process finds its way here.
#[doc(hidden)]
pub fn start_among<F>(arguments: &[&str], open: F) -> io::Result<Guard>
where
    F: AsyncFn(String, ClusterName) -> Result<Backend> + 'static,
{
    match std::env::var_os(process::MARK) {
        Some(host) => process::main(&host, open),
        None => Guard::spawn(arguments),
    }
}
