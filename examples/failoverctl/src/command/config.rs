//! `config`: the cluster's configuration as one versioned document.

use std::path::{Path, PathBuf};

use failover::Invalid;
use failover::admin::{By, ConfigError};
use failover::control::{Edit, Settings};
use serde::Serialize;

use super::{admin, new_admin, operator};
use crate::cli::{ConfigCommand, Global};
use crate::failure::{Failure, Status};
use crate::output::{Form, Show, moment, table};

pub(crate) async fn run(global: &Global, command: &ConfigCommand) -> Result<u8, Failure> {
    let form = Form::new(global.json);
    let by = |why: &Option<String>| {
        let by = By::from(operator().as_str());
        why.iter().fold(by, failover::admin::By::because)
    };
    match command {
        ConfigCommand::Get => {
            let config = admin(global).await?.config().await?;
            form.print(&ConfigLine { edit: EditLine::of(&config.edit), config: config.settings });
        }
        ConfigCommand::Set { file, expect, why } => {
            let settings = parse(file, &read(file)?)?;
            let version = new_admin(global).await?.set_config(*expect, settings, by(why)).await?;
            form.print(&WrittenLine { version });
        }
        ConfigCommand::Edit { why } => {
            let admin = new_admin(global).await?;
            let before = admin.config().await?;
            let file = draft(global, before.version);
            std::fs::write(&file, &before.text).map_err(|error| unusable(&file, &error))?;
            let kept = |failure: Failure| failure.next(format!("your text is in {}", file.display()));
            open_editor(&file).map_err(kept)?;
            let text = read(&file)?;
            if text == before.text {
                let _tidied = std::fs::remove_file(&file);
                form.print(&WrittenLine { version: before.version });
                return Ok(0);
            }
            let settings = parse(&file, &text).map_err(kept)?;
            let written = admin.set_config(before.version, settings, by(why)).await;
            let version = written.map_err(|error| kept(error.into()))?;
            let _tidied = std::fs::remove_file(&file);
            form.print(&WrittenLine { version });
        }
        ConfigCommand::History => {
            let versions = admin(global).await?.config_history().await?;
            let versions: Vec<_> = versions.iter().map(|version| EditLine::of(&version.edit)).collect();
            match form {
                Form::Json => versions.iter().for_each(|version| form.print(version)),
                Form::Human => form.print(&HistoryLines { versions }),
            }
        }
        ConfigCommand::Rollback { version, why } => {
            let version = admin(global).await?.rollback(*version, by(why)).await?;
            form.print(&WrittenLine { version });
        }
    }
    Ok(0)
}

/// A file of its own for each edit, so that none is lost to another.
fn draft(global: &Global, version: u64) -> PathBuf {
    let name = format!("failover-{}-{version}-{}.json", global.cluster, std::process::id());
    std::env::temp_dir().join(name)
}

fn open_editor(file: &Path) -> Result<(), Failure> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|e| !e.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // As git does it: what stands there may have words of its own.
    let status = std::process::Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(Status::Failed, format!("the editor `{editor}` ended with {status}"))),
        Err(error) => Err(Failure::new(Status::Failed, format!("the editor `{editor}` cannot be run: {error}"))),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Status::Usage, format!("cannot use {}: {error}", file.display())).next("check the path and its rights")
}

fn parse(file: &Path, text: &str) -> Result<Settings, Failure> {
    let name = file.display();
    let broken = |invalid: Invalid| {
        let failure = Failure::new(Status::Usage, format!("{name}: {invalid}"));
        failure.next("correct it; nothing was written, and the last good configuration stays in force")
    };
    let json = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => text.to_owned(),
        Some("toml") => {
            let table = toml::from_str::<serde_json::Value>(text);
            let said = |error: toml::de::Error| Invalid::new("configuration", "", error.message());
            table.map_err(|error| broken(said(error)))?.to_string()
        }
        _ => return Err(broken(Invalid::new("file", name.to_string(), "its name must end in .toml or .json"))),
    };
    Settings::parse(&json).map_err(broken)
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Failed(error) => error.into(),
            ConfigError::NoVersion { .. } => {
                Self::new(Status::Usage, error.to_string()).next("`config history` lists them")
            }
            other => Self::refused(other.to_string()).next("read it with `config get` and make your change again"),
        }
    }
}

/// Who made a version, as the README documents it.
#[derive(Debug, Serialize)]
struct EditLine {
    version: u64,
    by: String,
    at: String,
    why: Option<String>,
    replaced: u64,
}

impl EditLine {
    fn of(edit: &Edit) -> Self {
        let Edit { version, by, at, why, replaced, .. } = edit.clone();
        Self { version, by, at: moment(at), why, replaced }
    }
}

impl Show for EditLine {
    fn human(&self) -> String {
        format!("version {} by {} at {}", self.version, self.by, self.at)
    }
}

/// The configuration: in JSON, as it is stored, beside who made it.
#[derive(Debug, Serialize)]
struct ConfigLine {
    #[serde(flatten)]
    edit: EditLine,
    config: Settings,
}

impl Show for ConfigLine {
    fn human(&self) -> String {
        self.config.to_text()
    }
}

#[derive(Debug, Serialize)]
struct WrittenLine {
    version: u64,
}

impl Show for WrittenLine {
    fn human(&self) -> String {
        format!("the configuration is version {}", self.version)
    }
}

#[derive(Debug, Serialize)]
struct HistoryLines {
    versions: Vec<EditLine>,
}

impl Show for HistoryLines {
    fn human(&self) -> String {
        let row = |version: &EditLine| {
            let why = version.why.clone().unwrap_or_default();
            vec![version.version.to_string(), version.at.clone(), version.by.clone(), why]
        };
        table(&["VERSION", "AT", "BY", "WHY"], &self.versions.iter().map(row).collect::<Vec<_>>())
    }
}
