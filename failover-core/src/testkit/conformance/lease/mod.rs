//! Clauses of [`LeaseManager`](crate::LeaseManager).

mod expiry;
mod grant;
mod release;
mod renew;
mod store;

pub use expiry::*;
pub use grant::*;
pub use release::*;
pub use renew::*;
pub use store::*;
