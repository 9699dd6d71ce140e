//! What a process has used, as `proc(5)` tells.

use std::time::Duration;

use crate::Outcome;

/// The time all threads of a process and of its descendants have spent on a processor.
pub(crate) fn processor_time(pid: u32) -> Outcome<Duration> {
    let mut nanos = 0;
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            // A thread may end meanwhile.
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0_u64);
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        next += 1;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The memory of a process that is in use, in MiB.
pub(crate) fn memory(pid: u32) -> Outcome<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no memory in its status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// How often a process has read and written.
pub(crate) fn system_calls(pid: u32) -> Outcome<f64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let number = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    Ok(number("syscr:").ok_or("no reads")? + number("syscw:").ok_or("no writes")?)
}
