//! What a job of `failoverctl` is in the store: JSON with a format, `{"format":1,"command":["rsync","-a","…"]}`.

use failover::record;
use failover::{Error, ErrorKind, Invalid, JobId, JobSpec, Result};
use serde::{Deserialize, Serialize};

/// A job that runs a command.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// Program and arguments. At least the program.
    pub(crate) command: Vec<String>,
}

impl Payload {
    /// The job that runs `command`.
    pub(crate) fn job(id: JobId, weight: u32, command: Vec<String>) -> Result<JobSpec, Invalid> {
        Self::check_command(&command)?;
        // Words are text, so that they always encode.
        let text = record::encode("job add", &Self { command });
        let text = text.map_err(|error| Invalid::new("command", id.as_str(), error.to_string()))?;
        JobSpec::new(id, text)?.with_weight(weight)
    }

    /// Reads a job's payload, whoever has submitted it.
    pub(crate) fn of(spec: &JobSpec) -> Result<Self> {
        if spec.payload().trim().is_empty() {
            return Err(no_command(spec));
        }
        let payload: Self = record::decode("start", &format!("job `{}`", spec.id()), spec.payload().as_bytes())?;
        Self::check_command(&payload.command).map(|()| payload).map_err(|_| no_command(spec))
    }

    /// Whether this can be a command.
    pub(crate) fn check_command(command: &[String]) -> Result<(), Invalid> {
        let rule = "it must name a program, and no word of it may hold a NUL character";
        let bad = command.first().is_none_or(String::is_empty) || command.iter().any(|word| word.contains('\0'));
        if bad { Err(Invalid::new("command", command.join(" ").escape_debug(), rule)) } else { Ok(()) }
    }

    /// Whether this can be a weight.
    pub(crate) fn check_weight(weight: u32) -> Result<(), Invalid> {
        JobSpec::new(JobId::new("any")?, "")?.with_weight(weight).map(drop)
    }
}

fn no_command(spec: &JobSpec) -> Error {
    let message = format!(
        "job `{id}` has no command; remove it with `failoverctl job remove {id}` and add it again with one",
        id = spec.id()
    );
    Error::new(ErrorKind::Invalid, "start", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payload: &str) -> Result<Payload> {
        Payload::of(&JobSpec::new(JobId::new("a").unwrap(), payload).unwrap())
    }

    #[test]
    fn a_command_survives() {
        let command = vec!["echo".to_owned(), "a b".to_owned(), String::new()];
        let spec = Payload::job(JobId::new("a").unwrap(), 2, command.clone()).unwrap();
        assert_eq!(spec.payload(), r#"{"format":1,"command":["echo","a b",""]}"#);
        assert_eq!(Payload::of(&spec).unwrap(), Payload { command });
    }

    #[test]
    fn a_job_without_a_command_is_refused_at_both_ends() {
        assert!(Payload::job(JobId::new("a").unwrap(), 1, vec![]).is_err());
        assert!(Payload::job(JobId::new("a").unwrap(), 1, vec![String::new()]).is_err());
        assert!(Payload::job(JobId::new("a").unwrap(), 1, vec!["a\0b".into()]).is_err());
        for payload in ["", r#"{"format":1,"command":[]}"#, r#"{"format":1,"command":[""]}"#] {
            assert!(of(payload).unwrap_err().to_string().contains("job `a` has no command"));
        }
    }

    #[test]
    fn another_format_is_an_error_that_names_the_job() {
        let error = of(r#"{"format":2,"script":"…"}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooNew);
        assert!(error.to_string().contains("job `a`"), "{error}");
        assert_eq!(of("rubbish").unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
