use std::collections::{BTreeMap, BTreeSet};

use super::Invariant;
use crate::heartbeat::Role;
use crate::ids::{Epoch, JobId, Term};
use crate::machine::{Effect, Event, EventKind};
use crate::testkit::sim::scene::{Fact, Scene};

/// Events are well ordered: a run is told to have started before it ends and each at most once, a lease is lost
/// only while it is held and once each time, a role changes into another one, and a node joins before anything else.
#[derive(Default)]
pub(super) struct EventOrder {
    nodes: BTreeMap<usize, Told>,
}

#[derive(Default)]
struct Told {
    joined: bool,
    role: Option<Role>,
    started: BTreeSet<(JobId, Epoch)>,
    ended: BTreeSet<(JobId, Epoch)>,
    /// The leases it holds or has not been told yet to drop, and whether their loss was told.
    held: BTreeMap<String, (Term, bool)>,
}

impl Invariant for EventOrder {
    fn name(&self) -> &'static str {
        "event-order"
    }

    fn observe(&mut self, _scene: &Scene, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Born { node } => {
                self.nodes.insert(*node, Told::default());
                Ok(())
            }
            Fact::Wants { node, effect: Effect::Hold { lease, .. } } => {
                let held = &mut self.nodes.entry(*node).or_default().held;
                let (term, _) = *held.entry(lease.name.to_string()).or_insert((lease.term, false));
                if term == lease.term {
                    Ok(())
                } else {
                    Err(format!("{} is held anew before it was dropped", lease.name))
                }
            }
            Fact::Wants { node, effect: Effect::Drop { name } } => {
                let held = &mut self.nodes.entry(*node).or_default().held;
                held.remove(name.as_str()).map(|_| ()).ok_or_else(|| format!("{name} is dropped but was not held"))
            }
            Fact::Wants { node, effect: Effect::Tell(event) } => {
                let told = self.nodes.entry(*node).or_default();
                told.take(event).map_err(|why| format!("{why}: {event:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl Told {
    fn take(&mut self, event: &Event) -> Result<(), &'static str> {
        let run = || event.job.clone().zip(event.epoch).ok_or("a job's event without the job");
        let needs = |holds: bool, why: &'static str| if holds { Ok(()) } else { Err(why) };
        match event.kind {
            EventKind::NodeJoined => self.joined = true,
            EventKind::RoleChanged => {
                needs(event.role.is_some(), "a role without a name")?;
                needs(self.role != event.role, "a role that is the same as before")?;
                self.role = event.role;
            }
            EventKind::LeaseLost => {
                let (name, term) =
                    event.detail.as_ref().zip(event.term).ok_or("a lost lease without its name and term")?;
                let (held, lost) = self.held.get_mut(name).ok_or("a lease is lost that is not held")?;
                needs(*held == term, "a lease is lost under another term than it is held")?;
                needs(!std::mem::replace(lost, true), "a lease is lost twice")?;
            }
            EventKind::JobStarted => {
                needs(self.joined, "a job starts before the node has joined")?;
                needs(self.started.insert(run()?), "a run starts twice")?;
                needs(!self.ended.contains(&run()?), "a run starts after its end")?;
            }
            EventKind::JobStopped => needs(self.ended.insert(run()?), "a run ends twice")?,
            EventKind::JobCompleted | EventKind::JobFailed => {
                needs(self.ended.insert(run()?), "a run ends twice")?;
            }
            _ => {}
        }
        Ok(())
    }
}
