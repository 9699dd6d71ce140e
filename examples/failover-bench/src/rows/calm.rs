//! No false failover: a busy machine, a host that blocks its runtime, and short leases.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::node::{Part, Said};
use crate::options::Scale;
use crate::pair::{Actor, now};
use crate::results::{Goal, Line, Results};
use crate::stores::{Kind, Store};

pub(super) const ABOUT: &str = "**no false failover**: two nodes on Redis with a ttl of 500 ms, each of which blocks every worker of its runtime for 200 ms again and again, beside four busy loops: how often \
    the active role changed hands, and how often somebody wrote under an older token after a newer one was used.";

const TTL: Duration = Duration::from_millis(500);
const BEAT: Duration = Duration::from_millis(100);
const BLOCKS: Duration = Duration::from_millis(200);
const LOOPS: usize = 4;

/// A process that never rests. Killed when it is dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Outcome<Self> {
        // It ends with its input's other end, should this program be killed.
        let script = "while :; do :; done & loop=$!; trap '' HUP INT TERM; cat >/dev/null; kill -KILL $loop";
        Ok(Self(Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _status = self.0.wait();
    }
}

/// What two nodes said, in the order of the moments at which they said it.
#[derive(Default)]
struct Seen {
    owned: Vec<(u64, u64)>,
    promoted: usize,
}

impl Seen {
    fn hear(&mut self, said: &Said) {
        match said.what.as_str() {
            "promote" => self.promoted += 1,
            "own" => self.owned.push((said.at, said.term)),
            _ => {}
        }
    }

    /// How often somebody wrote under an older token than was in use.
    fn late(mut self) -> usize {
        self.owned.sort_unstable();
        let mut highest = 0;
        let older = |(_, term): &&(u64, u64)| {
            highest = highest.max(*term);
            *term < highest
        };
        self.owned.iter().filter(older).count()
    }
}

pub(super) async fn measure(scale: &Scale, results: &mut Results) -> Outcome<()> {
    let store = Store::start(Kind::Redis)?;
    let part = |node: &str| Part {
        url: store.url(),
        cluster: "calm".into(),
        node: node.into(),
        beat: BEAT,
        ttl: TTL,
        jobs: 0,
        blocks: Some(BLOCKS),
        chatty: true,
    };
    let mut seen = Seen::default();
    let mut one = Actor::start(&part("n1"))?;
    one.until("promote").await?;
    let mut two = Actor::start(&part("n2"))?;
    two.until("standby").await?;
    let loops = (0..LOOPS).map(|_| Busy::start()).collect::<Outcome<Vec<_>>>()?;
    let (start, whole) = (now(), scale.calm);
    while now().since(start) < whole {
        let left = whole.saturating_sub(now().since(start)).min(Duration::from_secs(1));
        tokio::select! {
            said = one.next() => seen.hear(&said?),
            said = two.next() => seen.hear(&said?),
            () = tokio::time::sleep(left) => {}
        }
        results.progress("no false failover, s", now().since(start).as_secs(), whole.as_secs());
    }
    drop(loops);
    for node in [one, two] {
        drop(node);
    }
    let (changes, late) = (seen.promoted, seen.late());
    for (what, count) in [("false failovers", changes), ("double owners", late)] {
        let (what, values) = (what.to_owned(), vec![f64::from(u32::try_from(count)?)]);
        results.add(Line { what, store: store.kind.name(), unit: "", values, bare: Vec::new(), goal: Goal::Each(0.0) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(owned: &[(u64, u64)]) -> usize {
        Seen { owned: owned.to_vec(), promoted: 0 }.late()
    }

    #[test]
    fn who_writes_under_an_older_token_is_found_whatever_order_it_was_heard_in() {
        assert_eq!(late(&[(1, 1), (2, 1), (3, 2), (5, 2)]), 0);
        assert_eq!(late(&[(3, 2), (4, 1), (1, 1), (5, 1)]), 2);
    }
}
