//! A bound on how often something may be begun.

use parking_lot::Mutex;

/// At most a number of beginnings within any time of this length, give or take a whole length: two counters that move on.
#[derive(Debug)]
pub struct Pace {
    max: u32,
    window_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: i64,
    count: u32,
    before: u32,
}

impl Pace {
    /// At most `max` within `window_ms`.
    pub fn new(max: u32, window_ms: i64) -> Self {
        Self {
            max,
            window_ms: window_ms.max(1),
            state: Mutex::new(State { window: i64::MIN, count: 0, before: 0 }),
        }
    }

    /// Whether one more may begin now; then it has.
    pub fn take(&self, now_ms: i64) -> bool {
        let mut state = self.state.lock();
        let window = now_ms.div_euclid(self.window_ms);
        // Requests are judged at the time they entered, so that some are a little behind.
        if window > state.window {
            state.before = if window.checked_sub(1) == Some(state.window) { state.count } else { 0 };
            state.count = 0;
            state.window = window;
        }
        // The last window counts by the part of it that still lies within the time.
        let left = self.window_ms.saturating_sub(now_ms.rem_euclid(self.window_ms));
        let before = i64::from(state.before).saturating_mul(left) / self.window_ms;
        let fits = before.saturating_add(i64::from(state.count)) < i64::from(self.max);
        if fits {
            state.count = state.count.saturating_add(1);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_moves_on() {
        let pace = Pace::new(10, 1000);
        let begun = |at: i64, tries: usize| (0..tries).filter(|_| pace.take(at)).count();
        assert_eq!(begun(0, 50), 10);
        assert_eq!(begun(999, 50), 0);
        assert_eq!(begun(1000, 50), 0);
        assert_eq!(begun(1500, 50), 5);
        assert_eq!(begun(9000, 50), 10);
    }
}
