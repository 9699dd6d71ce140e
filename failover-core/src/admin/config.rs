//! The cluster's configuration as one versioned document: read, edited with the version that was read, taken back.

use super::{Admin, RACES, fenced};
use crate::control::{self, Edit, KEPT_VERSIONS, Settings, Versioned, history_key, version_key};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Version;
use crate::record;
use crate::state::{Expect, Written};
use crate::time::Stamp;

const OPERATION: &str = "configure";

/// How many earlier versions are read at once.
const PAGE: usize = 16;

/// The configuration as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Its version; zero if none was written yet.
    pub version: u64,
    /// What it says.
    pub settings: Settings,
    /// The same for people to edit; [`Settings::parse`] reads it.
    pub text: String,
    /// Who made it so.
    pub edit: Edit,
}

/// Who edits the configuration, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    who: String,
    why: Option<String>,
}

impl By {
    /// Says why.
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }
}

impl From<&str> for By {
    fn from(who: &str) -> Self {
        Self { who: who.to_owned(), why: None }
    }
}

/// Why a configuration was not written. Nothing of it was, unless the outcome of [`Failed`](Self::Failed) is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Somebody else has changed it meanwhile.
    #[error("`{}` has changed it meanwhile: it is version {} now, and this was made from version {expected}; read it and make your change again", now.by, now.version)]
    Conflict {
        /// The version that it was made from.
        expected: u64,
        /// Who has changed it, and what it is now.
        now: Box<Edit>,
    },
    /// There is no such version, or no longer.
    #[error("there is no version {version} of the configuration; the last {KEPT_VERSIONS} are kept")]
    NoVersion {
        /// The one that was asked for.
        version: u64,
    },
    /// It breaks a rule, or the store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// What is there, and under which version of the store.
pub(super) struct Present {
    pub(super) document: Versioned,
    at: Option<Version>,
}

impl Present {
    /// Whether there is a document.
    pub(super) fn is_there(&self) -> bool {
        self.at.is_some()
    }
}

impl Admin {
    /// The cluster's configuration and its version.
    ///
    /// # Errors
    /// The store's; [`TooNew`](ErrorKind::TooNew) for one of a later build.
    pub async fn config(&self) -> Result<Config> {
        let Versioned { edit, settings } = self.present().await?.document;
        Ok(Config { version: edit.version, text: settings.to_text(), settings, edit })
    }

    /// Writes the configuration, if it is still of the version that was read: a change that somebody else made meanwhile is neither
    /// overwritten nor merged. Returns the new version. Safe to repeat: what this wrote already is found and counts.
    ///
    /// # Errors
    /// [`Conflict`](ConfigError::Conflict), and then nothing was written; else as [`reconfigure`](Self::reconfigure).
    pub async fn set_config(&self, expected: u64, settings: Settings, by: impl Into<By>) -> Result<u64, ConfigError> {
        let by = by.into();
        settings.check().map_err(|invalid| Error::invalid(OPERATION, invalid))?;
        for _ in 0..RACES {
            let present = self.present().await?;
            let now = &present.document.edit;
            if now.version != expected {
                let is_own = now.replaced == expected && now.by == by.who && present.document.settings == settings;
                if is_own {
                    return Ok(now.version);
                }
                return Err(ConfigError::Conflict { expected, now: Box::new(now.clone()) });
            }
            if let Some(version) = self.replace(present, settings.clone(), &by).await? {
                return Ok(version);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, OPERATION, "others keep changing the configuration; try again").into())
    }

    /// The configuration's versions, the latest first: the present one and the last [`KEPT_VERSIONS`] before it.
    ///
    /// # Errors
    /// The store's; [`TooNew`](ErrorKind::TooNew) if one is of a later build.
    pub async fn config_history(&self) -> Result<Vec<Versioned>> {
        let mut versions = self.earlier().await?;
        let present = self.present().await?;
        if present.at.is_some() {
            versions.retain(|earlier| earlier.edit.version != present.document.edit.version);
            versions.push(present.document);
        }
        versions.reverse();
        Ok(versions)
    }

    /// Makes the configuration again what it was in an earlier version: that is a new version. Returns it.
    ///
    /// # Errors
    /// [`NoVersion`](ConfigError::NoVersion); else as [`set_config`](Self::set_config).
    pub async fn rollback(&self, version: u64, by: impl Into<By>) -> Result<u64, ConfigError> {
        let by = by.into();
        let history = self.config_history().await?;
        let now = history.first().map_or(0, |present| present.edit.version);
        let earlier = history.into_iter().find(|earlier| earlier.edit.version == version);
        let earlier = earlier.ok_or(ConfigError::NoVersion { version })?;
        let why = by.why.clone().unwrap_or_else(|| format!("as it was in version {version}"));
        self.set_config(now, earlier.settings, by.because(why)).await
    }

    pub(super) async fn present(&self) -> Result<Present> {
        let there = self.read::<Versioned>(&control::settings_key()).await?;
        Ok(match there {
            Some((document, at)) => Present { document, at: Some(at) },
            None => Present { document: Versioned::default(), at: None },
        })
    }

    /// Writes other settings over what is present. `None` if that is not what is there any more.
    ///
    /// What is replaced goes into the history first, and the edit lies in the document: whoever crashes in between has lost nothing, and at
    /// worst the present version is in the history too.
    pub(super) async fn replace(&self, present: Present, settings: Settings, by: &By) -> Result<Option<u64>> {
        let Present { document: before, at } = present;
        let mut replaced = before.edit.version;
        if at.is_none() || replaced == 0 {
            // Written by a build that did not count, or deleted by hand: count on from what is known.
            let last = self.earlier().await?.last().map_or(0, |last| last.edit.version);
            replaced = last + u64::from(at.is_some());
        }
        if at.is_some() {
            let mut earlier = before;
            earlier.edit.version = replaced;
            let value = record::encode(OPERATION, &earlier)?;
            let key = version_key(replaced);
            // Whoever was here before has written the same.
            self.ask(OPERATION, self.backend.state.put(&key, value.as_bytes(), Expect::Absent, None)).await?;
        }
        let version = replaced + 1;
        let edit = Edit { version, by: by.who.clone(), at: Stamp::now(), why: by.why.clone(), replaced };
        let value = record::encode(OPERATION, &Versioned { edit, settings })?;
        let (key, expect) = (control::settings_key(), at.map_or(Expect::Absent, Expect::Version));
        match self.ask(OPERATION, self.backend.state.put(&key, value.as_bytes(), expect, None)).await? {
            Written::Written(_) => {}
            Written::Conflict(_) => return Ok(None),
            Written::Fenced { .. } => return Err(fenced(OPERATION)),
        }
        if let Some(oldest) = replaced.checked_sub(KEPT_VERSIONS as u64).filter(|oldest| *oldest > 0) {
            // It is written; one version too many in the history is no failure of it.
            let _kept = self.ask(OPERATION, self.backend.state.delete(&version_key(oldest), Expect::Any, None)).await;
        }
        Ok(Some(version))
    }

    /// The earlier versions, oldest first.
    async fn earlier(&self) -> Result<Vec<Versioned>> {
        let (prefix, mut versions, mut after) = (history_key(), Vec::new(), None);
        loop {
            let page = self.ask("list", self.backend.state.list(&prefix, after.as_ref(), PAGE)).await?;
            for document in &page {
                versions.push(record::decode("list", document.key.as_str(), &document.value)?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                Some(_) | None => return Ok(versions),
            }
        }
    }
}
