//! Who used the processor: run times of all threads of some processes, as Linux keeps them (`/proc/PID/schedstat`).

use std::{collections::BTreeMap, fs};

use super::figure::Part;

/// Nanoseconds on a processor, by process and kind of thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpu(BTreeMap<String, u64>);

impl Cpu {
    /// What these processes have used until now; `(name, process)`. Their children count as `name's children`.
    pub(crate) fn used(processes: &[(&str, u32)]) -> Self {
        let mut used = BTreeMap::new();
        for &(name, process) in processes {
            add(&mut used, name, process);
            for child in children(process).into_iter().filter(|_| name == "signer") {
                add(&mut used, &format!("{name}'s worker"), child);
            }
        }
        Self(used)
    }

    /// What was used since then, in microseconds for each of `things`; the largest first.
    pub(crate) fn since(&self, before: &Self, things: f64) -> Vec<Part> {
        let mut parts: Vec<Part> = self
            .0
            .iter()
            .map(|(name, now)| {
                let used = now.saturating_sub(before.0.get(name).copied().unwrap_or_default());
                Part {
                    name: name.clone(),
                    us: std::time::Duration::from_nanos(used).as_secs_f64() * 1e6 / things,
                }
            })
            .filter(|part| part.us >= 0.5)
            .collect();
        parts.sort_by(|one, other| other.us.total_cmp(&one.us));
        parts
    }
}

fn add(used: &mut BTreeMap<String, u64>, name: &str, process: u32) {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return };
    for task in tasks.flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let run_time = read("schedstat").split(' ').next().and_then(|text| text.parse::<u64>().ok());
        let thread = read("comm");
        // Threads of a kind differ in a number at the end.
        let kind = thread.trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        *used.entry(format!("{name}: {kind}")).or_default() += run_time.unwrap_or_default();
    }
}

fn children(process: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|id| id.parse().ok()).collect()
}
