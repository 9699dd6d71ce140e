//! What takes time, as a plot: for each line its median as a dot with a whisker to its p99, and the bare store's median as a ring, on one logarithmic axis.

use std::fmt::Write as _;

use crate::results::{Line, figure};

/// In the plot's own units, which are pixels where it is shown as it is.
const ROW: f64 = 22.0;
const LABELS: f64 = 260.0;
const WIDTH: f64 = 640.0;
const TOP: f64 = 56.0;
const RIGHT: f64 = 90.0;

pub(super) fn of(lines: &[Line]) -> String {
    // What may be below zero has no place on this axis.
    let timed =
        |line: &&Line| line.unit == "ms" && line.values.iter().all(|value| *value > 0.0) && !line.values.is_empty();
    let lines: Vec<&Line> = lines.iter().filter(timed).collect();
    let axis =
        Axis::over(lines.iter().flat_map(|line| [line.median(), line.p99()].into_iter().chain(line.bare_median())));
    #[expect(clippy::cast_precision_loss, reason = "a few dozen lines")]
    let height = TOP + ROW * lines.len() as f64 + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\">in ms: ● median, ─ to p99, ○ one bare write, median</text>\n",
        LABELS + WIDTH + RIGHT
    );
    for tenth in axis.first..=axis.last {
        let (x, label) = (axis.at(10f64.powi(tenth)), figure(10f64.powi(tenth)));
        let _fits = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{height}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>",
            TOP - 12.0,
            TOP - 16.0
        );
    }
    let mut y = TOP;
    for line in lines {
        let (median, p99) = (axis.at(line.median()), axis.at(line.p99()));
        let color = match line.reached() {
            Some(false) => "#c0392b",
            Some(true) | None => "#1f6f8b",
        };
        let _fits = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}, {}</text>\
             <line x1=\"{median:.1}\" y1=\"{y:.1}\" x2=\"{p99:.1}\" y2=\"{y:.1}\" stroke=\"{color}\" stroke-width=\"2\"/>\
             <circle cx=\"{median:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#444\">{}</text>",
            LABELS - 12.0,
            y + 4.0,
            line.what,
            line.store,
            p99 + 10.0,
            y + 4.0,
            figure(line.median())
        );
        if let Some(bare) = line.bare_median() {
            let x = axis.at(bare);
            let _fits = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"none\" stroke=\"#444\" stroke-width=\"1.5\"/>"
            );
        }
        y += ROW;
    }
    svg + "</svg>\n"
}

/// From one power of ten to another.
struct Axis {
    first: i32,
    last: i32,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        if least > most {
            return Self { first: 0, last: 1 };
        }
        #[expect(clippy::cast_possible_truncation, reason = "a power of ten")]
        let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        Self { first: from, last: to.max(from + 1) }
    }

    fn at(&self, value: f64) -> f64 {
        let whole = f64::from(self.last - self.first);
        LABELS + WIDTH * (value.log10() - f64::from(self.first)) / whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Goal;

    #[test]
    fn the_axis_spans_what_there_is_and_what_is_below_zero_is_left_out() {
        let axis = Axis::over([0.02, 30.0].into_iter());
        assert_eq!((axis.first, axis.last), (-2, 2));
        assert!((axis.at(0.01) - LABELS).abs() < 1e-9 && (axis.at(100.0) - LABELS - WIDTH).abs() < 1e-9);
        let line = |what: &str, value| Line {
            what: what.to_owned(),
            store: "s",
            unit: "ms",
            values: vec![value],
            bare: vec![0.5],
            goal: Goal::Times(2.0),
        };
        let svg = of(&[line("shown", 1.0), line("hidden", -1.0)]);
        assert!(svg.contains("shown, s") && !svg.contains("hidden") && svg.matches("<circle").count() == 2, "{svg}");
        assert!(of(&[]).ends_with("</svg>\n"));
    }
}
