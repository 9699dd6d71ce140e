//! A node's health over HTTP: what load balancers and probes ask.
//!
//! | path | 200 if, at this very moment, |
//! |---|---|
//! | `/live` | the process lives and its node answers; nothing is said about the store |
//! | `/standby` | the node is the appointed standby, and prepared |
//! | `/active` | the node has the right to be active, and need not stop; the body is its [`Address`](super::Address) |
//! | `/status` | always: how the node stands, as JSON |
//!
//! Otherwise the answer is 503 and its body says why. `GET` and `HEAD`; every connection serves one request. A pod's probes, and a load balancer's check:
//!
//! ```yaml
//! livenessProbe:  { httpGet: { path: /live, port: 8008 }, periodSeconds: 5, failureThreshold: 3 }
//! readinessProbe: { httpGet: { path: /active, port: 8008 }, periodSeconds: 1, failureThreshold: 1 }
//! ```
//!
//! ```text
//! option httpchk GET /active
//! server a 10.0.0.1:80 check port 8008 inter 500ms fall 1 rise 1
//! ```
//!
//! A readiness probe that asks `/active` sends a service's traffic to the active node only; a liveness probe must not ask it, or the standby is
//! restarted for standing by. `failover/tests/clients/haproxy.rs` runs such a load balancer before two nodes.

mod answer;
mod serve;

use std::net::{SocketAddr, TcpListener};

pub(crate) use serve::Health;

use crate::error::Invalid;

/// Takes the port, so that a node whose port is taken does not start.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Invalid> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|error: std::io::Error| {
        let rule = format!("it must be an address of this machine that nobody else listens on ({error})");
        Invalid::new("health", address, rule)
    })
}
