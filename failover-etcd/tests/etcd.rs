//! What is peculiar to etcd: its leases, its elections, its limits, its users; and what real networks and servers do.

mod common;

#[path = "../examples/fenced_write_etcd.rs"]
mod fenced_write;

#[path = "etcd/faults.rs"]
mod faults;
#[path = "etcd/fence.rs"]
mod fence;
#[path = "etcd/input.rs"]
mod input;
#[path = "etcd/jobs.rs"]
mod jobs;
#[path = "etcd/reserve.rs"]
mod reserve;
#[path = "etcd/round_trips.rs"]
mod round_trips;
#[path = "etcd/servers.rs"]
mod servers;
#[path = "etcd/stock.rs"]
mod stock;
