//! `job apply FILE`.

use std::error::Error as _;
use std::path::Path;

use failover::Invalid;
use failover::admin::{Change, Difference, Mode};
use serde::Serialize;

use super::{admin, new_admin};
use crate::cli::Global;
use crate::failure::Failure;
use crate::file::File;
use crate::output::{Form, Show, line, plain};

pub(crate) async fn run(global: &Global, path: &Path, dry_run: bool) -> Result<(), Failure> {
    let (file, wanted) = File::read(path)?;
    let (admin, mode) =
        if dry_run { (admin(global).await?, Mode::DryRun) } else { (new_admin(global).await?, Mode::Write) };
    let differences = admin.apply(&wanted, mode).await.map_err(|error| {
        match error.source().and_then(|source| source.downcast_ref::<Invalid>()) {
            Some(invalid) => file.refused(invalid),
            None => error.into(),
        }
    })?;
    let form = Form::new(global.json);
    for difference in &differences {
        form.print(&DifferenceLine::from(difference));
    }
    if form == Form::Human {
        let changed = differences.iter().filter(|&difference| DifferenceLine::from(difference).result != "unchanged");
        let (changed, of) = (changed.count(), differences.len());
        let would = if dry_run { "would be made; nothing was" } else { "made" };
        line(&format!("{changed} of {of} {would}"));
    }
    Ok(())
}

/// What a class or a job differs in, as the README documents it.
#[derive(Debug, Serialize)]
struct DifferenceLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    result: &'static str,
    changes: Vec<FieldLine>,
}

#[derive(Debug, Serialize)]
struct FieldLine {
    field: &'static str,
    from: String,
    to: String,
}

impl From<&Difference> for DifferenceLine {
    fn from(difference: &Difference) -> Self {
        let (class, job, change) = match difference {
            Difference::Class(class, change) => (Some(class.to_string()), None, change),
            Difference::Job(job, change) => (None, Some(job.to_string()), change),
            // One that a later library tells of is at least counted.
            _ => return Self { class: None, job: None, result: "changed", changes: Vec::new() },
        };
        let (result, changes) = match change {
            Change::New => ("created", Vec::new()),
            Change::Same => ("unchanged", Vec::new()),
            Change::Fields(fields) => {
                let field = |f: &failover::admin::FieldChange| FieldLine {
                    field: f.field,
                    from: f.from.clone(),
                    to: f.to.clone(),
                };
                ("changed", fields.iter().map(field).collect())
            }
            _ => ("changed", Vec::new()),
        };
        Self { class, job, result, changes }
    }
}

impl Show for DifferenceLine {
    fn human(&self) -> String {
        let name = match (&self.class, &self.job) {
            (Some(class), _) => format!("class `{class}`"),
            (None, Some(job)) => format!("job `{job}`"),
            (None, None) => "something".to_owned(),
        };
        let mark = match self.result {
            "created" => '+',
            "unchanged" => '=',
            _ => '~',
        };
        let changes: Vec<_> = self.changes.iter().map(|c| format!("{}: {} > {}", c.field, c.from, c.to)).collect();
        let changes = if changes.is_empty() { String::new() } else { format!(": {}", changes.join("; ")) };
        plain(&format!("{mark} {name}{changes}"))
    }
}
