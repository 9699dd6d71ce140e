//! The reckoning: what happened, how long it took, and whether the processes' own records show two owners at any moment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::journal::Line;

/// One step of the play and how long its parts took.
pub(crate) struct Phase {
    pub(crate) what: &'static str,
    pub(crate) detect: Option<Duration>,
    pub(crate) acquire: Option<Duration>,
    pub(crate) start: Option<Duration>,
}

/// One stretch of work by one process under one token.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    from: u64,
    to: u64,
    process: u32,
    node: String,
    token: u64,
}

/// Prints the table and the checks. Whether all held.
pub(crate) fn reckon(phases: &[Phase], lines: &[Line], left_well: bool) -> bool {
    let shown = |d: Option<Duration>| d.map_or_else(|| "-".to_owned(), |d| format!("{} ms", d.as_millis()));
    println!("\n{:<12}{:>12}{:>12}{:>12}", "what", "detect", "acquire", "start");
    for phase in phases {
        let (detect, acquire, start) = (shown(phase.detect), shown(phase.acquire), shown(phase.start));
        println!("{:<12}{detect:>12}{acquire:>12}{start:>12}", phase.what);
    }
    println!();

    let works = runs(lines);
    let mut all = verdict("every node left in good order", &left_well.then_some(()).ok_or("one did not".to_owned()));
    all &= verdict("the records show work", &(works.len() >= 2).then_some(()).ok_or("they are empty".to_owned()));
    for (work, runs) in &works {
        let tokens: Vec<String> = runs.iter().map(|run| format!("{}#{}", run.node, run.token)).collect();
        all &= verdict(&format!("{work}: one owner at a time, tokens in order: {}", tokens.join(", ")), &check(runs));
    }
    println!("\n{}", if all { "Every check held." } else { "A check FAILED." });
    all
}

fn verdict(what: &str, outcome: &Result<(), String>) -> bool {
    match outcome {
        Ok(()) => println!("ok      {what}"),
        Err(why) => println!("FAILED  {what}: {why}"),
    }
    outcome.is_ok()
}

/// The stretches of work, by what was worked on, in order of their beginning.
fn runs(lines: &[Line]) -> BTreeMap<String, Vec<Run>> {
    let mut works: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for line in lines {
        let runs = works.entry(line.work.clone()).or_default();
        match runs.iter_mut().find(|run| run.process == line.process && run.token == line.token) {
            Some(run) => run.to = line.at,
            None => runs.push(Run {
                from: line.at,
                to: line.at,
                process: line.process,
                node: line.node.clone(),
                token: line.token,
            }),
        }
    }
    works
}

/// No stretch begins before the one before it has ended, and each has a higher token.
fn check(runs: &[Run]) -> Result<(), String> {
    for pair in runs.windows(2) {
        let [before, after] = pair else { continue };
        if after.from <= before.to {
            let overlap = Duration::from_nanos(before.to - after.from);
            return Err(format!("{} and {} overlapped for {overlap:?}", before.node, after.node));
        }
        if after.token <= before.token {
            return Err(format!("token {} came after {}", after.token, before.token));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, process: u32, token: u64) -> Line {
        Line { at, process, node: format!("n{process}"), work: "job/x".to_owned(), token }
    }

    #[test]
    fn one_after_the_other_holds() {
        let lines = [line(1, 1, 1), line(5, 1, 1), line(6, 2, 2), line(9, 2, 2)];
        assert_eq!(check(&runs(&lines)["job/x"]), Ok(()));
    }

    #[test]
    fn an_overlap_is_found() {
        let lines = [line(1, 1, 1), line(4, 2, 2), line(5, 1, 1), line(9, 2, 2)];
        assert!(check(&runs(&lines)["job/x"]).unwrap_err().contains("overlapped"));
    }

    #[test]
    fn a_token_out_of_order_is_found() {
        let lines = [line(1, 1, 2), line(4, 2, 1)];
        assert!(check(&runs(&lines)["job/x"]).unwrap_err().contains("token 1"));
    }

    #[test]
    fn without_records_nothing_holds() {
        assert!(!reckon(&[], &[], true));
    }
}
