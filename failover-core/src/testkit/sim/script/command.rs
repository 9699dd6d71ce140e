//! What a scenario's commands do.

use std::time::Duration;

use super::{Script, incidents, settings, show};
use crate::ids::{FailureName, JobId, LeaseName, NodeId};
use crate::job::JobSpec;
use crate::machine::{Command, Effect, Switch};
use crate::testkit::sim::engine::{DAWN, Engine, Fate, Rule};
use crate::testkit::sim::plan::{Act, Beside, JobFate, JobPlan, Target, Weather};

/// For how long a condition is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

impl Script {
    /// Carries out one command; returns what it says beyond the events it caused.
    pub(super) fn command(&mut self, text: &str) -> Result<Vec<String>, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["nodes", names @ ..] => {
                let is_option = |word: &&str| word.contains('=') || ["witnessed", "guarded"].contains(word);
                let (options, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|word| is_option(word));
                let capacity =
                    option(&options, "capacity")?.map_or(Ok(50), |n| n.parse().map_err(|e| format!("{n}: {e}")))?;
                let watchdog = option(&options, "watchdog")?.map(duration).transpose()?;
                let fencer = option(&options, "fencer")?.map(duration).transpose()?;
                let (witnessed, guarded) = (options.contains(&"witnessed"), options.contains(&"guarded"));
                self.begin(&names, capacity, watchdog, witnessed, guarded, fencer)?;
            }
            ["job", name, options @ ..] => self.submit(name, options)?,
            ["response", name, takes, how @ ..] => incidents::response(self.engine()?, name, takes, how)?,
            ["incidents"] => return Ok(incidents::show(self.engine()?)),
            ["run", "until", condition] => return self.run_until(condition),
            ["advance", by] => {
                let engine = self.engine()?;
                let until = engine.scene.now + duration(by)?;
                engine.run_until(until);
            }
            ["expect", condition] => {
                let engine = self.engine()?;
                let holds = holds(engine, condition)?;
                return Ok(vec![format!("{condition}: {}", if holds { "yes" } else { "NO" })]);
            }
            ["expect-no", kind] => {
                let told = told(self.engine()?, kind);
                return Ok(vec![if told == 0 { format!("no {kind}") } else { format!("{told} TIMES {kind}") }]);
            }
            ["status"] => {
                let engine = self.engine()?;
                let mut lines = vec![format!("{:>8.3}", engine.scene.now.since(DAWN).as_secs_f64())];
                lines.extend(show::status(engine));
                return Ok(lines);
            }
            ["fencer", how] => {
                let plan = self.engine()?.setup.fencers.as_mut().ok_or("there are no fencers")?;
                (plan.refuses, plan.silent) = match *how {
                    "confirms" => (0, 0),
                    "refuses" => (100, 0),
                    "hangs" => (0, 100),
                    _ => return Err(format!("a fencer cannot be told that it {how}")),
                };
            }
            ["write", node, what] => return self.write(node, what),
            [how @ ("drop" | "delay"), leg, verb, rest @ ..] => self.rule(how, leg, verb, rest)?,
            _ => self.act(&words)?,
        }
        Ok(Vec::new())
    }

    fn act(&mut self, words: &[&str]) -> Result<(), String> {
        let engine = self.engine()?;
        let node = |name: &str| node(engine, name).map(Target::Node);
        let act = match words {
            ["crash", name] => Act::Crash(node(name)?, None),
            ["restart", name] => Act::Restart(node(name)?),
            ["pause", name, lasts] => Act::Pause(node(name)?, duration(lasts)?),
            ["isolate", name, lasts] => {
                Act::Weather(Some(node(name)?), duration(lasts)?, Weather::Hanging { applied: 0 })
            }
            ["cut", "off", name, lasts] => Act::CutOff(node(name)?, duration(lasts)?),
            ["unwitnessed", name, lasts] => Act::Unwitnessed(node(name)?, duration(lasts)?),
            ["hang", name, lasts] => Act::Hang(node(name)?, duration(lasts)?),
            ["ahead", what @ ("jobs" | "documents"), by] => {
                let beside = if *what == "jobs" { Beside::Jobs } else { Beside::Documents };
                Act::Ahead(beside, by.parse().map_err(|e| format!("{by}: {e}"))?)
            }
            ["floor"] => Act::Floor,
            ["refuse", name, lasts] => Act::Refuse(node(name)?, duration(lasts)?),
            ["report", name, what, weight] => {
                let weight = weight.parse().map_err(|e| format!("{weight}: {e}"))?;
                Act::Report(node(name)?, failure(what)?, weight)
            }
            ["clear", name, what] => Act::Clear(node(name)?, failure(what)?),
            ["outage", lasts] => Act::Weather(None, duration(lasts)?, Weather::Refusing),
            ["leave", name] => Act::Command(node(name)?, Command::Leave),
            ["maintenance", name, "on"] => Act::Command(node(name)?, Command::Maintenance(Switch::On)),
            ["maintenance", name, "off"] => Act::Command(node(name)?, Command::Maintenance(Switch::Off)),
            ["switchover"] => Act::Switchover(None),
            ["activate", name] => Act::Activate(NodeId::new(name).map_err(|e| e.to_string())?),
            ["switchover", "to", name] => Act::Switchover(Some(NodeId::new(name).map_err(|e| e.to_string())?)),
            ["remove", job] => {
                let position = engine.setup.jobs.iter().position(|plan| plan.spec.id().as_str() == *job);
                Act::Remove(position.ok_or_else(|| format!("no job is called {job}"))?)
            }
            _ => match incidents::act(engine, words)? {
                Some(act) => act,
                None => settings::act(engine, words)?.ok_or_else(|| format!("`{}` is no command", words.join(" ")))?,
            },
        };
        engine.act(act);
        Ok(())
    }

    fn submit(&mut self, name: &str, options: &[&str]) -> Result<(), String> {
        let id = JobId::new(name).map_err(|e| e.to_string())?;
        let weight = option(options, "weight")?.map_or(Ok(1), |n| n.parse().map_err(|e| format!("{n}: {e}")))?;
        let spec = JobSpec::new(id, "").and_then(|spec| spec.with_weight(weight));
        let spec =
            spec.map_err(|e| e.to_string())?.with_policy(settings::policy(options)?).map_err(|e| e.to_string())?;
        let time = |key: &str, default: u64| option(options, key)?.map_or(Ok(Duration::from_millis(default)), duration);
        let end = match option(options, "completes")? {
            Some(after) => JobFate::Completes(duration(after)?),
            None => {
                option(options, "hangs")?.map_or(Ok(JobFate::Never), |after| duration(after).map(JobFate::Hangs))?
            }
        };
        let stubborn = options.contains(&"stubborn");
        let plan = JobPlan { spec, starting: time("start", 10)?, stopping: time("stop", 10)?, end, stubborn };
        let engine = self.engine()?;
        engine.setup.jobs.push(plan);
        engine.act(Act::Submit(engine.setup.jobs.len() - 1));
        Ok(())
    }

    fn run_until(&mut self, condition: &str) -> Result<Vec<String>, String> {
        let engine = self.engine()?;
        let until = engine.scene.now + PATIENCE;
        let before = condition.strip_prefix("event=").map_or(0, |kind| told(engine, kind));
        loop {
            let met = match condition.strip_prefix("event=") {
                Some(kind) => told(engine, kind) > before,
                None => holds(engine, condition)?,
            };
            if met {
                return Ok(Vec::new());
            }
            if engine.observer.is_broken() || engine.next_at().is_none_or(|at| at > until) {
                return Ok(vec![format!("{condition}: NOT WITHIN {PATIENCE:?}")]);
            }
            engine.step();
        }
    }

    fn rule(&mut self, how: &str, leg: &str, verb: &str, rest: &[&str]) -> Result<(), String> {
        let engine = self.engine()?;
        let (mut lease, mut from, mut by) = (None, None, None);
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            let mut next = || rest.next().copied().ok_or_else(|| format!("something is missing after `{word}`"));
            match *word {
                "from" => from = Some(node(engine, next()?)?),
                "by" => by = Some(duration(next()?)?),
                name => lease = Some(LeaseName::new(name).map_err(|e| e.to_string())?),
            }
        }
        let fate = match (how, leg, by) {
            ("drop", "request", None) => Fate::DropRequest,
            ("drop", "reply", None) => Fate::DropReply,
            ("delay", "request", Some(by)) => Fate::DelayRequest(by),
            ("delay", "reply", Some(by)) => Fate::DelayReply(by),
            _ => return Err("drop (request|reply) CALL …, or delay (request|reply) CALL … by TIME".to_owned()),
        };
        engine.rules.push(Rule { node: from, verb: verb.to_owned(), lease, fate });
        Ok(())
    }

    /// A host that does not look at its clock: what protects from it is the resource.
    fn write(&mut self, name: &str, what: &str) -> Result<Vec<String>, String> {
        let node = node(self.engine()?, name)?;
        let token = self.tokens.get(&(node, what.to_owned()));
        let token = *token.ok_or_else(|| format!("{name} never had a right to {what}"))?;
        let highest = self.register.entry(what.to_owned()).or_default();
        Ok(vec![if token < *highest {
            format!("{name} writes under {what}#{token}: refused, #{highest} was there")
        } else {
            *highest = token;
            format!("{name} writes under {what}#{token}: accepted")
        }])
    }
}

/// Whether a condition such as `active=a` holds.
fn holds(engine: &Engine, condition: &str) -> Result<bool, String> {
    let (what, whom) = condition.split_once('=').ok_or_else(|| format!("`{condition}` is no condition"))?;
    let machine = |name: &str| Ok::<_, String>(engine.machine(node(engine, name)?));
    Ok(match what {
        "active" | "standby" | "inactive" | "maintenance" => machine(whom)?.is_some_and(|m| m.role().as_str() == what),
        "down" => machine(whom)?.is_none(),
        "isolated" | "joining" | "leaving" | "demoting" | "promoting" => {
            machine(whom)?.is_some_and(|m| format!("{:?}", m.stage()).to_lowercase() == what)
        }
        job => {
            if !engine.setup.jobs.iter().any(|plan| plan.spec.id().as_str() == job) {
                return Err(format!("`{what}` is neither a role nor a stage nor a job"));
            }
            let process = engine.scene.process(node(engine, whom)?);
            process.is_some_and(|p| p.runs.iter().any(|(id, _)| id.as_str() == job))
        }
    })
}

/// How often such an event was told.
fn told(engine: &Engine, kind: &str) -> usize {
    let heard = engine.observer.heard.as_deref().unwrap_or_default();
    let is_it = |effect: &Effect| matches!(effect, Effect::Tell(event) if event.kind.as_str() == kind);
    heard.iter().filter(|(_, _, effect)| is_it(effect)).count()
}

fn failure(name: &str) -> Result<FailureName, String> {
    FailureName::new(name).map_err(|e| e.to_string())
}

fn node(engine: &Engine, name: &str) -> Result<usize, String> {
    let position = engine.setup.nodes.iter().position(|plan| plan.id.as_str() == name);
    position.ok_or_else(|| format!("no node is called {name}"))
}

/// Every option of any command.
const OPTIONS: [&str; 16] = [
    "watchdog",
    "fencer",
    "weight",
    "start",
    "stop",
    "completes",
    "hangs",
    "progress",
    "pin",
    "failover",
    "retries",
    "apart",
    "capacity",
    "within",
    "then",
    "to",
];

pub(super) fn option<'a>(options: &[&'a str], key: &str) -> Result<Option<&'a str>, String> {
    let mut found = None;
    for word in options {
        match word.split_once('=') {
            Some((name, value)) if name == key => found = Some(value),
            Some((name, _)) if OPTIONS.contains(&name) => {}
            None if ["stubborn", "at-once", "witnessed", "guarded"].contains(word) => {}
            _ => return Err(format!("`{word}` is no option")),
        }
    }
    Ok(found)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
    let number: f64 = digits.parse().map_err(|e| format!("`{text}` is no time: {e}"))?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        _ => return Err(format!("`{text}` is no time: it must end in ms or s")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|e| format!("`{text}`: {e}"))
}
