//! Scenario transcripts: readable text that is a test.
//!
//! A transcript is made of blocks: commands, a line `----`, and what came of them up to the next empty line. [`play`] carries
//! out the commands and returns the text with what really came of them; if that is the same text, the test has passed. Lines
//! that begin with `#` are for the reader.
//!
//! ```text
//! nodes a b c                         the cluster, which starts at once; `nodes a b capacity=2`; watchdog=2s, witnessed, guarded;
//!                                     fencer=200ms: every host can switch a machine off, in that time; who is silent for 2 s is missed
//! fencer refuses | fencer hangs | fencer confirms   how the fencers answer from now on
//! response mail 2s                    right after it: every node knows this action, which takes that long; fails
//! job j1                              submits a job; weight=2 start=100ms stop=1s completes=5s stubborn; progress=1s hangs=3s;
//!                                     pin=a,b failover=manual retries=2 apart=g
//! run until active=a                  or standby=b, stage a=isolated, j1=b (runs there), event=node_fenced; a minute at most
//! advance 5s
//! crash a | restart a | leave a | maintenance a on | maintenance a off
//! pause a 7s                          the process stands still
//! isolate a 6s | outage 3s            no call of a's is answered; every call fails
//! report a disk 10 | clear a disk     a's host says that something is wrong, or that it is over
//! hang a 5s                           a's host neither feeds its watchdog nor returns from a hook
//! refuse a 5s                         a's host cannot be promoted
//! ahead jobs 1000 | ahead documents 9 | floor   what is in another store than the leases has seen a term so much higher; an operator mends it
//! unwitnessed a 6s | cut off a 6s     no witness answers a; nor does the store
//! drop request renew active from a    the next such call is lost; or its answer: drop reply …
//! delay reply acquire active by 6s    so is one that is late; or delay request …; the lease and the node may be left out
//! switchover to b | switchover        an operator's wish
//! remove j1
//! move j1 to b | failback a           an operator's order
//! ack a | retry mail for a            about the latest incident of a
//! roster b a | maintain a | cordon a | uncordon a | failback automatic 5s
//! pace 300ms 1500ms | pace as-started    the beat and the ttl of the cluster's settings
//! versions compatible 1.1.0 | versions any   how versions must match; without one, that of the active node
//! upgrade a 1.1.0                     the process ends and starts again as that version
//! drain a at-once within=5s then=force
//! write a active                      a's host writes with its last token without checking it; or write a j1
//! incidents                           which there are, and how their actions stand
//! status                              who is what, who holds what, what runs
//! expect active=b                     as after `run until`
//! expect-no node_fenced               such an event was never told
//! ```
//!
//! The clocks all run at the store's rate and a message takes 5 ms, so every time in a transcript is exact.

mod command;
mod incidents;
mod settings;
mod show;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::engine::{DAWN, Engine};
use super::observer::Observer;
use super::plan::{FencerPlan, GuardPlan, Hints, HookPlan, NodePlan, Setup};
use super::tamper::Honest;
use crate::ids::NodeId;
use crate::machine::Effect;
use crate::timing::Timing;

/// A transcript that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScriptError {
    /// The line, from one.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ScriptError {}

/// Carries out a transcript's commands; returns it with what came of them.
///
/// # Errors
/// The first command that is not one.
pub fn play(script: &str) -> Result<String, ScriptError> {
    let mut stage = Script { engine: None, shown: 0, tokens: BTreeMap::new(), register: BTreeMap::new() };
    let mut out = String::new();
    let mut came: Vec<String> = Vec::new();
    let mut in_output = false;
    for (number, line) in script.lines().enumerate() {
        let text = line.trim();
        if in_output {
            // What came of the commands the last time; it is told anew.
            in_output = !text.is_empty();
            if in_output {
                continue;
            }
        }
        if text == "----" {
            in_output = true;
            out += "----\n";
            for line in came.drain(..) {
                out.push_str(&line);
                out.push('\n');
            }
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if !text.is_empty() && !text.starts_with('#') {
            let said = stage.command(text).map_err(|what| ScriptError { line: number + 1, what })?;
            came.extend(stage.drain());
            came.extend(said);
        }
    }
    Ok(out)
}

/// A scenario in progress.
struct Script {
    engine: Option<Engine>,
    /// How much of what was heard has been shown.
    shown: usize,
    /// The last token of each right that each node was ever given.
    tokens: BTreeMap<(usize, String), u64>,
    /// The highest token a resource has seen, per right.
    register: BTreeMap<String, u64>,
}

impl Script {
    fn engine(&mut self) -> Result<&mut Engine, String> {
        self.engine.as_mut().ok_or_else(|| "the first command must be `nodes`".to_owned())
    }

    fn begin(
        &mut self,
        names: &[&str],
        capacity: u32,
        watchdog: Option<Duration>,
        witnessed: bool,
        guarded: bool,
        fencer: Option<Duration>,
    ) -> Result<(), String> {
        let node = |(i, name): (usize, &&str)| {
            Ok(NodePlan {
                id: NodeId::new(name).map_err(|e| e.to_string())?,
                origin: 1_000_000 * (i as u64 + 1),
                ppm: 0,
                capacity,
                version: None,
                starts: Some(Duration::from_millis(i as u64)),
                returns: false,
                hopeless: false,
            })
        };
        let nodes = names.iter().enumerate().map(node).collect::<Result<Vec<_>, String>>()?;
        let millis = Duration::from_millis;
        let fencers = fencer.map(|takes| FencerPlan { takes: (takes, takes), refuses: 0, silent: 0, restarts: 0 });
        // One that is to be switched off is missed well before its leases lapse.
        let timing = Timing::builder(millis(1_000), millis(5_000));
        let timing = if fencers.is_some() { timing.missing(millis(2_000)) } else { timing };
        let timing = timing.build().map_err(|e| e.to_string())?;
        let setup = Setup {
            timing,
            slowest: timing,
            quickest: timing,
            nodes,
            jobs: Vec::new(),
            latency: (millis(5), millis(5)),
            lateness: millis(0),
            hints: Hints::Within(millis(5), 0),
            hooks: HookPlan { prepare: millis(10), promote: millis(10), demote: millis(10) },
            watchdog,
            witnessed,
            fencers,
            guards: guarded.then_some(GuardPlan { late: 0, notices: (millis(1), millis(1)), again: 0 }),
            responses: Vec::new(),
            ahead: true,
            nudges: 1000,
        };
        let mut observer = Observer::strict(false);
        observer.heard = Some(Vec::new());
        self.engine = Some(Engine::new(1, setup, Box::new(Honest), observer));
        Ok(())
    }

    /// What has been told since the last time, as lines.
    fn drain(&mut self) -> Vec<String> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let heard = engine.observer.heard.as_deref().unwrap_or_default();
        let mut lines = Vec::new();
        for (at, node, effect) in &heard[self.shown.min(heard.len())..] {
            match effect {
                Effect::Tell(event) => lines.push(show::event(at.since(DAWN), &engine.setup.nodes[*node].id, event)),
                Effect::Hold { lease, .. } => {
                    self.tokens.insert((*node, lease.name.to_string()), lease.term.0);
                }
                Effect::Start { job } => {
                    self.tokens.insert((*node, job.spec.id().to_string()), job.epoch.0);
                }
                _ => {}
            }
        }
        self.shown = heard.len();
        if let Some(broken) = &engine.observer.broken {
            lines.push(format!("BROKEN {}: {}", broken.law, broken.what));
        }
        lines
    }
}
