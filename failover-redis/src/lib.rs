//! The failover traits on Redis.
