//! Which [`Settings`] can be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Settings, StrategyName, VersionRule, check_version};
use crate::capacity::Capacity;
use crate::error::Invalid;
use crate::ids::NodeId;
use crate::job::Failback;

/// The longest that anything is waited for: ten years.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

impl Settings {
    /// Whether these settings keep the rules that can be told without knowing which nodes there are.
    ///
    /// # Errors
    /// [`Invalid`] for a node that the roster names twice, a capacity outside 1 to 100 000, a wait shorter than a millisecond or longer
    /// than ten years, a strategy without a proper name, a bound of the lag that bounds nothing, a pace whose inequalities do not hold, a version that is none, and as
    /// [`JobPolicy::check`](crate::JobPolicy::check) for a class and for the defaults.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.roster.iter().find(|node| !seen.insert(*node)) {
            return Err(Invalid::new("roster", twice, "it must name each node once"));
        }
        for capacity in self.capacity.values() {
            Capacity::of(capacity.jobs)?.with_weight(capacity.weight)?;
        }
        for drain in self.drains.values() {
            check_wait("within", drain.within)?;
        }
        self.strategy.check()?;
        if let Failback::Automatic { stable_for } = self.failback {
            check_wait("failback", stable_for)?;
        }
        check_wait("damping", self.damping.within)?;
        check_wait("hold_off", self.hold_off.0)?;
        if let Some(pace) = &self.pace {
            pace.check()?;
        }
        if let Some(version) = &self.version {
            check_version("version", version)?;
            if self.versions == VersionRule::Compatible && semver::Version::parse(version).is_err() {
                let rule = "what is to be compatible is told by semantic versioning: write it as MAJOR.MINOR.PATCH, such as 1.4.2";
                return Err(Invalid::new("version", version, rule));
            }
        }
        if let Some(class) = &self.defaults.class {
            return Err(Invalid::new("defaults", class, "it is for jobs without a class, so it must name none"));
        }
        self.defaults.check()?;
        if let Some(most) = &self.max_lag {
            if most.records.is_none() && most.behind.is_none() {
                return Err(Invalid::new("max_lag", "nothing", "it must be a number of records, a time, or both"));
            }
            most.behind.map_or(Ok(()), |behind| check_wait("max_lag", behind))?;
        }
        self.classes.iter().try_for_each(|(name, policy)| match &policy.class {
            Some(other) => {
                let rule = format!("the class `{name}` must be complete: it cannot refer to another");
                Err(Invalid::new("class", other, rule))
            }
            None => policy.check(),
        })
    }
}

impl StrategyName {
    /// Whether this can be a strategy's name.
    ///
    /// # Errors
    /// [`Invalid`] unless it keeps the rule of every other name.
    pub fn check(&self) -> Result<(), Invalid> {
        NodeId::new(&self.0).map(drop).map_err(|name| Invalid::new("strategy", &self.0, name.rule))
    }
}

fn check_wait(field: &str, wait: Duration) -> Result<(), Invalid> {
    if wait < Duration::from_millis(1) || wait > LONGEST {
        return Err(Invalid::new(field, format!("{wait:?}"), "it must be a millisecond to ten years"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Drain, Overdue, Pace};
    use crate::ids::ClassName;
    use crate::job::JobPolicy;
    use crate::replica::MaxLag;

    fn refused(change: impl Fn(&mut Settings)) -> String {
        let mut settings = Settings::default();
        assert_eq!(settings.check(), Ok(()));
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn settings_that_cannot_be_are_named_by_field_value_and_rule() {
        let node = |name| NodeId::new(name).unwrap();
        let twice = refused(|s| s.roster = vec![node("a"), node("b"), node("a")]);
        assert_eq!(twice, "roster is `a`: it must name each node once");
        assert!(refused(|s| s.capacity.extend([(node("a"), Capacity::NONE)])).starts_with("capacity is `0`"));
        let drain = |within| Drain::new(within, Overdue::Abort);
        assert!(refused(|s| drop(s.drains.insert(node("a"), drain(Duration::ZERO)))).starts_with("within is `0ns`"));
        assert!(refused(|s| s.strategy.0 = "by luck".into()).starts_with("strategy is `by luck`"));
        assert!(refused(|s| s.failback = Failback::Automatic { stable_for: Duration::MAX }).starts_with("failback is"));
        assert!(refused(|s| s.damping.within = Duration::ZERO).starts_with("damping is"));
        assert!(refused(|s| s.hold_off.0 = Duration::ZERO).starts_with("hold_off is `0ns`"));
        let pace = |beat, ttl| Some(Pace { beat: Duration::from_millis(beat), ttl: Duration::from_millis(ttl) });
        assert!(refused(|s| s.pace = pace(500, 1_000)).starts_with("beat is `500ms`: three beats must fit"));
        assert!(refused(|s| s.version = Some("1 2".into())).starts_with("version is `1 2`"));
        let compatible = |version: &'static str| {
            move |s: &mut Settings| {
                (s.versions, s.version) = (VersionRule::Compatible, Some(version.into()));
            }
        };
        assert!(refused(compatible("1.3")).starts_with("version is `1.3`: what is to be compatible"));
        let default = |policy: JobPolicy| move |s: &mut Settings| s.defaults = policy.clone();
        let named = Some(ClassName::new("c").unwrap());
        assert!(refused(default(JobPolicy { class: named, ..JobPolicy::default() })).starts_with("defaults is `c`"));
        assert!(refused(|s| s.max_lag = Some(MaxLag::default())).starts_with("max_lag is `nothing`"));
        assert!(refused(|s| s.max_lag = Some(MaxLag::behind(Duration::ZERO))).starts_with("max_lag is `0ns`"));
        let class = |policy: JobPolicy| {
            move |s: &mut Settings| drop(s.classes.insert(ClassName::new("c").unwrap(), policy.clone()))
        };
        let pins = vec![node("a"), node("a")];
        assert!(refused(class(JobPolicy { pins, ..JobPolicy::default() })).starts_with("pins is `a`"));
        let other = Some(ClassName::new("d").unwrap());
        assert!(refused(class(JobPolicy { class: other, ..JobPolicy::default() })).starts_with("class is `d`"));
    }
}
