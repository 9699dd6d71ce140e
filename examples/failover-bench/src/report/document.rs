//! `BENCHMARKS.md`: the table, with the machine and the date.

use std::fmt::Write as _;
use std::process::Command;

use crate::Outcome;
use crate::options::Options;
use crate::results::{Results, figure};
use crate::rows;

pub(super) fn of(options: &Options, results: &Results) -> Outcome<String> {
    let (date, machine) = (jiff::Timestamp::now().strftime("%Y-%m-%d"), machine()?);
    let mut text = format!(
        "# Benchmarks\n\n\
         Written by `cargo run --release -p failover-bench`, which measures all of it in one run and writes this file anew. {date}, {machine}.\n\n\
         Servers on the loopback of the same machine, each flushing to disk what it acknowledges (but MariaDB, which the tests start without). *Bare* is the median of the smallest durable write of the bare store (SET, put, UPDATE by key) through a plain client \
         on one connection, measured in turn with the rest; *ratio* is median to median. A goal that was missed stays here as it is.\n\n"
    );
    for row in rows::ALL.iter().filter(|row| options.wants(row.name)) {
        let _fits = writeln!(text, "- {}", row.about.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    text.push_str("\n| | store | n | median | p99 | max | unit | bare | ratio | goal | |\n|---|---|---:|---:|---:|---:|---|---:|---:|---|---|\n");
    for line in &results.lines {
        let bare = line.bare_median().map_or_else(String::new, figure);
        let ratio = line.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let verdict = line.reached().map_or("", |reached| if reached { "reached" } else { "**missed**" });
        let [median, p99, max] = [line.median(), line.p99(), line.max()].map(figure);
        let _fits = writeln!(
            text,
            "| {} | {} | {} | {median} | {p99} | {max} | {} | {bare} | {ratio} | {} | {verdict} |",
            line.what,
            line.store,
            line.values.len(),
            line.unit,
            line.goal()
        );
    }
    for (row, why) in &results.broken {
        let _fits = writeln!(text, "\n**{row}** was not measured to its end: {why}.");
    }
    Ok(text)
}

/// What it ran on.
fn machine() -> Outcome<String> {
    let of = |file: &str, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory =
        of("/proc/meminfo", "MemTotal").and_then(|kib| kib.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
    let kernel = Command::new("uname").arg("-sr").output()?;
    let built = if cfg!(debug_assertions) { ", NOT BUILT WITH --release" } else { "" };
    Ok(format!(
        "{} × {processor}, {} GiB, {}{built}",
        std::thread::available_parallelism()?,
        memory.div_ceil(1 << 20),
        String::from_utf8_lossy(&kernel.stdout).trim()
    ))
}
