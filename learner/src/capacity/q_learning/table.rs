//! One table of action values: Q(s,a) <- Q(s,a) + alpha (r + gamma max Q(s',.) - Q(s,a)).

/// Values, visits and mean rewards of a small set of states and actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    rows: Vec<Row>,
}

/// One state.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Value of each action.
    pub values: Vec<f64>,
    /// How often each action was taken here.
    pub visits: Vec<u32>,
    /// Mean reward of what was done here, whatever it was.
    pub reward: f64,
}

/// How fast a table learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Least step.
    pub least: f64,
    /// The step after n visits is 1 / (1 + n * decay), but not less than `least`.
    pub decay: f64,
    /// Greatest step.
    pub most: f64,
    /// Weight of what comes after, 0 to 1.
    pub discount: f64,
}

impl Table {
    /// Knows nothing.
    #[must_use]
    pub fn new(states: usize, actions: usize) -> Self {
        let row = Row { values: vec![0.0; actions], visits: vec![0; actions], reward: 0.0 };
        Self { rows: vec![row; states] }
    }

    /// A state's row.
    #[must_use]
    pub fn row(&self, state: usize) -> Option<&Row> {
        self.rows.get(state)
    }

    /// A state's row, to be filled from an artifact.
    pub fn row_mut(&mut self, state: usize) -> Option<&mut Row> {
        self.rows.get_mut(state)
    }

    /// All rows in order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// How often a state was visited.
    #[must_use]
    pub fn visits(&self, state: usize) -> u32 {
        self.rows.get(state).map_or(0, Row::visits)
    }

    /// The best value in a state, of the actions ever tried there; `None` when none was.
    #[must_use]
    pub fn best(&self, state: usize) -> Option<f64> {
        let row = self.rows.get(state)?;
        row.tried().map(|(_, value)| value).max_by(f64::total_cmp)
    }

    /// The action to take: the best one that was tried `visits_min` times, unless `usual` is within `margin` of
    /// it; `None` when none was tried often enough.
    #[must_use]
    pub fn choose(&self, state: usize, usual: usize, margin: f64, visits_min: u32) -> Option<usize> {
        let row = self.rows.get(state)?;
        let known = |action: usize| row.visits.get(action).is_some_and(|visits| *visits >= visits_min);
        let (best, value) =
            row.tried().filter(|(action, _)| known(*action)).max_by(|a, b| a.1.total_cmp(&b.1))?;
        let usual_will_do =
            known(usual) && row.values.get(usual).is_some_and(|usual| *usual >= value - margin);
        Some(if usual_will_do { usual } else { best })
    }

    /// The step of the learning rule. Anything that is not a number is not learnt.
    pub fn learn(&mut self, state: usize, action: usize, reward: f64, next: usize, rate: &Rate) {
        let future = self.best(next).unwrap_or(0.0);
        let Some(row) = self.rows.get_mut(state) else { return };
        let visits_here = f64::from(row.visits());
        let (Some(value), Some(visits)) = (row.values.get_mut(action), row.visits.get_mut(action)) else {
            return;
        };
        let target = reward + rate.discount * future;
        if !target.is_finite() {
            return;
        }
        let step = (1.0 / (1.0 + f64::from(*visits) * rate.decay)).max(rate.least).min(rate.most);
        *value += step * (target - *value);
        *visits = visits.saturating_add(1);
        row.reward += (1.0 / (visits_here + 1.0)).max(rate.least).min(rate.most) * (reward - row.reward);
    }

    /// Keeps every value within `leash` of what `shipped` says, so that nobody can teach it anything far from
    /// what it was trained to.
    pub fn leash(&mut self, state: usize, action: usize, shipped: &Self, leash: f64) {
        let anchor = shipped.row(state).and_then(|row| row.values.get(action)).copied().unwrap_or(0.0);
        if let Some(value) = self.rows.get_mut(state).and_then(|row| row.values.get_mut(action)) {
            *value = value.clamp(anchor - leash, anchor + leash);
        }
    }
}

impl Row {
    /// How often the state was visited.
    #[must_use]
    pub fn visits(&self) -> u32 {
        self.visits.iter().fold(0, |sum, visits| sum.saturating_add(*visits))
    }

    /// The actions that were tried, with their values.
    pub fn tried(&self) -> impl Iterator<Item = (usize, f64)> {
        let values = self.values.iter().copied().enumerate();
        values.zip(&self.visits).filter(|(_, visits)| **visits > 0).map(|(entry, _)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { least: 0.05, decay: 1.0, most: 1.0, discount: 0.5 };

    #[test]
    fn values_approach_the_discounted_reward() {
        // One state; action 1 pays 1 every time: its value is 1 / (1 - 0.5).
        let mut table = Table::new(1, 2);
        for _ in 0..2_000 {
            table.learn(0, 0, 0.2, 0, &RATE);
            table.learn(0, 1, 1.0, 0, &RATE);
        }
        assert!((table.best(0).unwrap() - 2.0).abs() < 0.02, "{:?}", table.row(0));
        assert_eq!(table.choose(0, 0, 0.1, 10), Some(1));
        assert_eq!(table.choose(0, 0, 5.0, 10), Some(0), "the usual action within the margin");
    }

    #[test]
    fn what_was_hardly_tried_is_not_chosen() {
        let mut table = Table::new(1, 2);
        table.learn(0, 1, 1.0, 0, &RATE);
        assert_eq!(table.choose(0, 0, 0.0, 2), None);
        assert_eq!(table.choose(7, 0, 0.0, 0), None, "no such state");
    }

    #[test]
    fn garbage_is_not_learnt_and_lessons_stay_on_the_leash() {
        let shipped = Table::new(1, 2);
        let mut table = shipped.clone();
        for reward in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            table.learn(0, 0, reward, 0, &RATE);
        }
        assert_eq!(table, shipped);
        for _ in 0..100 {
            table.learn(0, 0, -50.0, 0, &RATE);
            table.leash(0, 0, &shipped, 0.5);
        }
        assert_eq!(table.row(0).unwrap().values, [-0.5, 0.0]);
    }
}
