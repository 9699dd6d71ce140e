//! What is done to the stage, and what has to come of it. Each cell ends with the judgement of the resource's records.

pub(crate) mod connections;
pub(crate) mod data;
pub(crate) mod fencer;
pub(crate) mod herd;
pub(crate) mod histories;
pub(crate) mod leader;
pub(crate) mod processes;
pub(crate) mod promotion;
pub(crate) mod replica;
pub(crate) mod server;
pub(crate) mod wellbeing;
pub(crate) mod witness;
