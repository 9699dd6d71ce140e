//! Which versions of the host's program may be active and standby together: [`VersionRule`].

use semver::{Comparator, Op, Version};
use serde::{Deserialize, Serialize};

use crate::error::Invalid;

/// The most bytes of a version.
const MAX_VERSION: usize = 64;

/// How the version that a node tells must match the wanted one: what [`Settings::version`](super::Settings::version) requires, or, while that
/// requires nothing, the version of the node that is active.
///
/// A node that does not match is neither active nor standby and is given no further jobs; it says so, and what runs there goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionRule {
    /// It need not.
    #[default]
    Any,
    /// It may be later, within what [Semantic Versioning](https://semver.org) calls compatible: 1.4.2 matches 1.3.0, and neither 2.0.0 nor 1.2.9
    /// does. A version that is none by that standard matches only itself.
    Compatible,
    /// It must be the same, letter by letter.
    Exact,
}

impl VersionRule {
    /// The rule's name, as it is written in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Compatible => "compatible",
            Self::Exact => "exact",
        }
    }

    /// Whether `told` matches `wanted`. A node that tells no version matches only where none is wanted.
    pub fn admits(self, told: Option<&str>, wanted: Option<&str>) -> bool {
        let Some(wanted) = wanted else { return true };
        match (self, told) {
            (Self::Any, _) => true,
            (Self::Compatible | Self::Exact, None) => false,
            (Self::Exact, Some(told)) => told == wanted,
            (Self::Compatible, Some(told)) => told == wanted || is_compatible(told, wanted),
        }
    }
}

fn is_compatible(told: &str, wanted: &str) -> bool {
    let (Ok(told), Ok(wanted)) = (Version::parse(told), Version::parse(wanted)) else { return false };
    let caret = Comparator {
        op: Op::Caret,
        major: wanted.major,
        minor: Some(wanted.minor),
        patch: Some(wanted.patch),
        pre: wanted.pre,
    };
    caret.matches(&told)
}

/// Whether this can be a version: anything that can be shown in a line.
///
/// # Errors
/// [`Invalid`], naming `field`.
pub fn check_version(field: &str, version: &str) -> Result<(), Invalid> {
    let shown = version.bytes().all(|byte| byte.is_ascii_graphic());
    if shown && (1..=MAX_VERSION).contains(&version.len()) {
        return Ok(());
    }
    let rule = format!("a version is 1 to {MAX_VERSION} letters, digits and signs without blanks, such as 1.4.2");
    Err(Invalid::new(field, version.escape_debug(), rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatible_is_what_semver_says_and_never_older() {
        let admits = |told, wanted| VersionRule::Compatible.admits(Some(told), Some(wanted));
        for (told, wanted) in [("1.3.0", "1.3.0"), ("1.4.2", "1.3.0"), ("0.2.9", "0.2.3"), ("x7", "x7")] {
            assert!(admits(told, wanted), "{told} for {wanted}");
        }
        for (told, wanted) in [
            ("1.2.9", "1.3.0"),
            ("2.0.0", "1.3.0"),
            ("0.3.0", "0.2.3"),
            ("0.0.4", "0.0.3"),
            ("1.4.0-rc.1", "1.3.0"),
            ("x8", "x7"),
            ("1.3", "1.3.0"),
        ] {
            assert!(!admits(told, wanted), "{told} for {wanted}");
        }
    }

    #[test]
    fn exact_is_the_same_and_any_is_anything() {
        assert!(VersionRule::Exact.admits(Some("1.3.0"), Some("1.3.0")));
        assert!(!VersionRule::Exact.admits(Some("1.3.1"), Some("1.3.0")));
        assert!(VersionRule::Any.admits(Some("7"), Some("1.3.0")) && VersionRule::Any.admits(None, Some("1.3.0")));
    }

    #[test]
    fn who_tells_nothing_matches_only_where_nothing_is_wanted() {
        for rule in [VersionRule::Compatible, VersionRule::Exact] {
            assert!(!rule.admits(None, Some("1.0.0")) && rule.admits(None, None) && rule.admits(Some("1.0.0"), None));
        }
    }

    #[test]
    fn a_version_fits_in_a_line() {
        assert!(check_version("version", "1.4.2-rc.1+build.7").is_ok());
        for bad in ["", "1 2", "1.0\n", &"1".repeat(65)] {
            assert!(check_version("version", bad).unwrap_err().to_string().starts_with("version is `"), "{bad:?}");
        }
    }
}
