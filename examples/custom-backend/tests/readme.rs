//! The walk in the README quotes the real source: each block of Rust stands in a file word for word, and each command that
//! names a test names one that is there.

use std::path::Path;

use failover_core::testkit::conformance::CLAUSES;

/// Where the quoted lines come from.
const FILES: [&str; 16] = [
    "src/blob.rs",
    "src/heartbeat.rs",
    "src/hints.rs",
    "src/job.rs",
    "src/keys.rs",
    "src/lease.rs",
    "src/lib.rs",
    "src/link.rs",
    "src/main.rs",
    "src/options.rs",
    "src/state.rs",
    "src/table.rs",
    "tests/conformance.rs",
    "tests/empty.rs",
    "tests/faults.rs",
    "tests/node.rs",
];

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The blocks of the README in this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Whether the parts of a block, between lines that say `// …`, stand in the text in this order.
fn quotes(text: &str, block: &str) -> bool {
    let lines: Vec<&str> = block.lines().collect();
    let mut rest = text;
    for part in lines.split(|line| line.trim() == "// …") {
        let part = part.join("\n");
        let Some((_, after)) = rest.split_once(part.as_str()) else { return false };
        rest = after;
    }
    true
}

#[test]
fn every_block_of_rust_stands_in_the_source_word_for_word() {
    let blocks = blocks("rust");
    assert!(blocks.len() > 10, "the walk quotes the source");
    let files: Vec<String> = FILES.iter().map(|file| read(file)).collect();
    for block in blocks {
        assert!(files.iter().any(|text| quotes(text, &block)), "this is in none of the files:\n{block}");
    }
}

#[test]
fn every_clause_and_test_that_is_named_is_there() {
    let tests: Vec<String> = FILES.iter().map(|file| read(file)).collect();
    let is_test = |name: &str| tests.iter().any(|text| text.contains(&format!("fn {name}")));
    let named: Vec<String> = blocks("sh")
        .iter()
        .flat_map(|block| block.lines())
        .filter_map(|line| {
            line.split(" --test ").nth(1)?.split('#').next()?.split_whitespace().nth(1).map(str::to_owned)
        })
        .collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for name in named {
        let clause = CLAUSES.iter().any(|clause| *clause == name);
        assert!(clause || is_test(&name), "there is no test {name}");
    }
    let readme = read("README.md");
    let long = readme.split('`').filter(|word| word.matches('_').count() > 4 && !word.contains([':', ' ', '\n']));
    for name in long {
        assert!(is_test(name) || CLAUSES.iter().any(|clause| clause.ends_with(name)), "there is no test {name}");
    }
    let quoted =
        readme.split('`').filter(|word| ["heartbeat::", "lease::", "job::"].iter().any(|m| word.starts_with(m)));
    for clause in quoted {
        assert!(CLAUSES.contains(&clause), "there is no clause {clause}");
    }
    assert!(readme.contains(&format!("{} clauses", CLAUSES.len())), "there are {} clauses", CLAUSES.len());
}
