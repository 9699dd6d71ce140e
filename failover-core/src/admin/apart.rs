//! Whether jobs that keep apart can all run at once where they are pinned to.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Invalid;
use crate::ids::{GroupName, NodeId};
use crate::job::JobSpec;

/// That for every group, each job with pins can have a node of its own among them.
///
/// A matching of jobs and nodes, grown by one augmenting path for each job (Kuhn, 1955).
pub(super) fn check<'a>(jobs: impl Iterator<Item = &'a JobSpec>) -> Result<(), Invalid> {
    let mut groups: BTreeMap<&GroupName, Vec<&JobSpec>> = BTreeMap::new();
    for job in jobs {
        if let Some(group) = job.policy().apart.as_ref().filter(|_| !job.policy().pins.is_empty()) {
            groups.entry(group).or_default().push(job);
        }
    }
    for (group, jobs) in groups {
        let mut taken = BTreeMap::new();
        for job in jobs {
            if !seat(job, &mut taken, &mut BTreeSet::new()) {
                let at: Vec<_> = job.policy().pins.iter().map(NodeId::as_str).collect();
                let rule = format!(
                    "more jobs of this group are pinned to {} than can keep apart there: pin them to further nodes",
                    at.join(", ")
                );
                return Err(Invalid::new(format!("job `{}`: apart", job.id()), group, rule));
            }
        }
    }
    Ok(())
}

/// Gives the job a node of its own, moving others if need be.
fn seat<'a>(job: &'a JobSpec, taken: &mut BTreeMap<&'a NodeId, &'a JobSpec>, tried: &mut BTreeSet<&'a NodeId>) -> bool {
    for node in &job.policy().pins {
        if tried.insert(node) && taken.get(node).copied().is_none_or(|other| seat(other, taken, tried)) {
            taken.insert(node, job);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;
    use crate::job::JobPolicy;

    fn job(name: &str, group: &str, pins: &[&str]) -> JobSpec {
        let apart = Some(GroupName::new(group).unwrap());
        let pins = pins.iter().map(|node| NodeId::new(node).unwrap()).collect();
        let policy = JobPolicy { pins, apart, ..JobPolicy::default() };
        JobSpec::new(JobId::new(name).unwrap(), "").unwrap().with_policy(policy).unwrap()
    }

    #[test]
    fn jobs_that_can_sit_apart_in_some_order_do() {
        let jobs = [
            job("1", "g", &["a", "b"]),
            job("2", "g", &["a", "c"]),
            job("3", "g", &["a"]),
            job("4", "g", &[]),
            job("5", "other", &["a"]),
        ];
        assert_eq!(check(jobs.iter()), Ok(()));
    }

    #[test]
    fn one_job_too_many_is_a_contradiction() {
        let jobs = [job("1", "g", &["a", "b"]), job("2", "g", &["b", "a"]), job("3", "g", &["a"])];
        let error = check(jobs.iter()).unwrap_err();
        assert_eq!((error.field.as_str(), error.value.as_str()), ("job `3`: apart", "g"));
    }
}
