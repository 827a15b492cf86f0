//! The ways to classify: which settings are tried, and how one is fitted.

use super::{Part, TrainError, binning, scorecard};
use crate::frame::Frame;
use crate::fraud::{Method, Scorecard, Term};
use crate::svm;
use crate::trees::{Examples, boosted, forest, tree};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Rows of each class that the logistic regression's optimiser sees, while settings are compared and in the end.
const ROWS_COMPARED: usize = 20_000;
const ROWS_FITTED: usize = 80_000;
/// Above so many rows, boosted trees are not compared but fitted with settings that suit large tables.
const BOOSTED_COMPARED: usize = 300_000;

/// Which model to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Logistic regression over bins, straight terms and crosses.
    Logistic,
    /// A decision tree.
    Tree,
    /// A random forest.
    Forest,
    /// A linear support vector machine.
    Svm,
    /// Gradient-boosted trees.
    Boosted,
}

impl ModelKind {
    /// All of them, the explainable champion first.
    pub const ALL: [Self; 5] = [Self::Logistic, Self::Boosted, Self::Forest, Self::Tree, Self::Svm];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Tree => "tree",
            Self::Forest => "forest",
            Self::Svm => "svm",
            Self::Boosted => "boosted",
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A way to classify with all its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "model", rename_all = "lowercase")]
pub(super) enum Candidate {
    Logistic(scorecard::Settings),
    Tree(tree::Settings),
    Forest(forest::Settings),
    Svm(svm::Settings),
    Boosted(boosted::Settings),
}

impl Candidate {
    /// What is tried of a kind on so many training rows.
    pub(super) fn grid(kind: ModelKind, rows: usize, seed: u64) -> Vec<Self> {
        match kind {
            ModelKind::Logistic => {
                let base = Self::logistic(seed);
                [
                    (0.0, 1, 3.0),
                    (0.0, 1, 30.0),
                    (0.0, 1, 300.0),
                    (0.5, 1, 30.0),
                    (1.0, 1, 100.0),
                    (0.0, 3, 100.0),
                ]
                .map(|(smote_ratio, class_weight, l2)| {
                    Self::Logistic(scorecard::Settings { smote_ratio, class_weight, l2, ..base })
                })
                .to_vec()
            }
            ModelKind::Tree => [6, 8]
                .map(|depth| Self::Tree(tree::Settings { depth, seed, ..tree::Settings::default() }))
                .to_vec(),
            ModelKind::Forest => {
                let base = forest::Settings::default();
                let tree = tree::Settings { seed, ..base.tree.clone() };
                vec![Self::Forest(forest::Settings { tree, ..base })]
            }
            ModelKind::Svm => [0.01, 0.1]
                .map(|cost| Self::Svm(svm::Settings { cost, seed, ..svm::Settings::default() }))
                .to_vec(),
            ModelKind::Boosted => boosted_grid(rows, seed),
        }
    }

    /// What comparisons of logistic regressions start from.
    pub(super) fn logistic(seed: u64) -> scorecard::Settings {
        scorecard::Settings {
            smote_ratio: 0.0,
            class_weight: 1,
            l2: 30.0,
            crosses: 12,
            rows_max: ROWS_COMPARED,
            seed,
        }
    }

    /// What comparisons of boosted trees start from.
    pub(super) fn boosted(seed: u64) -> boosted::Settings {
        boosted::Settings {
            learning_rate: 0.06,
            l2: 50.0,
            child_weight_min: 1.0,
            row_share: 0.7,
            column_share: 0.5,
            patience: 30,
            seed,
            ..boosted::Settings::default()
        }
    }

    /// The same for the final fit.
    pub(super) fn settled(&self) -> Self {
        match self {
            Self::Logistic(settings) => {
                Self::Logistic(scorecard::Settings { rows_max: ROWS_FITTED, ..*settings })
            }
            other => other.clone(),
        }
    }

    /// Fits on a part; what learns step by step stops where `validate` says. `terms` are the part's bins, which settings of a
    /// logistic regression have in common, where they are known already.
    pub(super) fn fit(
        &self,
        train: &Part,
        validate: Option<&Part>,
        terms: Option<&[Term]>,
    ) -> Result<Method, TrainError> {
        let weights = train.row_weights();
        let examples = Examples { frame: &train.frame, labels: &train.labels, weights: weights.as_deref() };
        let failed = |error: crate::trees::FitError| TrainError::Fit(error.to_string());
        Ok(match self {
            Self::Logistic(settings) => Method::Scorecard(scorecard::fit(train, settings, terms)?),
            Self::Tree(settings) => Method::Trees(tree::fit(&examples, settings).map_err(failed)?),
            Self::Forest(settings) => Method::Trees(forest::fit(&examples, settings).map_err(failed)?),
            Self::Svm(settings) => Method::Scorecard(machine(train, settings)?),
            Self::Boosted(settings) => {
                let beside = validate.and_then(Part::row_weights);
                let validation = validate.map(|part| Examples {
                    frame: &part.frame,
                    labels: &part.labels,
                    weights: beside.as_deref(),
                });
                let fitted = boosted::fit(&examples, validation.as_ref(), settings).map_err(failed)?;
                Method::Trees(fitted.trees)
            }
        })
    }

    /// The settings for a fit without validation rows, after a fit with them came out as `method`.
    pub(super) fn as_stopped(&self, method: &Method) -> Self {
        match (self, method) {
            (Self::Boosted(settings), Method::Trees(trees)) => {
                Self::Boosted(boosted::Settings { trees: trees.count().max(1), ..settings.clone() })
            }
            _ => self.clone(),
        }
    }
}

fn boosted_grid(rows: usize, seed: u64) -> Vec<Candidate> {
    let base = Candidate::boosted(seed);
    if rows > BOOSTED_COMPARED {
        return vec![Candidate::Boosted(base)];
    }
    [(6, 0.07, 30.0), (4, 0.07, 5.0), (3, 0.1, 5.0), (6, 0.04, 10.0)]
        .map(|(depth, learning_rate, l2)| {
            Candidate::Boosted(boosted::Settings { depth, learning_rate, l2, ..base.clone() })
        })
        .to_vec()
}

/// A support vector machine over binned evidence and standardised values, folded into a scorecard.
fn machine(train: &Part, settings: &svm::Settings) -> Result<Scorecard, TrainError> {
    let terms = binning::learn(train);
    let design = scorecard::straight_and_binned(train, &terms);
    let mut frame = Frame::new(Vec::new());
    for (at, column) in design.columns().into_iter().enumerate() {
        frame.append(format!("design {at}"), column.iter().map(|&value| value as f32).collect());
    }
    let examples = Examples { frame: &frame, labels: &train.labels, weights: None };
    let fitted = svm::fit(&examples, settings).map_err(|error| TrainError::Fit(error.to_string()))?;
    let weights: Vec<f64> = fitted.weights.iter().copied().chain([fitted.intercept]).collect();
    Ok(scorecard::scorecard(&terms, &[], &weights))
}
