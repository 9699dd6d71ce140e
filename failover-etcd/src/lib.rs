//! The failover traits on etcd.
