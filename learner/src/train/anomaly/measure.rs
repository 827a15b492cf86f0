//! What a model and simpler detectors find among labelled rows.

use crate::anomaly::AnomalyModel;
use crate::evaluate::{self, AtThreshold, Ranking, Scored};
use crate::train::{TrainError, rounded};
use crate::trees::isolation::Isolation;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything measured on rows that training did not see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// The rows, in words.
    pub on: String,
    /// The model.
    pub model: Ranking,
    /// The model on normal rows and attacks of kinds that the training data lacks, where kinds are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_kinds: Option<Ranking>,
    /// At the percentile that one normal row in a hundred passes.
    pub at_99: AtThreshold,
    /// At the percentile that one in a thousand passes.
    pub at_999: AtThreshold,
    /// Share found at the 99th percentile, by attack.
    pub recall_by_attack: BTreeMap<String, f64>,
    /// The same rows ranked by simpler means.
    pub baselines: BTreeMap<String, Ranking>,
}

/// Collects scores row by row, so that rows need not be kept.
pub(super) struct Scoring<'m> {
    model: &'m AnomalyModel,
    isolation: Option<&'m Isolation>,
    inputs: Vec<f32>,
    /// Kind of each row, `None` for normal ones.
    kinds: Vec<Option<u64>>,
    percentiles: Vec<f64>,
    baselines: BTreeMap<&'static str, Vec<f64>>,
}

impl<'m> Scoring<'m> {
    pub(super) fn new(model: &'m AnomalyModel, isolation: Option<&'m Isolation>) -> Self {
        let inputs = vec![0.0; model.encoding.inputs()];
        Self {
            model,
            isolation,
            inputs,
            kinds: Vec::new(),
            percentiles: Vec::new(),
            baselines: BTreeMap::new(),
        }
    }

    /// Scores a row as serving does; one that serving refuses is as unusual as can be. `kind` is any number for each kind
    /// of attack.
    pub(super) fn push(&mut self, numbers: &[f32], categories: &[Option<u64>], kind: Option<u64>) {
        let score = self.model.score(numbers, categories);
        self.percentiles.push(score.map_or(1.0, |score| score.percentile));
        self.kinds.push(kind);
        if self.model.ensemble.is_some() {
            let networks = score.map_or(f64::MAX, |score| f64::from(score.networks));
            self.baselines.entry("autoencoder without the forest").or_default().push(networks);
        }
        let known = self.model.encoding.apply(numbers, categories, &mut self.inputs).is_ok();
        let scores = self.model.baselines.scores(&self.inputs);
        let of_model = self.model.ensemble.as_ref().map(|ensemble| &ensemble.forest);
        let isolation =
            self.isolation.or(of_model).map(|forest| ("isolation forest", forest.score(&self.inputs)));
        for (name, score) in scores.into_iter().chain(isolation) {
            self.baselines.entry(name).or_default().push(if known { score } else { f64::MAX });
        }
    }

    /// Adds what another detector says of each row.
    pub(super) fn other(&mut self, name: &'static str, scores: Vec<f64>) {
        self.baselines.insert(name, scores);
    }

    /// Figures of all rows. `name` says what a kind is called, and `unseen` whether training data lacks it.
    pub(super) fn finish(
        self,
        on: &str,
        name: impl Fn(u64) -> String,
        unseen: Option<&dyn Fn(u64) -> bool>,
    ) -> Result<(Metrics, Vec<Scored>), TrainError> {
        let attacks = self.kinds.iter().flatten().count();
        if attacks == 0 || attacks == self.kinds.len() {
            let problem = "both normal rows and attacks are needed".to_owned();
            return Err(TrainError::Unusable { part: "test", problem });
        }
        let labelled = |scores: &[f64]| -> Vec<Scored> {
            let rows = scores.iter().zip(&self.kinds);
            rows.map(|(&score, kind)| Scored { score, positive: kind.is_some() }).collect()
        };
        let scored = labelled(&self.percentiles);
        let of_unseen = |unseen: &dyn Fn(u64) -> bool| {
            let rows = scored.iter().zip(&self.kinds).filter(|(_, kind)| kind.is_none_or(unseen));
            evaluate::ranking(&rows.map(|(row, _)| *row).collect::<Vec<_>>())
        };
        let metrics = Metrics {
            on: on.to_owned(),
            model: evaluate::ranking(&scored),
            unseen_kinds: unseen.map(of_unseen).filter(|ranking| ranking.positives > 0),
            at_99: evaluate::at_threshold(&scored, 0.99),
            at_999: evaluate::at_threshold(&scored, 0.999),
            recall_by_attack: by_attack(&self.kinds, &scored, name),
            baselines: self
                .baselines
                .iter()
                .map(|(name, scores)| ((*name).to_owned(), evaluate::ranking(&labelled(scores))))
                .collect(),
        };
        Ok((metrics, scored))
    }
}

fn by_attack(
    kinds: &[Option<u64>],
    scored: &[Scored],
    name: impl Fn(u64) -> String,
) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for (kind, row) in kinds.iter().zip(scored) {
        if let Some(attack) = kind {
            let (found, all) = counts.entry(*attack).or_default();
            *found += usize::from(row.score >= 0.99);
            *all += 1;
        }
    }
    counts.into_iter().map(|(kind, (found, all))| (name(kind), rounded(found as f64 / all as f64))).collect()
}
