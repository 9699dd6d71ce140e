//! [`StateStore`] on Redis: versioned documents, and their keys in order.

use std::time::Duration;

use async_trait::async_trait;
use failover_core::state::{Deleted, Document, Expect, Written};
use failover_core::{Lease, Result, StateKey, StateStore, Term, Version, record, rules};

use crate::call::{arg, args};
use crate::keys::state_area;
use crate::reply::{corrupt, too_new};
use crate::store::RedisStore;

/// How many documents one script looks up at most.
const PAGE: usize = 1000;

#[async_trait]
impl StateStore for RedisStore {
    async fn get(&self, key: &StateKey) -> Result<Option<Document>> {
        let mut reply = self.shared.call("get", &self.shared.scripts.get, args![key], Duration::ZERO).await?;
        let record = reply.bytes()?;
        if record.is_empty() { Ok(None) } else { document("get", key.clone(), record).map(Some) }
    }

    async fn list(&self, prefix: &StateKey, after: Option<&StateKey>, limit: usize) -> Result<Vec<Document>> {
        rules::check_limit("list", limit)?;
        // Keys below `a` are those from `a/` to, exclusively, `a0`, the character after the slash.
        let (first, end) = (format!("{prefix}/"), format!("({prefix}0"));
        let mut from = match after {
            Some(after) if after.as_str() >= first.as_str() => format!("({after}"),
            _ => format!("[{first}"),
        };
        let mut documents: Vec<Document> = Vec::new();
        loop {
            let most = (limit - documents.len()).min(PAGE);
            let args = args![from, end, most];
            let mut reply = self.shared.call("list", &self.shared.scripts.list, args, Duration::ZERO).await?;
            let (cut, mut page) = (reply.flag()?, reply.list()?);
            let mut count = 0;
            while !page.is_empty() {
                documents.push(document("list", page.id()?, page.bytes()?)?);
                count += 1;
            }
            match documents.last() {
                Some(last) if (cut || count == most) && documents.len() < limit => from = format!("({}", last.key),
                _ => return Ok(documents),
            }
        }
    }

    async fn put(&self, key: &StateKey, value: &[u8], expect: Expect, fence: Option<&Lease>) -> Result<Written> {
        rules::check_value("put", value)?;
        let (lease, term) = fenced_by(fence);
        let args = vec![arg(key), value.to_owned(), arg(&expected(expect)), arg(&lease), arg(&term)];
        let shared = &self.shared;
        let mut reply = shared.call("put", &shared.scripts.put, args, Duration::MAX).await?;
        match reply.text()?.as_str() {
            "written" => {
                let version = reply.number()?;
                shared.seen().saw_version(version);
                Ok(Written::Written(Version(version)))
            }
            "conflict" => {
                let there = reply.text()?;
                let there = (!there.is_empty()).then(|| there.parse().map(Version).map_err(|_| reply.strange()));
                Ok(Written::Conflict(there.transpose()?))
            }
            "fenced" => Ok(Written::Fenced { current: Term(reply.number()?) }),
            _ => Err(reply.strange()),
        }
    }

    async fn delete(&self, key: &StateKey, expect: Expect, fence: Option<&Lease>) -> Result<Deleted> {
        rules::check_delete("delete", expect)?;
        let (lease, term) = fenced_by(fence);
        let args = args![key, expected(expect), lease, term];
        let shared = &self.shared;
        let mut reply = shared.call("delete", &shared.scripts.delete, args, Duration::MAX).await?;
        match reply.text()?.as_str() {
            "deleted" => Ok(Deleted::Deleted),
            "conflict" => Ok(Deleted::Conflict(Version(reply.number()?))),
            "fenced" => Ok(Deleted::Fenced { current: Term(reply.number()?) }),
            _ => Err(reply.strange()),
        }
    }

    async fn changed(&self, prefix: &StateKey) -> Result<()> {
        self.changed_in(&state_area(prefix)).await
    }
}

fn expected(expect: Expect) -> String {
    match expect {
        Expect::Absent => "absent".to_owned(),
        Expect::Version(version) => version.to_string(),
        Expect::Any => "any".to_owned(),
    }
}

/// No lease has an empty name.
pub(crate) fn fenced_by(fence: Option<&Lease>) -> (String, Term) {
    fence.map_or_else(|| (String::new(), Term::ZERO), |lease| (lease.name.to_string(), lease.term))
}

/// Format, version, value: the value is bytes and may hold anything.
fn document(operation: &'static str, key: StateKey, mut record: Vec<u8>) -> Result<Document> {
    let what = || format!("document {key}");
    let word = |from: usize| {
        let end = record.iter().skip(from).position(|byte| *byte == b' ').map(|at| from + at);
        let end = end.ok_or_else(|| corrupt(operation, &what()))?;
        let number = std::str::from_utf8(&record[from..end]).ok().and_then(|text| text.parse::<u64>().ok());
        Ok((number.ok_or_else(|| corrupt(operation, &what()))?, end + 1))
    };
    let (format, next) = word(0)?;
    if format > u64::from(record::FORMAT) {
        return Err(too_new(operation, &what(), &format.to_string()));
    }
    let (version, value) = word(next)?;
    record.drain(..value);
    Ok(Document { key, version: Version(version), value: record })
}
