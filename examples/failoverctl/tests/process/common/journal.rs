//! A journal that jobs write themselves: the witness of who ran when.

use std::collections::BTreeMap;
use std::path::Path;

/// Writes a line on start, on every turn and on a stop it was asked for; the order of the lines in the file is the order in
/// which they were written, whoever wrote them.
pub(super) const JOURNAL_JOB: &str = r#"
journal=$1
say() { echo "$FAILOVER_JOB $FAILOVER_TOKEN $FAILOVER_NODE $1" >> "$journal"; }
trap 'say stop; exit 0' TERM
say start
while :; do say turn; sleep 0.03; done
"#;

/// What the journal jobs have written.
#[derive(Debug)]
pub(crate) struct Journal(pub(crate) Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) job: String,
    pub(crate) token: u64,
    pub(crate) node: String,
    pub(crate) what: String,
}

impl Journal {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let entry = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            let [job, token, node, what] = words[..] else { panic!("journal: {line:?}") };
            Entry { job: job.into(), token: token.parse().unwrap(), node: node.into(), what: what.into() }
        };
        // The last line may be half written.
        Self(text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(entry).collect())
    }

    pub(crate) fn runs_on(&self, job: &str, node: &str) -> bool {
        self.0.iter().any(|e| e.job == job && e.node == node)
    }

    pub(crate) fn tokens(&self, job: &str) -> Vec<u64> {
        let mut tokens: Vec<_> = self.0.iter().filter(|e| e.job == job).map(|e| e.token).collect();
        tokens.dedup();
        tokens
    }

    /// That for each job no run wrote anything once a later one had begun, and that each run was of one node only.
    pub(crate) fn assert_never_two_owners(&self) {
        let mut latest: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in &self.0 {
            let before = latest.insert(&entry.job, entry);
            let Some(before) = before.filter(|before| before.node != entry.node || before.token != entry.token) else {
                continue;
            };
            assert!(before.token < entry.token, "{before:?} and then {entry:?}");
            assert_eq!(entry.what, "start", "a run begins with its start: {entry:?}");
        }
    }
}
