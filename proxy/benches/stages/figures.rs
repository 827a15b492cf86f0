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

    /// Measures `call` and prints a line.
    pub fn print<T>(&self, mut call: impl FnMut() -> T) {
        let mut round = || round(self.calls, &mut call);
        round();
        self.print_line(median((0..ROUNDS).map(|_| round()).collect()));
    }

    fn print_line(&self, ns: f64) {
        let budget = self.budget_us.map_or_else(String::new, |us| format!("{:.0}", us * 1e3));
        let over = if self.budget_us.is_some_and(|us| ns > us * 1e3) { "  over" } else { "" };
        println!("{:<44}{ns:>12.0}{budget:>12}{over}", self.name);
    }
}

/// One of several things that are compared.
pub type Compared<'a> = (&'a str, &'a mut dyn FnMut());

/// Measures things in turn, round by round, prints a line for each, and gives for each the median of its ratio to the first
/// in the same round: what else the machine does meets all of them alike. Each is called at most [`FRESH_CALLS`] times.
pub fn compare<const N: usize>(mut all: [Compared<'_>; N]) -> [f64; N] {
    let mut rounds: Vec<[f64; N]> = Vec::new();
    for _ in 0..=ROUNDS {
        rounds.push(std::array::from_fn(|at| {
            all.get_mut(at).map_or(f64::NAN, |(_, call)| round(FRESH_CALLS_A_ROUND, call))
        }));
    }
    // The first round warms up.
    let over = |value: &dyn Fn(&[f64; N]) -> f64| median(rounds.iter().skip(1).map(value).collect());
    let own = |round: &[f64; N], at: usize| round.get(at).copied().unwrap_or(f64::NAN);
    for (at, (name, _)) in all.iter().enumerate() {
        Cost::of(name).print_line(over(&|round| own(round, at)));
    }
    std::array::from_fn(|at| over(&|round| own(round, at) / own(round, 0)))
}

/// Nanoseconds of one of `calls` calls.
fn round<T>(calls: u32, call: &mut (impl FnMut() -> T + ?Sized)) -> f64 {
    let began = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
