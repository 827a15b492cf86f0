//! Work that runs when nobody else wants the processor.

use std::fs;
use std::process::{Command, Stdio};

/// The calling thread, and those that it starts from now on, give way to every other thread at once (`SCHED_IDLE`,
/// sched(7)). Niceness alone is not enough: a request that wakes up beside a thread of niceness 19 may wait out its slice,
/// some milliseconds. Where the system has no such class, or no `chrt`, all stays as it was; answers whether it is so now.
///
/// A thread like this must hold nothing that a request may wait for: it may be kept waiting for long itself.
pub fn step_back() -> bool {
    // "PID/task/TID"; systems other than Linux have neither this nor the class.
    let Ok(thread) = fs::read_link("/proc/thread-self") else { return false };
    let Some(id) = thread.file_name() else { return false };
    let mut chrt = Command::new("chrt");
    chrt.args(["-i", "-p", "0"]).arg(id);
    chrt.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    chrt.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 41 of proc(5).
    fn class() -> String {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap().to_owned()
    }

    #[test]
    fn a_thread_and_its_threads_step_back_and_no_other() {
        const SCHED_IDLE: &str = "5";
        let before = class();
        let found = std::thread::spawn(|| {
            assert!(step_back(), "chrt is part of util-linux");
            [class(), std::thread::spawn(class).join().unwrap()]
        });
        assert_eq!(found.join().unwrap(), [SCHED_IDLE; 2]);
        assert_eq!(class(), before);
    }
}
