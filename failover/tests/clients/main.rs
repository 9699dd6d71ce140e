//! Clients that follow, with everything real: stores, a load balancer, a DNS server, nodes as processes of their own.

mod dns;
mod follow;
mod haproxy;
mod service;

/// Not a test of its own: the part of a node's process, when [`haproxy`] starts this binary as one.
#[test]
fn a_service_process() {
    if let Some(part) = service::part() {
        service::play(&part);
    }
}
