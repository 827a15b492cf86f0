//! Reads a table by its mapping and says what is in it, how fast it was read, and in how much memory:
//! `cargo run --release -p learner --example read_table -- DATA MAPPING`.

use learner::table::{self, Mapping};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, mapping] = arguments.as_slice() else {
        return Err("read_table DATA MAPPING".into());
    };
    let mapping = Mapping::read(Path::new(mapping))?;
    let start = Instant::now();
    let mut sum = 0.0;
    let summary = table::read(Path::new(data), &mapping, &mut |record| {
        sum += record.amount.unwrap_or(0.0);
        ControlFlow::Continue(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    summary.remarks().iter().for_each(|remark| println!("{remark}"));
    println!("labels {:?}, span {:?} ms, sum of amounts {sum:.2}", summary.labels, summary.span_ms);
    println!("fingerprint {}", summary.fingerprint);
    println!(
        "{} of {} rows in {seconds:.2} s, {:.0} rows/s",
        summary.delivered,
        summary.rows,
        summary.rows as f64 / seconds
    );
    // Linux alone says how much memory a process had at most.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}
