//! Clauses of [`JobAssigner`](crate::JobAssigner).

mod assign;
mod feed;
mod fence;
mod kit;
mod report;
mod revise;
mod run;
mod store;
mod submit;

pub use assign::*;
pub use feed::*;
pub use fence::*;
pub use report::*;
pub use revise::*;
pub use run::*;
pub use store::*;
pub use submit::*;
