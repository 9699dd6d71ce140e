//! The tests on `MariaDB`: one server for all that do it no harm, one of their own for the others.
#![cfg(feature = "mysql")]

mod common;
mod conformance;
mod contention;
mod cost;
mod faults;
mod fence;
mod hints;
mod identity;
mod input;
