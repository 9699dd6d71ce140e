//! The rows of the table, one file each.

mod beats;
mod calls;
mod calm;
mod host_loss;
mod idle;
mod jobs;
mod replica;
mod takeover;
mod throughput;

use std::pin::Pin;
use std::time::Duration;

use crate::Outcome;
use crate::options::Scale;
use crate::results::Results;

type Measuring<'a> = Pin<Box<dyn Future<Output = Outcome<()>> + 'a>>;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it says in the document.
    pub(crate) about: &'static str,
    pub(crate) measure: for<'a> fn(&'a Scale, &'a mut Results) -> Measuring<'a>,
}

macro_rules! row {
    ($room:ident, $name:literal) => {
        Row { name: $name, about: $room::ABOUT, measure: |scale, results| Box::pin($room::measure(scale, results)) }
    };
}

pub(crate) const ALL: &[Row] = &[
    row!(calls, "calls"),
    row!(throughput, "throughput"),
    row!(takeover, "takeover"),
    row!(host_loss, "host-loss"),
    row!(idle, "idle"),
    row!(replica, "replica"),
    row!(jobs, "jobs"),
    row!(beats, "beats"),
    row!(calm, "calm"),
];

/// In milliseconds.
fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
