//! Where in a text something is.

use toml::de::{DeTable, DeValue};

/// A line and a column, both from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    /// Of a byte.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
        Self { line, column }
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Toml,
    Json,
}

impl Syntax {
    /// Where the key at the end of this path begins, in a text that is well formed.
    pub(super) fn find(self, text: &str, path: &[String]) -> Option<usize> {
        match self {
            Self::Toml => find_toml(DeTable::parse(text).ok()?.get_ref(), path),
            Self::Json => Json { text, at: 0 }.find(path),
        }
    }
}

fn find_toml(table: &DeTable<'_>, path: &[String]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    match (rest, value.get_ref()) {
        ([], _) => Some(key.span().start),
        (rest, DeValue::Table(table)) => find_toml(table, rest),
        _ => None,
    }
}

/// A walk through JSON that was parsed before and only has to be found one's way in.
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    fn find(&mut self, path: &[String]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        (self.next()? == b'{').then(|| self.at += 1)?;
        loop {
            let begin = self.skip_to(b'"')?;
            let key: String = serde_json::from_str(self.string()?).ok()?;
            self.skip_to(b':')?;
            self.at += 1;
            match (key == *first, rest) {
                (true, []) => return Some(begin),
                (true, rest) => return self.find(rest),
                (false, _) => self.skip_value()?,
            }
            if self.next()? != b',' {
                return None;
            }
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.len() - rest.trim_start().len();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_to(&mut self, wanted: u8) -> Option<usize> {
        (self.next()? == wanted).then_some(self.at)
    }

    /// The string that begins here, with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let (begin, bytes) = (self.at, self.text.as_bytes());
        self.at += 1;
        while *bytes.get(self.at)? != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        self.text.get(begin..self.at)
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => (depth, self.at) = (depth + 1, self.at + 1),
                b'}' | b']' => (depth, self.at) = (depth.checked_sub(1)?, self.at + 1),
                // A number or a word; between values, a comma or a colon.
                _ => {
                    self.at += 1;
                    if depth == 0
                        && !matches!(
                            self.text.as_bytes().get(self.at)?,
                            b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'
                        )
                    {
                        continue;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters_from_one() {
        assert_eq!(Position::of("ab\nüc", 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of("ab\nüc", 5), Position { line: 2, column: 2 });
        assert_eq!(Position::of("ab\n", 99), Position { line: 2, column: 1 });
    }

    #[test]
    fn a_key_is_found_by_its_path_whatever_stands_before_it() {
        let text = r#" {"x": [1, {"a": "}"}, "\"]"], "n": -1.5e3, "t" : true, "q\"": {}, "a": {"x": 0, "b": 1}} "#;
        let path = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let find = |names: &[&str]| Syntax::Json.find(text, &path(names));
        assert_eq!(find(&["a", "b"]), text.find(r#""b""#));
        assert_eq!(find(&["a"]), text.rfind(r#""a""#));
        assert_eq!(find(&["q\""]), text.find(r#""q\"""#));
        assert_eq!((find(&["b"]), find(&["a", "c"]), find(&["n", "c"])), (None, None, None));

        let text = "x = 1\n[a]\n\"b\" = { c = 2 }\n[d.e]\n";
        let find = |names: &[&str]| Syntax::Toml.find(text, &path(names));
        assert_eq!(find(&["a", "b", "c"]), text.find("c ="));
        assert_eq!(find(&["d", "e"]), text.find("e]"));
        assert_eq!(find(&["a", "x"]), None);
    }
}
