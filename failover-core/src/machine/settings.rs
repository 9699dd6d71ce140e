//! The cluster's settings, as they reach the node: from the store, or at its start from what it kept of them. What breaks a rule leaves the
//! last good ones in force.

use super::Machine;
use super::cadence::decode;
use super::effect::Effect;
use super::event::{Event, EventKind};
use super::reason::Reason;
use crate::control::{Edit, Settings, Versioned};
use crate::error::{ErrorKind, Result};
use crate::ids::Version;
use crate::state::Document;
use crate::time::Time;

/// What a node finds of the configuration it kept on its own disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// The last one that it followed.
    Good(Box<Versioned>),
    /// Something that cannot be used, and why.
    Unusable(String),
}

/// Which document of the settings was taken in last, and which was refused.
#[derive(Debug, Clone, Default)]
pub(super) struct Read {
    taken: Option<Version>,
    /// Who made it what it is.
    edit: Option<Edit>,
    refused: Option<Version>,
}

impl Read {
    /// What made the settings that were taken in last what they are.
    pub(super) fn edit(&self) -> Option<&Edit> {
        self.edit.as_ref()
    }
}

impl Machine {
    /// Begins with what it kept, so that it knows roster, pace and topology while the store is away. Nobody becomes active from that: it
    /// takes the lease, and the settings read.
    pub(super) fn begin_with_kept(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(kept) = self.config.kept.take() else { return };
        let unusable = match kept {
            Kept::Unusable(why) => why,
            Kept::Good(kept) => match kept.settings.check() {
                Ok(()) => {
                    let event = self.about_settings(EventKind::SettingsRestored, Reason::KeptLocally);
                    out.push(Effect::Tell(event.detail(format!("version {}", kept.edit.version))));
                    self.follow(now, kept.settings, out);
                    return;
                }
                Err(invalid) => invalid.to_string(),
            },
        };
        let event = self.about_settings(EventKind::SettingsRefused, Reason::KeptUnusable);
        out.push(Effect::Tell(event.detail(unusable)));
    }

    /// The file could not be written; the node goes on without.
    pub(super) fn on_not_kept(&self, why: String, out: &mut Vec<Effect>) {
        out.push(Effect::Tell(self.about_settings(EventKind::SettingsNotKept, Reason::KeptInVain).detail(why)));
    }

    /// Takes the settings in as they are in the store. An error is one of a newer format: whoever reads it stands back.
    pub(super) fn on_settings(&mut self, now: Time, document: &Document, out: &mut Vec<Effect>) -> Result<()> {
        if self.settings_read.taken == Some(document.version) {
            return Ok(());
        }
        let read = decode::<Versioned>(document);
        let why = match read {
            Ok(versioned) => match versioned.settings.check() {
                Ok(()) => {
                    self.settings_read.taken = Some(document.version);
                    self.take_in(now, versioned, document, out);
                    return Ok(());
                }
                Err(invalid) => invalid.to_string(),
            },
            Err(error) if error.kind() == ErrorKind::TooNew => return Err(error),
            Err(error) => error.to_string(),
        };
        if self.settings_read.refused.replace(document.version) != Some(document.version) {
            let event = self.about_settings(EventKind::SettingsRefused, Reason::SettingsBroken);
            out.push(Effect::Tell(event.detail(why)));
        }
        Ok(())
    }

    fn take_in(&mut self, now: Time, versioned: Versioned, document: &Document, out: &mut Vec<Effect>) {
        let Versioned { edit, settings } = versioned;
        if edit.version > 0 && settings != *self.roster.settings() {
            let event = self.about_settings(EventKind::SettingsChanged, Reason::OperatorAsked);
            out.push(Effect::Tell(event.detail(format!("version {} by {}", edit.version, edit.by))));
        }
        self.settings_read.edit = Some(edit).filter(|edit| edit.version > 0);
        if self.config.keeps {
            out.push(Effect::Keep { configuration: document.value.clone() });
        }
        self.follow(now, settings, out);
    }

    fn about_settings(&self, kind: EventKind, reason: Reason) -> Event {
        Event::new(kind, self.config.member.node.clone(), reason)
    }

    /// Follows the cluster's settings from now on.
    pub(super) fn follow(&mut self, now: Time, settings: Settings, out: &mut Vec<Effect>) {
        let name = &settings.strategy.0;
        if *name != self.roster.settings().strategy.0 {
            if let Some(strategy) = self.config.strategies.iter().find(|strategy| strategy.name() == name) {
                self.mirror.board.set_strategy(strategy.clone());
            } else {
                let node = self.config.member.node.clone();
                let event = Event::new(EventKind::SettingsRefused, node, Reason::StrategyUnknown);
                out.push(Effect::Tell(event.detail(name.clone())));
            }
        }
        let paused = settings.paused.is_some();
        if paused != self.roster.is_paused() {
            self.runner.rest(now, paused);
            let kind = if paused { EventKind::ClusterPaused } else { EventKind::ClusterResumed };
            let event = Event::new(kind, self.config.member.node.clone(), Reason::OperatorAsked);
            let by = settings.paused.as_ref().and_then(|pause| pause.by.clone());
            out.push(Effect::Tell(by.into_iter().fold(event, |event, by| event.detail(format!("by {by}")))));
        }
        let pace = settings.pace;
        let is_news = pace != self.roster.settings().pace;
        self.roster.follow(settings);
        if is_news {
            self.follow_pace(now, pace, out);
        }
    }
}
