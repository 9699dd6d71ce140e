//! The tables in `README.md` name tests. Each of them exists.

use std::path::Path;

#[test]
fn every_test_that_the_tables_name_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let text = std::fs::read_to_string(here.join("README.md")).expect("the tables are beside this file");
    let mut named = 0;
    for link in text.split("[`").skip(1) {
        let (name, rest) = link.split_once("`](").expect("a link is [`name`](file)");
        let (file, _) = rest.split_once(')').expect("a link ends");
        let there = std::fs::read_to_string(here.join(file)).unwrap_or_else(|e| panic!("{name}: {file}: {e}"));
        let is_named = |line: &str| {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            words.windows(2).any(|pair| matches!(pair[0], "fn" | "mod") && pair[1] == name)
                || line.trim_start().starts_with(&format!("{name}:"))
        };
        let of_its_own = Path::new(file).file_stem().is_some_and(|stem| stem == name);
        assert!(of_its_own || there.lines().any(is_named), "{file} has no {name}");
        named += 1;
    }
    assert!(named > 50, "only {named} links were found: are they written as before?");
}
