//! Says what the learner did and why, in words an operator understands.

use super::actions::{LIMIT_ACTIONS, SPLIT_ACTIONS};
use super::agent::{Choice, QLearning, Why};
use super::signals::{LIMIT_SIGNALS, SPLIT_SIGNALS, Situation, words};
use super::table::Table;
use crate::capacity::controller::{ActionValues, Explanation, Mode};

impl QLearning {
    /// The last choice in words and figures.
    pub(super) fn explanation(&self, choice: &Choice) -> Explanation {
        let Situation { limit_state, split_state, ratio } = choice.situation;
        Explanation {
            state: format!(
                "latency {ratio:.2} times normal; {}; {}",
                words(&LIMIT_SIGNALS, limit_state),
                words(&SPLIT_SIGNALS, split_state)
            ),
            action: self.action_words(choice),
            reason: self.reason(choice),
            q_values: vec![
                values_of("limit", &self.learnt.limit, limit_state, choice.limit.action, |action| {
                    LIMIT_ACTIONS.get(action).map(|action| action.name)
                }),
                values_of("split", &self.learnt.split, split_state, choice.split.action, |action| {
                    SPLIT_ACTIONS.get(action).map(|action| action.name)
                }),
            ],
            reward: self.reward,
            fallback: choice.limit.why.is_fallback() || choice.split.why.is_fallback(),
        }
    }

    fn action_words(&self, choice: &Choice) -> String {
        match self.mode {
            Mode::Freeze => "nothing".to_owned(),
            Mode::Static => "the configured allocation".to_owned(),
            Mode::Gradient | Mode::QLearning => format!(
                "{}, split: {}",
                LIMIT_ACTIONS.get(choice.limit.action).map_or("?", |action| action.name),
                SPLIT_ACTIONS.get(choice.split.action).map_or("?", |action| action.name)
            ),
        }
    }

    fn reason(&self, choice: &Choice) -> String {
        match self.mode {
            Mode::Freeze => return "the operator froze the allocation".to_owned(),
            Mode::Static => return "the operator chose the configured allocation".to_owned(),
            Mode::Gradient => return "the operator chose the gradient controller".to_owned(),
            Mode::QLearning => {}
        }
        let limit = choice.limit.why.words(self.learnt.limit.visits(choice.situation.limit_state));
        let split = choice.split.why.words(self.learnt.split.visits(choice.situation.split_state));
        format!("limit: {limit}; split: {split}")
    }
}

impl Why {
    const fn is_fallback(self) -> bool {
        matches!(self, Self::TooSeldom | Self::Suspended)
    }

    fn words(self, visits: u32) -> String {
        match self {
            Self::Best => format!("the best known action after {visits} visits of this state"),
            Self::Exploring => "trying an action beside the best one that is worth nearly as much".to_owned(),
            Self::TooSeldom => {
                format!("fall-back to the gradient controller: only {visits} visits of this state")
            }
            Self::Suspended => {
                "fall-back to the gradient controller: rewards fell below their long-run mean".to_owned()
            }
            Self::Mode => "the operator's choice".to_owned(),
        }
    }
}

fn values_of(
    name: &str,
    table: &Table,
    state: usize,
    chosen: usize,
    action_name: impl Fn(usize) -> Option<&'static str>,
) -> ActionValues {
    let values = table.row(state).map(|row| row.values.as_slice()).unwrap_or_default();
    let named = |action: usize| action_name(action).unwrap_or("?").to_owned();
    ActionValues {
        table: name.to_owned(),
        chosen: named(chosen),
        visits: table.visits(state),
        values: values.iter().enumerate().map(|(action, value)| (named(action), *value)).collect(),
    }
}
