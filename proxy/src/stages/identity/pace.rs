//! A bound on how often something may be begun.

use parking_lot::Mutex;

/// Requests are judged at the time they entered, this long ago at most.
const LATE_MS_MAX: i64 = 10_000;

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
        // Who is a little late is judged by the window of the others; who is further back has a clock that was set back.
        let ahead = state.window.saturating_sub(window);
        let set_back = ahead > 1 && ahead.saturating_mul(self.window_ms) > LATE_MS_MAX;
        if window > state.window || set_back {
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

    #[test]
    fn latecomers_begin_nothing_anew_and_a_clock_that_was_set_back_does() {
        let pace = Pace::new(10, 1000);
        let begun = |at: i64, tries: usize| (0..tries).filter(|_| pace.take(at)).count();
        assert_eq!(begun(100_000, 50), 10);
        for (late, now) in [(99_990, 100_000), (95_000, 100_001), (90_001, 100_002)] {
            assert_eq!((begun(late, 50), begun(now, 50)), (0, 0), "entered at {late}");
        }
        // An hour back, and a long window by little more than itself.
        let back = 100_000 - 3_600_000;
        assert_eq!((begun(back, 50), begun(back, 50)), (10, 0));
        let long = Pace::new(10, 600_000);
        let begun = |at: i64| (0..50).filter(|_| long.take(at)).count();
        assert_eq!((begun(1_800_000), begun(1_799_999), begun(1_199_999), begun(1_200_000)), (10, 0, 10, 0));
    }
}
