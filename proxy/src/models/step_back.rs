//! Work that runs when nobody else wants the processor.

use std::fs;
use std::process::{Command, Stdio};

/// Niceness of work that gives way.
pub const NICENESS: &str = "19";

/// The calling thread, and those that it starts from now on, give way to every other thread. Where there is no `renice`, all
/// stays as it was; answers whether it is so now.
///
/// It is niceness and no more: `SCHED_IDLE` and a session of its own, which has its own share of the processor (sched(7),
/// autogroup), were measured as well, and requests waited longer beside both (`tests/bench/learner/README.md`).
///
/// A thread like this must hold nothing that a request may wait for: it may be kept waiting for long itself.
pub fn step_back() -> bool {
    // "PID/task/TID"; other systems than Linux give threads no niceness of their own.
    let Ok(thread) = fs::read_link("/proc/thread-self") else { return false };
    let Some(id) = thread.file_name() else { return false };
    let mut renice = Command::new("renice");
    renice.args(["-n", NICENESS, "-p"]).arg(id);
    renice.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    renice.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 19 of proc(5).
    fn niceness() -> String {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_owned()
    }

    #[test]
    fn a_thread_and_its_threads_step_back_and_no_other() {
        let before = niceness();
        let found = std::thread::spawn(|| {
            assert!(step_back(), "renice is part of POSIX");
            [niceness(), std::thread::spawn(niceness).join().unwrap()]
        });
        assert_eq!(found.join().unwrap(), [NICENESS; 2]);
        assert_eq!(niceness(), before);
    }
}
