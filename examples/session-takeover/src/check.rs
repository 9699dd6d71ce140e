//! The reckoning: what the client was told, what the servers know, where users worked.

use std::collections::BTreeMap;

use failover::JobRecord;
use stage::Error;

use crate::door::Session;

/// No login that the client was told of is lost, and none was accepted twice: the servers know each one just as it was told, by this server,
/// under this term. Returns how many each server accepted.
pub(crate) fn kept(accepted: &[Session], known: &[Session]) -> Result<String, Error> {
    let known: BTreeMap<&str, &Session> = known.iter().map(|session| (session.user.as_str(), session)).collect();
    let mut by: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for told in accepted {
        match known.get(told.user.as_str()) {
            Some(known) if *known == told => *by.entry((told.term, &told.server)).or_default() += 1,
            other => return Err(format!("the client was told {told:?}, the servers know {other:?}").into()),
        }
    }
    let by: Vec<String> = by.iter().map(|((term, server), logins)| format!("{logins} by {server}#{term}")).collect();
    Ok(by.join(", "))
}

/// Nobody was thrown out: each session was begun on a terminal server once, and runs.
pub(crate) fn whole(accepted: &[Session], jobs: &[JobRecord]) -> Result<usize, Error> {
    let runs: BTreeMap<&str, usize> = jobs.iter().map(|job| (job.spec.id().as_str(), job.runs.len())).collect();
    match accepted.iter().find(|session| runs.get(session.user.as_str()) != Some(&1)) {
        Some(Session { user, .. }) => Err(format!("{user} should have one run: {:?}", runs.get(user.as_str())).into()),
        None => Ok(accepted.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(user: &str, term: u64) -> Session {
        Session { user: user.to_owned(), server: "a".to_owned(), term }
    }

    #[test]
    fn a_lost_login_is_found_and_so_is_one_that_was_accepted_twice() {
        let told = [session("u1", 1), session("u2", 2)];
        assert_eq!(kept(&told, &told).unwrap(), "1 by a#1, 1 by a#2");
        assert!(kept(&told, &told[1..]).unwrap_err().to_string().contains("know None"));
        let elsewhere = [session("u1", 1), session("u2", 3)];
        assert!(kept(&told, &elsewhere).unwrap_err().to_string().contains("term: 3"));
        assert!(whole(&told, &[]).unwrap_err().to_string().contains("one run: None"));
    }
}
