//! What is measured, how often, and where to the figures go.

use std::path::PathBuf;
use std::time::Duration;

use crate::rows;

/// How often everything is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Single calls of each kind.
    pub(crate) calls: usize,
    /// Takeovers of each kind on each store.
    pub(crate) trials: usize,
    /// For how long a rate is watched, each time.
    pub(crate) watched: Duration,
    /// The jobs of one node.
    pub(crate) jobs: [usize; 3],
    /// The nodes that beat.
    pub(crate) nodes: [usize; 3],
    /// The records that are replicated.
    pub(crate) records: u64,
    /// For how long nothing may fail over.
    pub(crate) calm: Duration,
}

const WHOLE: Scale = Scale {
    calls: 2000,
    trials: 30,
    watched: Duration::from_secs(10),
    jobs: [10, 1000, 100_000],
    nodes: [1000, 5000, 10_000],
    records: 10_000,
    calm: Duration::from_mins(10),
};

/// Enough to see that everything works, and no figure of it is worth anything.
const QUICK: Scale = Scale {
    calls: 10,
    trials: 1,
    watched: Duration::from_millis(200),
    jobs: [1, 10, 20],
    nodes: [10, 20, 40],
    records: 100,
    calm: Duration::from_secs(1),
};

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) scale: Scale,
    pub(crate) quick: bool,
    only: Option<String>,
    /// Where the CSV and the plot go.
    pub(crate) folder: PathBuf,
    /// The document, if it is to be written.
    pub(crate) document: Option<PathBuf>,
}

impl Options {
    /// From the program's arguments.
    ///
    /// # Errors
    /// How to call it.
    pub(crate) fn of(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let (mut quick, mut only, mut folder, mut document) = (false, None, here.join("target/failover-bench"), None);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| usage(&format!("`{argument}` wants a value")));
            match argument.as_str() {
                "--quick" => quick = true,
                "--only" => only = Some(value()?),
                "--folder" => folder = value()?.into(),
                "--document" => document = Some(value()?.into()),
                other => return Err(usage(&format!("`{other}` is not known"))),
            }
        }
        if let Some(name) = &only
            && !rows::ALL.iter().any(|row| row.name == name)
        {
            return Err(usage(&format!("there is no row `{name}`")));
        }
        // A part of the table does not replace the whole.
        if document.is_none() && !quick && only.is_none() {
            document = Some(here.join("BENCHMARKS.md"));
        }
        Ok(Self { scale: if quick { QUICK } else { WHOLE }, quick, only, folder, document })
    }

    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == row)
    }
}

fn usage(what: &str) -> String {
    let rows: Vec<&str> = rows::ALL.iter().map(|row| row.name).collect();
    format!(
        "failover-bench: {what}\n\
         usage: failover-bench [--quick] [--only ROW] [--folder DIR] [--document FILE]\n\
         \x20 --quick          a few of everything, to see that it works\n\
         \x20 --only ROW       one of: {}\n\
         \x20 --folder DIR     for figures.csv and figures.svg (target/failover-bench)\n\
         \x20 --document FILE  the table with machine and date (BENCHMARKS.md after a whole run)",
        rows.join(", ")
    )
}
