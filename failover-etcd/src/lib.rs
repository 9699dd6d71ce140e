//! The place where the four `failover` traits will be implemented on etcd.
//!
//! There is nothing here to use: the crate exports no item, so that no program can mistake it for a backend.
