//! What the figures were measured on.

use std::{fs, process::Command, thread};

use softhsm_tests::process::run;

/// A machine and the program's version.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    /// When it began: other work on the machine shows here.
    pub(crate) load_average: String,
    pub(crate) commit: String,
    pub(crate) at: String,
}

impl Machine {
    /// This one; what it doesn't tell is "unknown".
    pub(crate) fn describe() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let processor = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let memory = memory.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        let commit = run(Command::new("git").args(["describe", "--always", "--dirty"]));
        Self {
            processor: processor.map_or_else(unknown, |(_, model)| model.to_owned()),
            processors: thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory.unwrap_or_default() / (1024 * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
            commit: commit.map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            at: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        }
    }
}
