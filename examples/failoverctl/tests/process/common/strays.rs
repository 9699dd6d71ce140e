//! Finding the processes that descend from a test, wherever they have gone.

use std::collections::BTreeMap;

use rustix::process::Pid;

/// The environment variable by which they are found.
pub(super) const MARK: &str = "FAILOVER_TEST_MARK";

/// A living process, by what `/proc` says of it.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) pid: Pid,
    pub(crate) name: String,
    pub(super) environment: BTreeMap<String, String>,
}

/// The living processes with this mark. A zombie has no environment and is none.
pub(super) fn marked(mark: &str) -> Vec<Stray> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let strays = pids.filter_map(|pid| {
        let read = |what: &str| std::fs::read(format!("/proc/{}/{what}", pid.as_raw_nonzero())).ok();
        let environment = String::from_utf8_lossy(&read("environ")?).into_owned();
        // Only what is the program's: the rest is nobody's business in a log.
        let ours =
            environment.split('\0').filter_map(|v| v.split_once('=')).filter(|(k, _)| k.starts_with("FAILOVER_"));
        let environment: BTreeMap<_, _> = ours.map(|(k, v)| (k.into(), v.into())).collect();
        let name = String::from_utf8_lossy(&read("comm")?).trim_end().to_owned();
        (environment.get(MARK).map(String::as_str) == Some(mark)).then_some(Stray { pid, name, environment })
    });
    strays.collect()
}
