//! Real servers and real faults, for the tests of this workspace.
//!
//! A test owns the servers it starts: each is a child process on a free port of the loopback, with a directory of its own.
//! It ends when its value is dropped, and also when the test's process ends in any other way, a kill included. A program that
//! is not installed fails the test and names the package that brings it; nothing is ever skipped.
//!
//! - [`daemon`]: a server's process that can be paused, killed and started again; [`process`] for those a test starts itself.
//! - [`proxy`]: a TCP proxy between a client and its server that delays, cuts, holds and loses what passes.
//! - [`certificates`]: an authority and certificates of its own making, for TLS.
//! - [`room`]: a directory that goes with the test's process, however that ends.
//! - one module for each store.

#![allow(clippy::missing_panics_doc, reason = "to panic when a server does not do as it is told is what these are for")]

pub mod bind;
pub mod certificates;
pub mod daemon;
pub mod etcd;
pub mod haproxy;
mod leash;
pub mod mariadb;
pub mod nats;
pub mod pgbouncer;
pub mod port;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod room;
