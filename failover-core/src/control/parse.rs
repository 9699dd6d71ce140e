//! A configuration as people write it: strictly, because what is misspelt must not pass for what is left out.

use serde::Deserialize as _;
use serde_json::Value;

use super::Settings;
use crate::error::Invalid;
use crate::record::FORMAT;

impl Settings {
    /// Reads settings from JSON as people write it. What is left out is the default; what is not known, of the wrong type or breaks a
    /// [rule](Self::check) is refused, and so is a text of a newer format. Durations are whole milliseconds.
    ///
    /// Nodes read what is in the store more tolerantly: within one format, later builds only add fields.
    ///
    /// # Errors
    /// [`Invalid`] names the field by its path, its value and the rule.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let whole: Value = serde_json::from_str(text).map_err(|e| {
            Invalid::new("configuration", format!("line {} column {}", e.line(), e.column()), e.to_string())
        })?;
        if !whole.is_object() {
            return Err(Invalid::new(
                "configuration",
                &whole,
                "it must be an object of fields, such as {\"roster\": []}",
            ));
        }
        if let Some(format) = whole.get("format")
            && format.as_u64().is_none_or(|format| format > u64::from(FORMAT))
        {
            let rule = format!("this build knows formats up to {FORMAT}: use one at least as new as what wrote it");
            return Err(Invalid::new("format", format, rule));
        }
        let mut unknown = None;
        let mut track = serde_path_to_error::Track::new();
        let json = &mut serde_json::Deserializer::from_str(text);
        let settings = {
            let tracked = serde_path_to_error::Deserializer::new(json, &mut track);
            let mut ignored = |path: serde_ignored::Path<'_>| {
                let path = path.to_string();
                if path != "format" {
                    unknown.get_or_insert(path);
                }
            };
            Self::deserialize(serde_ignored::Deserializer::new(tracked, &mut ignored))
        };
        let settings = settings.map_err(|error| {
            let path = track.path().to_string();
            let text = error.to_string();
            // It ends by saying where, which the path says better.
            let rule = text.rsplit_once(" at line ").map_or(text.as_str(), |(rule, _)| rule);
            let field = if path == "." { "configuration" } else { &path };
            Invalid::new(field, shown(&whole, &path), rule)
        })?;
        if let Some(path) = unknown {
            // An option that is there is a step of its own in these paths.
            let path = path.replace("?.", "").replace(".?", "");
            return Err(Invalid::new(&path, shown(&whole, &path), "there is no such field"));
        }
        settings.check().map(|()| settings)
    }

    /// These settings as people read and edit them: JSON, with everything that could be set.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = text.as_object_mut() {
            // What is left out of documents because it is nothing.
            for name in ["pace", "version", "paused"] {
                fields.entry(name).or_insert(Value::Null);
            }
        }
        serde_json::to_string_pretty(&text).unwrap_or_default()
    }
}

/// The value at a path such as `pace.ttl`.
fn shown(whole: &Value, path: &str) -> String {
    let at = path.split('.').try_fold(whole, |value, part| match value {
        Value::Array(items) => items.get(part.trim_matches(['[', ']']).parse::<usize>().ok()?),
        _ => value.get(part),
    });
    at.map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Pace, VersionRule};
    use std::time::Duration;

    fn refused(text: &str) -> String {
        Settings::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_misspelt_of_a_wrong_type_or_against_a_rule_is_named_by_path_value_and_rule() {
        for (text, expected) in [
            (r#"{"rooster": ["a"]}"#, "rooster is `[\"a\"]`: there is no such field"),
            (r#"{"pace": {"beat": 400, "ttl": 2000, "tll": 1}}"#, "pace.tll is `1`: there is no such field"),
            (r#"{"classes": {"c": {"retrys": 3}}}"#, "classes.c.retrys is `3`: there is no such field"),
            (r#"{"roster": "a"}"#, "roster is `\"a\"`: invalid type: string \"a\", expected a sequence"),
            (r#"{"pace": {"beat": "1s", "ttl": 2000}}"#, "pace.beat is `\"1s\"`: invalid type: string \"1s\""),
            (r#"{"pace": {"beat": 400}}"#, "pace is `{\"beat\":400}`: missing field `ttl`"),
            (r#"{"pace": {"beat": 900, "ttl": 2000}}"#, "beat is `900ms`: three beats must fit into the ttl of 2s"),
            (r#"{"roster": ["a", "b", "a"]}"#, "roster is `a`: it must name each node once"),
            (r#"{"roster": [], "roster": ["a"]}"#, "duplicate field `roster`"),
            (r#"{"roster": ["a b"]}"#, "node name is `a b`: it must be 1 to 64"),
            (r#"{"versions": "newest"}"#, "versions is `\"newest\"`: unknown variant `newest`"),
            (r#"{"format": 2, "wings": true}"#, "format is `2`: this build knows formats up to 1"),
            (r#"{"roster": ["#, "configuration is `line 1 column 12`: EOF"),
            ("[]", "configuration is `[]`: it must be an object of fields"),
        ] {
            let said = refused(text);
            assert!(said.contains(expected), "{text}\n{said}\nwithout {expected}");
        }
    }

    #[test]
    fn a_text_is_read_as_it_is_written() {
        assert_eq!(Settings::parse("{}"), Ok(Settings::default()));
        let mut settings = Settings::parse(r#"{"format": 1, "roster": ["b", "a"], "versions": "exact"}"#).unwrap();
        assert_eq!((settings.roster.len(), settings.versions), (2, VersionRule::Exact));
        settings.pace = Pace::new(Duration::from_millis(400), Duration::from_secs(2)).ok();
        assert_eq!(Settings::parse(&settings.to_text()), Ok(settings));
        let text = Settings::default().to_text();
        assert_eq!(Settings::parse(&text), Ok(Settings::default()));
        assert!(text.contains("\"pace\": null") && text.contains("\"version\": null"), "{text}");
    }
}
