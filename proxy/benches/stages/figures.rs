//! Measuring and printing: the median of rounds, so that what else the machine does weighs little.

use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 15;
const CALLS: u32 = 2_000;
/// Calls a round of what can be done only once with each input.
const FRESH_CALLS_A_ROUND: u32 = 100;
/// Inputs that such a measurement takes, the round that warms up included.
pub const FRESH_CALLS: u32 = FRESH_CALLS_A_ROUND * (ROUNDS + 1);

/// The head of the table.
pub fn print_head() {
    println!("{:<44}{:>12}{:>12}", "stage", "ns a call", "budget");
}

/// What is measured.
pub struct Cost<'a> {
    name: &'a str,
    budget_us: Option<f64>,
    calls: u32,
}

impl<'a> Cost<'a> {
    /// Without a budget of its own.
    pub fn of(name: &'a str) -> Self {
        Self { name, budget_us: None, calls: CALLS }
    }

    /// With the budget of the design, microseconds.
    pub fn within_us(self, budget_us: f64) -> Self {
        Self { budget_us: Some(budget_us), ..self }
    }

    /// Of a call that needs an input of its own each time: at most [`FRESH_CALLS`] are made.
    pub fn once_each(self) -> Self {
        Self { calls: FRESH_CALLS_A_ROUND, ..self }
    }

    /// Measures `call`, prints a line, and gives the nanoseconds of a call.
    pub fn print<T>(&self, mut call: impl FnMut() -> T) -> f64 {
        let mut round = || {
            let began = Instant::now();
            for _ in 0..self.calls {
                black_box(call());
            }
            began.elapsed().as_secs_f64() * 1e9 / f64::from(self.calls)
        };
        round();
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
        rounds.sort_by(f64::total_cmp);
        let ns = rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN);
        let budget = self.budget_us.map_or_else(String::new, |us| format!("{:.0}", us * 1e3));
        let over = if self.budget_us.is_some_and(|us| ns > us * 1e3) { "  over" } else { "" };
        println!("{:<44}{ns:>12.0}{budget:>12}{over}", self.name);
        ns
    }
}
