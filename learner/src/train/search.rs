//! Which settings classify best: a grid and random draws, judged on rows that are later than those trained on, in parallel,
//! every trial on record as soon as it is done.

mod draws;
mod folds;
mod log;

pub(super) use folds::{Fold, folds, has_validation};
pub use log::TRIALS_FILE;
pub(super) use log::{Basis, TrialLog};

use super::dataset::Dataset;
use super::methods::{Candidate, ModelKind};
use super::{Part, Progress, TrainError, binning, rounded};
use crate::evaluate::{self, Scored};
use crate::fraud::{Method, Term};
use parking_lot::Mutex;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How settings are searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Search {
    /// Candidates of each kind that are drawn at random, beside the grid.
    pub random: usize,
    /// Expanding windows that candidates are judged on, 1 or more, the validation rows last; `None`: the validation rows
    /// alone, or where there are none the mapping's folds, or the latest quarter of the training rows.
    pub folds: Option<usize>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Model and settings.
    pub candidate: serde_json::Value,
    /// AUPRC on each fold's validation rows.
    pub auprc: Vec<f64>,
    /// Their mean.
    pub mean: f64,
}

/// What the search ends with.
pub(super) struct Winner {
    pub(super) kind: ModelKind,
    pub(super) candidate: Candidate,
    /// Fitted on each fold's training rows; none where the trial is known from an earlier run.
    pub(super) methods: Option<Vec<Method>>,
    pub(super) trials: Vec<Trial>,
}

/// Tries the candidates of the kinds on the folds; of those equally good the first wins. The same for the same seed,
/// whatever the number of threads and whatever is in the log already.
///
/// # Errors
/// A [`TrainError`] that names the fold that cannot teach, why a candidate cannot be fitted, or why the log cannot be
/// written.
pub(super) fn search(
    data: &Dataset,
    folds: &[Fold<'_>],
    (kinds, seed, random): (&[ModelKind], u64, usize),
    log: Option<&TrialLog>,
    progress: &mut dyn Progress,
) -> Result<Winner, TrainError> {
    for (at, fold) in folds.iter().enumerate() {
        fold.check(data, (at + 1, folds.len()))?;
    }
    let mut candidates: Vec<(ModelKind, Candidate)> = Vec::new();
    for &kind in kinds {
        let grid = Candidate::grid(kind, data.train.rows(), seed).into_iter();
        let drawn = (0..random).map(|number| draws::candidate(kind, number, seed));
        candidates.extend(grid.chain(drawn).map(|candidate| (kind, candidate)));
    }
    // Here and not by whichever candidate comes first: the others would wait for it.
    let bins = |fold: &Fold<'_>| binning::learn(&fold.parts(data)[0]);
    let terms: Option<Vec<Vec<Term>>> =
        kinds.contains(&ModelKind::Logistic).then(|| folds.iter().map(bins).collect());
    progress.stage("comparing settings", candidates.len() as u64);
    let progress = Mutex::new(progress);
    let best: Mutex<Option<Best>> = Mutex::new(None);
    let one = |(number, (_, candidate)): (usize, &(ModelKind, Candidate))| -> Result<Trial, TrainError> {
        let settings = as_json(candidate)?;
        let known = log.and_then(|log| log.known(&settings));
        let trial = match known {
            Some(trial) => {
                Best::offer(&best, trial.mean, number, None);
                trial
            }
            None => {
                let begun = Instant::now();
                let (trial, methods) = tried(candidate, settings, data, folds, terms.as_deref())?;
                log.map_or(Ok(()), |log| log.append(&trial, begun.elapsed()))?;
                Best::offer(&best, trial.mean, number, Some(methods));
                trial
            }
        };
        progress.lock().step();
        Ok(trial)
    };
    let trials: Vec<Result<Trial, TrainError>> = candidates.par_iter().enumerate().map(one).collect();
    let trials = trials.into_iter().collect::<Result<Vec<Trial>, TrainError>>()?;
    let nothing = || TrainError::Fit("nothing was tried".to_owned());
    let Best { number, methods, .. } = best.into_inner().ok_or_else(nothing)?;
    let (kind, candidate) = candidates.into_iter().nth(number).ok_or_else(nothing)?;
    Ok(Winner { kind, candidate, methods, trials })
}

/// The best of the trials that are done, the only one whose fitted methods are kept.
struct Best {
    mean: f64,
    number: usize,
    methods: Option<Vec<Method>>,
}

impl Best {
    /// Keeps the better one; of equals the one that stands first, whichever was done first.
    fn offer(best: &Mutex<Option<Self>>, mean: f64, number: usize, methods: Option<Vec<Method>>) {
        let mut best = best.lock();
        let better = |known: &Self| mean > known.mean || (mean == known.mean && number < known.number);
        if best.as_ref().is_none_or(better) {
            *best = Some(Self { mean, number, methods });
        }
    }
}

fn tried(
    candidate: &Candidate,
    settings: serde_json::Value,
    data: &Dataset,
    folds: &[Fold<'_>],
    terms: Option<&[Vec<Term>]>,
) -> Result<(Trial, Vec<Method>), TrainError> {
    let (mut methods, mut auprc) = (Vec::new(), Vec::new());
    for (at, fold) in folds.iter().enumerate() {
        let [train, validate] = fold.parts(data);
        let terms = terms.and_then(|terms| terms.get(at)).map(Vec::as_slice);
        let method = candidate.fit(&train, Some(&validate), terms)?;
        auprc.push(evaluate::auprc(&scores(&validate, &method)));
        methods.push(method);
    }
    let mean = rounded(auprc.iter().sum::<f64>() / auprc.len().max(1) as f64);
    let auprc = auprc.into_iter().map(rounded).collect();
    Ok((Trial { candidate: settings, auprc, mean }, methods))
}

/// A candidate as reports and logs show it.
pub(super) fn as_json(candidate: &Candidate) -> Result<serde_json::Value, TrainError> {
    serde_json::to_value(candidate).map_err(|error| TrainError::Report(error.to_string()))
}

/// Raw scores of a part.
pub(super) fn scores(part: &Part, method: &Method) -> Vec<Scored> {
    let mut row = vec![0.0; part.frame.width()];
    let score = |at: usize| {
        part.frame.row(at, &mut row);
        Scored { score: method.raw(&row), positive: part.labels[at] }
    };
    (0..part.rows()).map(score).collect()
}

#[cfg(test)]
mod tests;
