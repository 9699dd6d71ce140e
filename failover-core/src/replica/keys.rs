use crate::error::Invalid;
use crate::ids::StateKey;

/// Where a replica's documents are.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    root: StateKey,
    journal: StateKey,
    snapshots: StateKey,
}

impl Keys {
    pub(super) fn new(name: &str) -> Result<Self, Invalid> {
        let root = StateKey::new("replica")?.join(name)?;
        Ok(Self { journal: root.join("journal")?, snapshots: root.join("snapshot")?, root })
    }

    pub(super) fn writer(&self) -> StateKey {
        below(&self.root, "writer")
    }

    pub(super) fn head(&self) -> StateKey {
        below(&self.root, "head")
    }

    pub(super) fn journal(&self) -> &StateKey {
        &self.journal
    }

    /// Twenty digits, so that the order of the keys is the order of the entries.
    pub(super) fn entry(&self, number: u64) -> StateKey {
        below(&self.journal, &format!("{number:020}"))
    }

    /// The number of the entry that is under this key.
    pub(super) fn number(key: &StateKey) -> Option<u64> {
        key.as_str().rsplit('/').next()?.parse().ok()
    }

    pub(super) fn snapshots(&self) -> &StateKey {
        &self.snapshots
    }

    pub(super) fn part(&self, snapshot: &str, part: u64) -> StateKey {
        below(&self.snapshots, &format!("{snapshot}/{part:08}"))
    }

    /// Whether the key is of that snapshot.
    pub(super) fn is_part_of(&self, key: &StateKey, snapshot: &str) -> bool {
        let rest = key.as_str().strip_prefix(self.snapshots.as_str());
        rest.and_then(|rest| rest.strip_prefix('/')).and_then(|rest| rest.split('/').next()) == Some(snapshot)
    }
}

fn below(key: &StateKey, path: &str) -> StateKey {
    StateKey::new(format!("{key}/{path}")).unwrap_or_else(|_| unreachable!("a proper name below a short path"))
}
