//! A job's record as the text that `scripts/job.lua` writes.

use failover_core::job::{Course, JobChange, Outcome, Phase, Run, RunEnd};
use failover_core::time::Stamp;
use failover_core::{Epoch, Error, ErrorKind, JobId, JobRecord, JobSpec, Member, Result, Revision, record};

use crate::lease::parse_member;
use crate::reply::{Reply, corrupt, words};

/// A course as the scripts keep it, without looking into it: one word, because neither its names nor its numbers hold a space.
pub(super) fn course(course: &Course) -> Result<String> {
    serde_json::to_string(course)
        .map_err(|e| Error::new(ErrorKind::Corrupt, "assign", "a job's course could not be encoded").with_source(e))
}

/// One entry of the feed: a job with its record and its spec, or the revision of its removal.
pub(super) fn change(page: &mut Reply) -> Result<JobChange> {
    let operation = page.operation();
    let (id, text, spec): (JobId, String, Vec<u8>) = (page.id()?, page.text()?, page.bytes()?);
    if spec.is_empty() {
        let revision = text.parse().map(Revision).map_err(|_| page.strange())?;
        return Ok(JobChange::Removed { id, revision });
    }
    let what = format!("job {id}");
    let spec: JobSpec = record::decode(operation, &what, &spec)?;
    let words = words(operation, &what, &text)?;
    let read = (*spec.id() == id).then(|| parse(spec, words)).flatten();
    read.map(JobChange::Put).ok_or_else(|| corrupt(operation, &what))
}

fn parse(spec: JobSpec, words: [&str; 10]) -> Option<JobRecord> {
    let [revision, epoch, phase, owner, retiring, failures, submitted, course, length, texts] = words;
    let owner = if owner == "-" { None } else { Some(parse_member(owner)?) };
    let phase = Phase::ALL.into_iter().find(|known| known.as_str() == phase)?;
    let (detail, runs) = texts.split_at_checked(length.parse().ok()?)?;
    (phase.is_owned() == owner.is_some()).then_some(())?;
    Some(JobRecord {
        spec,
        revision: Revision(revision.parse().ok()?),
        submitted: Revision(submitted.parse().ok()?),
        epoch: Epoch(epoch.parse().ok()?),
        phase,
        owner,
        retiring: retiring == "1",
        failures: failures.parse().ok()?,
        detail: detail.to_owned(),
        course: serde_json::from_str(course).ok()?,
        runs: parse_runs(runs)?,
    })
}

/// Runs stand behind each other; each ends after its detail, whose length it tells.
fn parse_runs(mut text: &str) -> Option<Vec<Run>> {
    const OUTCOMES: [Outcome; 4] = [Outcome::Stopped, Outcome::Completed, Outcome::Failed, Outcome::Lost];
    let mut runs = Vec::new();
    while !text.is_empty() {
        let words: Vec<&str> = text.splitn(7, ' ').collect();
        let [epoch, member, placed, outcome, at, length, rest] = words.try_into().ok()?;
        let (detail, next) = rest.split_at_checked(length.parse().ok()?)?;
        let member: Member = parse_member(member)?;
        let mut run = Run::begin(Epoch(epoch.parse().ok()?), member, Stamp(placed.parse().ok()?));
        if outcome != "-" {
            let outcome = OUTCOMES.into_iter().find(|known| known.as_str() == outcome)?;
            run.end = Some(RunEnd::new(Stamp(at.parse().ok()?), outcome, detail));
        }
        runs.push(run);
        text = next;
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str = "n1@00000000-0000-0000-0000-000000000001";

    #[test]
    fn runs_are_told_apart_whatever_their_details_hold() {
        let text = format!("3 {MEMBER} 5 failed 7 12 1 a - 0 0ä\n4 {MEMBER} 8 - 0 0 ");
        let runs = parse_runs(&text).unwrap();
        let end = runs[0].end.as_ref().unwrap();
        assert_eq!((end.outcome, end.at, end.detail.as_str()), (Outcome::Failed, Stamp(7), "1 a - 0 0ä\n"));
        assert_eq!((runs[1].epoch, runs[1].placed, &runs[1].end), (Epoch(4), Stamp(8), &None));
        assert_eq!(parse_runs("").unwrap(), []);
    }

    #[test]
    fn what_breaks_the_form_of_runs_is_no_panic() {
        for bad in ["x", "3 n1 5 - 0 0 ", "3 {m} 5 - 0 9 short", "3 {m} 5 gone 0 0 ", "3 {m} 5 lost 7 1 ä", "3 {m}"] {
            assert_eq!(parse_runs(&bad.replace("{m}", MEMBER)), None, "{bad}");
        }
    }

    #[test]
    fn a_course_is_one_word() {
        let mut way = Course::default();
        assert_eq!(course(&way).unwrap(), "{}", "as the script writes it for a new job");
        way.home = Some("n-1".parse().unwrap());
        way.retries = 3;
        assert!(!course(&way).unwrap().contains(char::is_whitespace));
    }
}
