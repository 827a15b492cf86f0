//! Folds in the order of time: each is trained on earlier rows than it is judged on.

use crate::fraud::Derived;
use crate::train::dataset::{Dataset, FoldParts, relevelled};
use crate::train::derived;
use crate::train::{Part, TrainError};
use std::borrow::Cow;
use std::ops::Range;

/// Fewer positive validation rows than this choose nothing.
const POSITIVES_MIN: usize = 10;
/// Share of the training rows that the search judges on where there are no validation rows, the latest ones.
const HELD_BACK: f64 = 0.25;

/// Rows to fit candidates on and rows to judge them on.
#[derive(Debug, Clone)]
pub(in crate::train) enum Fold<'a> {
    /// Parts that the data set has.
    Parts([&'a Part; 2]),
    /// Rows of the training part. They are copied while they are needed: a fold of every window at once would be most of
    /// the table several times over. The inputs that its own training rows make of the others are fitted once.
    Rows([Vec<usize>; 2], Option<Box<Derived>>),
}

/// Whether the data set's validation part is large enough to choose by.
pub(in crate::train) fn has_validation(data: &Dataset) -> bool {
    data.validate.positives() >= POSITIVES_MIN
}

/// The folds. With a number of them, expanding windows over the training part (Bergmeir and Benítez, 2012), and the
/// validation part, if there is one, as the last. Else the validation part; or the mapping's folds; or the latest quarter
/// of the training rows.
///
/// # Errors
/// A fold has too few rows to make the wanted inputs of.
pub(in crate::train) fn folds(data: &Dataset, number: Option<usize>) -> Result<Vec<Fold<'_>>, TrainError> {
    let mut folds = chosen(data, number);
    folds.iter_mut().try_for_each(|fold| fold.derive(data))?;
    Ok(folds)
}

fn chosen(data: &Dataset, number: Option<usize>) -> Vec<Fold<'_>> {
    let last = has_validation(data).then_some(Fold::Parts([&data.train, &data.validate]));
    match number {
        Some(number) => {
            let within = number.max(1) - usize::from(last.is_some());
            windows(data, within).into_iter().chain(last).collect()
        }
        None if last.is_some() => last.into_iter().collect(),
        None if !data.folds.is_empty() => {
            data.folds.iter().map(|FoldParts { train, validate }| Fold::Parts([train, validate])).collect()
        }
        None => {
            let rows = data.train.rows();
            let cut = (rows as f64 * (1.0 - HELD_BACK)) as usize;
            vec![window(data, cut..rows)]
        }
    }
}

/// Windows over the training part in equal pieces, one more than there are folds: the first is only trained on.
fn windows(data: &Dataset, number: usize) -> Vec<Fold<'_>> {
    let (rows, pieces) = (data.train.rows(), number + 1);
    let at = |piece: usize| rows * piece / pieces;
    (1..pieces).map(|piece| window(data, at(piece)..at(piece + 1))).collect()
}

/// A fold that is judged on these training rows and fitted on those before them.
fn window(data: &Dataset, judged: Range<usize>) -> Fold<'_> {
    let fitted = 0..known_by(data, judged.start);
    Fold::Rows([fitted.collect(), data.unknown_customers(judged)], None)
}

/// How many of the training rows' labels are known when the row at `cut` happens; all before it in a table without time.
fn known_by(data: &Dataset, cut: usize) -> usize {
    let inputs = data.schema.inputs();
    match data.train.at_ms.get(cut) {
        Some(&from_ms) if inputs.time => {
            let until_ms = from_ms.saturating_sub(i64::from(inputs.label_delay_s) * 1_000);
            data.train.at_ms[..cut].partition_point(|&at_ms| at_ms < until_ms)
        }
        _ => cut,
    }
}

impl<'a> Fold<'a> {
    /// Rows to fit on and to judge on. What is learned of categories, and what further inputs are made by, is learned from
    /// the fold's own training rows.
    pub(in crate::train) fn parts(&self, data: &'a Dataset) -> [Cow<'a, Part>; 2] {
        match self {
            Self::Parts(parts) => parts.map(Cow::Borrowed),
            Self::Rows(rows, own) => {
                let mut parts = rows_of(rows, data);
                if let Some(own) = own {
                    parts.iter_mut().for_each(|part| derived::add(own, part));
                }
                parts.map(Cow::Owned)
            }
        }
    }

    /// Fits the inputs that are made of the others on the fold's own training rows, where the data have such inputs.
    fn derive(&mut self, data: &Dataset) -> Result<(), TrainError> {
        if let (Self::Rows(rows, own), Some(deriving)) = (self, &data.derived) {
            let [train, _] = rows_of(rows, data);
            *own = Some(Box::new(deriving.anew(&train)?));
        }
        Ok(())
    }

    /// Makes sure that it teaches and measures something; `place` is its number and that of all folds.
    pub(super) fn check(&self, data: &Dataset, place: (usize, usize)) -> Result<(), TrainError> {
        let (positives, fitted) = match self {
            Self::Parts(parts) => (parts.map(Part::positives), parts[0].rows()),
            Self::Rows(rows, _) => {
                let positive = |at: &&usize| data.train.labels.get(**at) == Some(&true);
                (rows.each_ref().map(|rows| rows.iter().filter(positive).count()), rows[0].len())
            }
        };
        let unusable = |part: &'static str, problem: String| Err(TrainError::Unusable { part, problem });
        if positives[1] < 2 {
            let problem = format!("{} positive rows are too few to choose anything by", positives[1]);
            return unusable("validation", problem + &hint(place));
        }
        if positives[0] < 2 || fitted - positives[0] < 2 {
            let problem = format!("{} positive rows of {fitted} teach nothing", positives[0]);
            return unusable("training", problem + &hint(place));
        }
        Ok(())
    }
}

/// Rows of the training part without derived columns.
fn rows_of(rows: &[Vec<usize>; 2], data: &Dataset) -> [Part; 2] {
    relevelled(rows.each_ref().map(|rows| data.train.select(rows)), data)
}

fn hint((number, of): (usize, usize)) -> String {
    if of > 1 { format!(" (fold {number} of {of}; fewer folds have more)") } else { String::new() }
}
