use std::time::Duration;

use failover::Admin;
use failover::admin::Outlook;

use crate::{Error, PATIENCE, timing};

/// Looks at a cluster until there is something to see: what `see` makes of it.
///
/// # Errors
/// Those of looking and seeing, and if there was nothing to see for too long; then it tells how the cluster stands.
pub async fn watch<T>(
    admin: &Admin,
    what: &str,
    mut see: impl AsyncFnMut(&Outlook) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let missing = timing()?.missing();
    let watching = async {
        loop {
            if let Some(seen) = see(&admin.outlook(missing).await?).await? {
                return Ok(seen);
            }
            // A hint makes this quicker; without any, it looks again all the same.
            let _hint = tokio::time::timeout(Duration::from_millis(200), admin.changed()).await;
        }
    };
    if let Ok(seen) = tokio::time::timeout(PATIENCE, watching).await {
        return seen;
    }
    let status = admin.status(missing).await?;
    Err(format!("gave up after {PATIENCE:?} waiting until {what}: {status:?}").into())
}

/// That those who worked did so one after the other, each under a higher token than the one before: from what they entered, in its order.
/// Returns it in short: `alpha#1, beta#2`.
///
/// # Errors
/// If an entry was made under a token when a higher one had been used, or two worked under the same.
pub fn one_at_a_time(entries: impl IntoIterator<Item = (String, i64)>) -> Result<String, Error> {
    let mut stretches: Vec<(String, i64)> = Vec::new();
    for (who, token) in entries {
        match stretches.last() {
            Some(last) if *last == (who.clone(), token) => {}
            Some((before, earlier)) if *earlier >= token => {
                return Err(format!("{who} worked under token {token} after {before} under token {earlier}").into());
            }
            Some(_) | None => stretches.push((who, token)),
        }
    }
    let stretches: Vec<_> = stretches.into_iter().map(|(who, token)| format!("{who}#{token}")).collect();
    Ok(stretches.join(", "))
}

#[cfg(test)]
mod tests {
    use super::one_at_a_time;

    fn entries(entries: &[(&str, i64)]) -> Result<String, String> {
        let entries = entries.iter().map(|(who, token)| ((*who).to_owned(), *token));
        one_at_a_time(entries).map_err(|error| error.to_string())
    }

    #[test]
    fn who_works_after_a_higher_token_is_found_out() {
        assert_eq!(entries(&[("a", 1), ("a", 1), ("b", 2), ("a", 4)]), Ok("a#1, b#2, a#4".to_owned()));
        assert!(entries(&[("a", 1), ("b", 2), ("a", 1)]).unwrap_err().contains("a worked under token 1 after b"));
        assert!(entries(&[("a", 1), ("b", 1)]).is_err(), "the same token in two hands");
    }
}
