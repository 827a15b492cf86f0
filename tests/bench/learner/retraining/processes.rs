//! What the kernel says of processes: CPU time, children, and how their threads are scheduled.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// `sysconf(_SC_CLK_TCK)` of every Linux that this runs on.
const TICKS_A_SECOND: u64 = 100;

/// Fields of a `stat` file behind the name, which may hold anything; field 3 of proc(5) comes first.
fn stat(path: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], places: impl IntoIterator<Item = usize>) -> Duration {
    let sum: u64 = places.into_iter().filter_map(|at| fields.get(at)?.parse::<u64>().ok()).sum();
    Duration::from_millis(sum * 1_000 / TICKS_A_SECOND)
}

/// CPU time of a process so far; nothing where it is gone.
pub fn cpu(pid: u32) -> Duration {
    stat(&format!("/proc/{pid}/stat")).map_or(Duration::ZERO, |fields| ticks(&fields, [11, 12]))
}

/// CPU time of the whole machine so far that was not idle: all but idle and waiting for disks.
pub fn busy() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
    ticks(&fields, [0, 1, 2, 5, 6, 7])
}

/// The processes that `pid` started.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Its threads by scheduling class and niceness, as `idle, nice 19`.
pub fn scheduled(pid: u32) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let Some(fields) = stat(&task.path().join("stat").to_string_lossy()) else { continue };
        // Fields 41 and 19 of proc(5); classes as in sched(7).
        let (class, nice) = (fields.get(38).map(String::as_str), fields.get(16).map_or("?", String::as_str));
        let class = match class {
            Some("0") => "other",
            Some("3") => "batch",
            Some("5") => "idle",
            _ => "another class",
        };
        *found.entry(format!("{class}, nice {nice}")).or_insert(0) += 1;
    }
    found
}
