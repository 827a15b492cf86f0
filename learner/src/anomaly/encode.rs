//! From the columns of a row to the network's inputs, as learned from training data.

use super::Unavailable;
use super::network::WIDTH_MAX;
use serde::{Deserialize, Serialize};

/// A number becomes a normal score by its place among the values of training (van der Waerden, 1952), standardised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// `[value, score]`, both rising; values between two knots have scores between theirs.
    pub knots: Vec<[f32; 2]>,
    /// How far beyond the outer knots' scores a value can get: extremes stay apart, and none can drown all other inputs.
    pub tail: f32,
    /// Distance beyond the outer knots at which half of the tail is reached; above zero.
    pub reach: f32,
    /// Score of a missing value: the mean of training.
    pub imputed: f32,
    /// Whether an input of its own says that the value is missing.
    pub flagged: bool,
}

impl Number {
    fn score(&self, value: f32) -> f32 {
        if value.is_nan() {
            return self.imputed;
        }
        let above = self.knots.partition_point(|knot| knot[0] <= value);
        match (above.checked_sub(1).and_then(|below| self.knots.get(below)), self.knots.get(above)) {
            (Some([left, low]), Some([right, high])) => {
                low + (high - low) * ((value - left) / (right - left)).clamp(0.0, 1.0)
            }
            (Some([last, score]), None) => score + self.tail(value - last),
            (None, Some([first, score])) => score - self.tail(first - value),
            (None, None) => 0.0,
        }
    }

    /// Rises with the distance all the way.
    fn tail(&self, distance: f32) -> f32 {
        let ratio = distance / self.reach;
        if ratio.is_finite() { self.tail * (ratio / (1.0 + ratio)) } else { self.tail }
    }
}

/// What is known of one level of a category.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Hash of its text; `None` is the level of missing values.
    pub hash: Option<u64>,
    /// How rare it is: a third of the negative logarithm of its share.
    pub rarity: f32,
    /// Which of the category's inputs is 1 for it; `None`: the one of all others.
    pub input: Option<u16>,
}

/// A category becomes one input a frequent level, one for all others, and its rarity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Category {
    /// Levels of training by hash, rising.
    pub levels: Vec<Level>,
    /// Levels with an input of their own.
    pub frequent: u16,
    /// Rarity of a level that training never saw.
    pub unseen: f32,
}

impl Category {
    /// Fills in `slots`; shape `[frequent + 2]`.
    fn write(&self, value: Option<u64>, slots: &mut [f32]) {
        let known = self.levels.binary_search_by(|level| level.hash.cmp(&value));
        let level = known.ok().and_then(|at| self.levels.get(at));
        slots.fill(0.0);
        let own = level.and_then(|level| level.input).unwrap_or(self.frequent);
        slots.get_mut(usize::from(own)).into_iter().for_each(|slot| *slot = 1.0);
        slots.last_mut().into_iter().for_each(|slot| *slot = level.map_or(self.unseen, |level| level.rarity));
    }
}

/// The inputs of a model from the columns of a row, numbers first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    /// One a numeric column.
    pub numbers: Vec<Number>,
    /// One a categorical column.
    pub categories: Vec<Category>,
}

impl Encoding {
    /// How many inputs each column has, numbers first.
    pub fn widths(&self) -> impl Iterator<Item = usize> {
        let numbers = self.numbers.iter().map(|number| 1 + usize::from(number.flagged));
        numbers.chain(self.categories.iter().map(|category| usize::from(category.frequent) + 2))
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.widths().sum()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.numbers.len() + self.categories.len()
    }

    /// Fills in `out`, shape `[inputs]`, from the numbers (`NaN` is missing) and the hashes of categories of a row.
    ///
    /// # Errors
    /// [`Unavailable::BadInput`] for infinities and for other numbers of columns than were learned.
    pub fn apply(
        &self,
        numbers: &[f32],
        categories: &[Option<u64>],
        out: &mut [f32],
    ) -> Result<(), Unavailable> {
        if numbers.len() != self.numbers.len()
            || categories.len() != self.categories.len()
            || numbers.iter().any(|value| value.is_infinite())
        {
            return Err(Unavailable::BadInput);
        }
        let mut rest = out;
        for (number, &value) in self.numbers.iter().zip(numbers) {
            rest = fill(rest, 1, |slots| slots.fill(number.score(value)))?;
            if number.flagged {
                rest = fill(rest, 1, |slots| slots.fill(f32::from(u8::from(value.is_nan()))))?;
            }
        }
        for (category, &value) in self.categories.iter().zip(categories) {
            rest = fill(rest, usize::from(category.frequent) + 2, |slots| category.write(value, slots))?;
        }
        Ok(())
    }

    /// Whether it can be applied.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rising = |knots: &[[f32; 2]]| {
            knots.is_sorted_by(|[a, low], [b, high]| a < b && low <= high) && !knots.is_empty()
        };
        let number = |number: &Number| {
            rising(&number.knots)
                && number
                    .knots
                    .iter()
                    .flatten()
                    .chain([&number.imputed, &number.reach, &number.tail])
                    .all(|n| n.is_finite())
                && number.reach > 0.0
                && number.tail > 0.0
        };
        let category = |category: &Category| {
            category.levels.is_sorted_by(|a, b| a.hash < b.hash)
                && category.levels.iter().all(|level| {
                    level.rarity.is_finite() && level.input.is_none_or(|input| input < category.frequent)
                })
                && category.unseen.is_finite()
        };
        match self.inputs() {
            0 => Err("no inputs".to_owned()),
            inputs if inputs > WIDTH_MAX => Err(format!("{inputs} inputs, at most {WIDTH_MAX} are possible")),
            _ if self.numbers.iter().all(number) && self.categories.iter().all(category) => Ok(()),
            _ => Err("an input's encoding is out of range".to_owned()),
        }
    }
}

/// Hands the first `width` slots to `write` and gives the rest.
fn fill(slots: &mut [f32], width: usize, write: impl FnOnce(&mut [f32])) -> Result<&mut [f32], Unavailable> {
    let (first, rest) = slots.split_at_mut_checked(width).ok_or(Unavailable::BadInput)?;
    write(first);
    Ok(rest)
}
