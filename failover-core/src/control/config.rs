//! The cluster's configuration as a versioned document: the [`Settings`], and the [`Edit`] that made them what they are.

use serde::{Deserialize, Serialize};

use super::Settings;
use crate::ids::StateKey;
use crate::time::Stamp;

/// How many earlier versions of the configuration are kept.
pub const KEPT_VERSIONS: usize = 50;

/// Who made a version of the configuration, and from which one. It lies in the document itself, so that no crash can part them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Edit {
    /// The version, from one; zero for a document of a build that did not count them.
    pub version: u64,
    /// Who, as they call themselves.
    pub by: String,
    /// When, by the wall clock of whoever wrote it: to be read, never reckoned with (law 10).
    pub at: Stamp,
    /// Why, if they said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The version it replaced; zero for none.
    pub replaced: u64,
}

/// One version of the configuration, as its document has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Versioned {
    /// Who made it.
    #[serde(default)]
    pub edit: Edit,
    /// What it says.
    #[serde(flatten)]
    pub settings: Settings,
}

/// The key that earlier versions lie below.
pub fn history_key() -> StateKey {
    StateKey::new("config").unwrap_or_else(|_| unreachable!("a constant that a test parses"))
}

/// Where an earlier version lies. The keys sort as the versions do.
pub fn version_key(version: u64) -> StateKey {
    StateKey::new(format!("config/{version:020}")).unwrap_or_else(|_| unreachable!("digits make a key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[test]
    fn a_document_is_read_with_and_without_its_edit() {
        assert!(version_key(u64::MAX).is_below(&history_key()) && version_key(9) < version_key(10));
        let edit = Edit { version: 7, by: "ann".into(), ..Edit::default() };
        let mut document = Versioned { edit, ..Versioned::default() };
        document.settings.roster = vec![crate::NodeId::new("a").unwrap()];
        let text = record::encode("test", &document).unwrap();
        assert_eq!(record::decode::<Versioned>("test", "it", text.as_bytes()).unwrap(), document);
        assert_eq!(record::decode::<Settings>("test", "it", text.as_bytes()).unwrap(), document.settings);
        let plain = record::encode("test", &document.settings).unwrap();
        assert_eq!(record::decode::<Versioned>("test", "it", plain.as_bytes()).unwrap().edit, Edit::default());
    }
}
