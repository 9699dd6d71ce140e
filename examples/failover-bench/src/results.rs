//! The figures, and what they are held against.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use crate::options::Options;

/// What a line has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Nothing: it is stated.
    Stated,
    /// The median is at most so many times the bare store's.
    Times(f64),
    /// The same, and no trial is above so much.
    TimesAndEach(f64, f64),
    /// No trial is above so much.
    Each(f64),
    /// The median is at least so many times the bare store's: it is a rate.
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) store: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
    /// The bare store's, in the same unit, measured in turn with them.
    pub(crate) bare: Vec<f64>,
    pub(crate) goal: Goal,
}

impl Line {
    pub(crate) fn median(&self) -> f64 {
        percentile(&self.values, 50)
    }

    pub(crate) fn p99(&self) -> f64 {
        percentile(&self.values, 99)
    }

    pub(crate) fn max(&self) -> f64 {
        percentile(&self.values, 100)
    }

    pub(crate) fn bare_median(&self) -> Option<f64> {
        (!self.bare.is_empty()).then(|| percentile(&self.bare, 50))
    }

    pub(crate) fn ratio(&self) -> Option<f64> {
        self.bare_median().map(|bare| self.median() / bare)
    }

    pub(crate) fn goal(&self) -> String {
        match self.goal {
            Goal::Stated => String::new(),
            Goal::Times(times) => format!("at most {times} ×"),
            Goal::TimesAndEach(times, each) => format!("at most {times} ×, each at most {each}"),
            Goal::Each(each) => format!("each at most {each}"),
            Goal::AtLeast(times) => format!("at least {times} ×"),
        }
    }

    /// Whether the goal is reached, if there is one.
    pub(crate) fn reached(&self) -> Option<bool> {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        match self.goal {
            Goal::Stated => None,
            Goal::Times(times) => Some(ratio <= times),
            Goal::TimesAndEach(times, each) => Some(ratio <= times && self.max() <= each),
            Goal::Each(each) => Some(self.max() <= each),
            Goal::AtLeast(times) => Some(ratio >= times),
        }
    }

    fn print(&self) {
        let [median, p99, max] = [self.median(), self.p99(), self.max()].map(figure);
        let bare = self.bare_median().map_or_else(String::new, figure);
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let verdict = self.reached().map_or("", |reached| if reached { "reached" } else { "MISSED" });
        println!(
            "{:26} {:11} {median:>9} {p99:>9} {max:>9} {:6} {bare:>9} {ratio:>7}  {} {verdict}",
            self.what,
            self.store,
            self.unit,
            self.goal()
        );
    }
}

/// With three digits that count.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The value that so many of a hundred are not above.
fn percentile(of: &[f64], percent: usize) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}

/// All lines so far.
pub(crate) struct Results {
    pub(crate) lines: Vec<Line>,
    /// The rows that were not measured to their end, and why.
    pub(crate) broken: Vec<(&'static str, String)>,
    /// Whether somebody watches.
    watched: bool,
}

impl Results {
    pub(crate) fn new(options: &Options) -> Self {
        println!(
            "{:26} {:11} {:>9} {:>9} {:>9} {:6} {:>9} {:>7}  goal",
            "", "store", "median", "p99", "max", "unit", "bare", "ratio"
        );
        if options.quick || cfg!(debug_assertions) {
            println!("(not to be believed: quick, or not built with --release)");
        }
        Self { lines: Vec::new(), broken: Vec::new(), watched: std::io::stderr().is_terminal() }
    }

    /// Shows how far it is, where somebody watches.
    pub(crate) fn progress(&self, what: &str, done: impl Display, of: impl Display) {
        if self.watched {
            eprint!("\r\x1b[K{what}: {done} of {of}");
            let _shown = std::io::stderr().flush();
        }
    }

    pub(crate) fn add(&mut self, line: Line) {
        if self.watched {
            eprint!("\r\x1b[K");
        }
        line.print();
        self.lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64], bare: &[f64], goal: Goal) -> Line {
        let (values, bare) = (values.to_vec(), bare.to_vec());
        Line { what: "x".to_owned(), store: "y", unit: "ms", values, bare, goal }
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let of = line(&hundred, &[2.0, 4.0, 9.0], Goal::Stated);
        assert_eq!([of.median(), of.p99(), of.max()].map(figure), ["50.0", "99.0", "100"]);
        assert_eq!((of.bare_median().map(figure), of.ratio().map(figure)), (Some("4.00".into()), Some("12.5".into())));
        assert_eq!(figure(percentile(&[7.0], 99)), "7.00");
    }

    #[test]
    fn a_goal_is_reached_up_to_its_bound() {
        let reached = |values: &[f64], goal| line(values, &[1.0], goal).reached();
        assert_eq!(reached(&[1.0], Goal::Stated), None);
        assert_eq!(reached(&[2.0], Goal::Times(2.0)), Some(true));
        assert_eq!(reached(&[2.1], Goal::Times(2.0)), Some(false));
        assert_eq!(reached(&[1.0, 1.0, 9.0], Goal::TimesAndEach(2.0, 8.0)), Some(false));
        assert_eq!(reached(&[1.0, 9.0], Goal::Each(9.0)), Some(true));
        assert_eq!(reached(&[0.6], Goal::AtLeast(0.7)), Some(false));
        assert_eq!(line(&[1.0], &[], Goal::Times(5.0)).reached(), Some(false), "nothing to compare with is no success");
    }
}
