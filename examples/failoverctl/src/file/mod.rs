//! A file of jobs and classes: TOML or JSON, read whole or not at all.
//!
//! ```toml
//! [classes.agent]
//! failover = "manual"
//! retries = 3
//!
//! [jobs.import]
//! command = ["/usr/local/bin/import", "--follow"]
//! class = "agent"
//! pins = ["n2", "n3"]
//! requires = { zone = "eu" }
//! ```

mod classes;
mod place;
mod shape;

use std::path::Path;

use failover::Invalid;
use failover::admin::Wanted;

use crate::failure::{Failure, Status};
use place::{Position, Syntax};
use shape::{Shape, Table};

/// A file that was read, for whoever finds something wrong with it later.
#[derive(Debug)]
pub(crate) struct File {
    name: String,
    text: String,
    syntax: Syntax,
}

/// What is wrong and where: the path of its keys.
type Broken = (Vec<String>, Invalid);

impl File {
    /// Reads the file and what it wants.
    pub(crate) fn read(path: &Path) -> Result<(Self, Wanted), Failure> {
        let name = path.display().to_string();
        let syntax = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Syntax::Toml,
            Some("json") => Syntax::Json,
            _ => {
                let invalid = Invalid::new("file", &name, "its name must end in .toml or .json");
                return Err(invalid.into());
            }
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Status::Usage, format!("cannot read {name}: {error}")).next("check the path and its rights")
        })?;
        let file = Self { name, text, syntax };
        let wanted = file.parse()?;
        Ok((file, wanted))
    }

    fn parse(&self) -> Result<Wanted, Failure> {
        let shape = match self.syntax {
            Syntax::Toml => toml::from_str::<Table<Shape>>(&self.text).map_err(|error| {
                let at = error.span().map(|span| Position::of(&self.text, span.start));
                self.broken(at, error.message())
            }),
            Syntax::Json => serde_json::from_str::<Table<Shape>>(&self.text).map_err(|error| {
                let at = Position { line: error.line(), column: error.column() };
                let text = error.to_string();
                // It ends by saying where, which is said in front.
                self.broken(Some(at), text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text))
            }),
        }?;
        shape.0.wanted().map_err(|(path, invalid)| self.fault(&path, &invalid))
    }

    /// Says where in the file it is that the cluster refuses, if it is in the file.
    pub(crate) fn refused(&self, invalid: &Invalid) -> Failure {
        let Some((kind, name, field)) = named(&invalid.field) else { return self.broken(None, &invalid.to_string()) };
        let path = [kind, name, field].map(str::to_owned);
        self.fault(&path, &Invalid::new(field, &invalid.value, &invalid.rule))
    }

    fn fault(&self, path: &[String], invalid: &Invalid) -> Failure {
        // The innermost that is there: what comes from a default or a class is not.
        let at = (1..=path.len()).rev().find_map(|depth| self.syntax.find(&self.text, &path[..depth]));
        let at = at.map(|offset| Position::of(&self.text, offset));
        let whose = match path {
            [kind, name, ..] => format!("{} `{name}`: ", if kind == "jobs" { "job" } else { "class" }),
            _ => String::new(),
        };
        self.broken(at, &format!("{whose}{invalid}"))
    }

    fn broken(&self, at: Option<Position>, what: &str) -> Failure {
        let at = at.map(|Position { line, column }| format!("{line}:{column}:")).unwrap_or_default();
        Failure::new(Status::Usage, format!("{}:{at} {}", self.name, what.trim_end()))
            .next("correct the file; nothing of it was applied")
    }
}

/// A field of a job or a class by the name that `Admin::apply` gives it: ``job `import`: pins``.
fn named(field: &str) -> Option<(&'static str, &str, &str)> {
    let (kind, rest) = match field.strip_prefix("job `") {
        Some(rest) => ("jobs", rest),
        None => ("classes", field.strip_prefix("class `")?),
    };
    let (name, field) = rest.split_once("`: ")?;
    Some((kind, name, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Wanted, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let read = File::read(&path).map(|(_, wanted)| wanted);
        read.map_err(|failure| failure.to_string().replace(&path.display().to_string(), name))
    }

    fn says(name: &str, text: &str, expected: &str) {
        let said = read(name, text).unwrap_err();
        assert!(said.contains(expected), "{text}\n{said}\nwithout {expected}");
    }

    const GOOD: &str = r#"
[classes.base]
retries = 3
failback = "automatic=5m"

[classes.agent]
like = "base"
failover = "manual"

[jobs.zeta]
command = ["true"]

[jobs.import]
command = ["import", "--follow"]
class = "agent"
weight = 2
priority = -1
pins = ["n2", "n3"]
requires = { zone = "eu" }
apart = "db"
progress = "45s"
"#;

    const SAME: &str = r#"{
  "classes": {"base": {"retries": 3, "failback": "automatic=5m"}, "agent": {"like": "base", "failover": "manual"}},
  "jobs": {
    "zeta": {"command": ["true"]},
    "import": {"command": ["import", "--follow"], "class": "agent", "weight": 2, "priority": -1, "pins": ["n2", "n3"],
      "requires": {"zone": "eu"}, "apart": "db", "progress": "45s"}
  }
}"#;

    #[test]
    fn both_forms_say_the_same_and_keep_the_order_of_the_jobs() {
        let toml = read("jobs.toml", GOOD).unwrap();
        assert_eq!(toml, read("jobs.json", SAME).unwrap());
        assert_eq!(toml.jobs.iter().map(|job| job.id().as_str()).collect::<Vec<_>>(), ["zeta", "import"]);
        let agent = &toml.classes[&failover::ClassName::new("agent").unwrap()];
        assert_eq!((agent.retries, agent.failover), (Some(3), failover::job::FailoverPolicy::Manual));
        assert_eq!(agent.failback.map(|f| f.to_string()).as_deref(), Some("automatic=300s"));
        let import = toml.jobs[1].resolve(&toml.classes).unwrap();
        assert_eq!((import.weight(), import.policy().retries, import.policy().pins.len()), (2, Some(3), 2));
        assert_eq!(read("jobs.toml", "").unwrap(), Wanted::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_line_column_and_rule() {
        let job = |line: &str| format!("[jobs.a]\ncommand = [\"true\"]\n{line}\n");
        for (line, expected) in [
            ("wieght = 2", "jobs.toml:3:1: unknown field `wieght`, expected one of"),
            ("weight = \"two\"", "jobs.toml:3:10: invalid type: string \"two\""),
            ("weight = 0", "jobs.toml:3:10: weight is `0`: it must be 1 to 1000000"),
            ("pins = [\"n1\", \"a b\"]", "jobs.toml:3:8: node name is `a b`: it must be 1 to 64"),
            ("pins = [\"n1\", \"n1\"]", "jobs.toml:3:1: job `a`: pins is `n1`: a node may be named once"),
            ("failover = \"sometimes\"", "jobs.toml:3:12: unknown variant `sometimes`"),
            ("failback = \"automatic=soon\"", "jobs.toml:3:12: failback is `automatic=soon`"),
            ("backoff = \"5\"", "jobs.toml:3:11: duration is `5`"),
            ("requires = { \"a b\" = \"c\" }", "jobs.toml:3:1: job `a`: requires is `a b=c`"),
            ("weight = 1\nweight = 2", "jobs.toml:4:1: duplicate key"),
            ("weight =", "jobs.toml:3:9:"),
            ("[jobs.a]", "jobs.toml:3:"),
            ("[jobs.b]\ncommand = []", "jobs.toml:4:11: command is ``: it must name a program"),
            ("[jobs.b]", "jobs.toml:3:1: missing field `command`"),
            ("[classes.c]\nlike = \"d\"", "jobs.toml:4:1: class `c`: like is `d`: there is no such class in this file"),
            (
                "[classes.c]\nlike = \"d\"\n[classes.d]\nlike = \"c\"",
                "jobs.toml:4:1: class `c`: like is `d`: they are like one another, c, d and c again",
            ),
        ] {
            says("jobs.toml", &job(line), expected);
        }
    }

    #[test]
    fn the_same_in_json() {
        for (text, expected) in [
            ("{\"jobs\": {\"a\": {\n  \"comand\": [\"true\"]}}}", "jobs.json:2:10: unknown field `comand`"),
            ("{\"jobs\": {\"a\": {\"command\": [\"true\"],\n \"weight\": 0}}}", "jobs.json:2:13: weight is `0`"),
            (
                "{\"jobs\": {\"a\": {\"command\": [\"x\"],\n \"pins\": [\"n\", \"n\"]}}}",
                "jobs.json:2:2: job `a`: pins is `n`",
            ),
            (
                "{\"jobs\": {\"a\": {\"command\": [\"x\"]},\n \"a\": {\"command\": [\"x\"]}}}",
                "jobs.json:2:4: `a` is there twice",
            ),
            ("{\"jobs\": ", "jobs.json:1:9: EOF"),
            ("[]", "jobs.json:1:0: invalid type: sequence, expected a table"),
            ("{\"jobs\": {\"a\": [[\"true\"], 2]}}", "jobs.json:1:15: invalid type: sequence, expected a table"),
        ] {
            says("jobs.json", text, expected);
        }
    }

    #[test]
    fn what_the_cluster_refuses_is_found_in_the_file() {
        let file = File { name: "jobs.toml".into(), text: GOOD.into(), syntax: Syntax::Toml };
        let refused = |field: &str| file.refused(&Invalid::new(field, "x", "no")).to_string();
        assert!(
            refused("job `import`: pins").starts_with("failoverctl: jobs.toml:18:1: job `import`: pins is `x`: no")
        );
        assert!(refused("job `import`: retries").starts_with("failoverctl: jobs.toml:13:7: job `import`: retries"));
        assert!(refused("class `agent`: pins").starts_with("failoverctl: jobs.toml:6:10: class `agent`: pins"));
        assert!(refused("job `other`: apart").starts_with("failoverctl: jobs.toml:10:2: job `other`: apart"));
        assert!(refused("configure").starts_with("failoverctl: jobs.toml: configure is `x`"));
    }

    #[test]
    fn another_ending_is_refused() {
        says("jobs.yaml", "", "its name must end in .toml or .json");
    }
}
