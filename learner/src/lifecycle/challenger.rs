//! From labelled vectors to a challenger, with what must be known before anybody promotes it.

use super::compare::{Comparison, Pair, compare};
use super::drift::Baseline;
use super::join::{Joined, LabelledVector, periods};
use super::model::Model;
use crate::artifact::{Manifest, hex};
use crate::train::{ModelKind, TrainError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Fewer frauds or others than this in a period teach nothing.
const EACH_MIN: usize = 10;

/// What to train.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The model in force.
    pub champion: &'a Model,
    /// The latest row that the champion was trained or chosen on, unix milliseconds; `None` where it was trained on other
    /// data altogether.
    pub champion_seen_ms: Option<i64>,
    /// Which kind of model.
    pub kind: ModelKind,
    /// Seed of everything random.
    pub seed: u64,
}

/// A model that would like to be champion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenger {
    /// What it was trained on, for the watch on drift.
    pub baseline: Baseline,
    /// Champion against challenger on the newest period, which neither has seen; `None` where it holds too few frauds or
    /// others to tell.
    pub comparison: Option<Comparison>,
    /// Rows of training, validation and the newest period.
    pub rows: [usize; 3],
    /// Frauds among them.
    pub frauds: [usize; 3],
    /// The latest row that it was trained or chosen on, unix milliseconds.
    pub seen_ms: i64,
}

/// Trains a challenger on one thread; its artifact's bytes and what is to be known of it. The same rows and seed give the
/// same bytes.
///
/// # Errors
/// The periods hold too few frauds or others, or the optimiser failed.
pub fn train(joined: Joined, challenge: &Challenge<'_>) -> Result<(Vec<u8>, Challenger), TrainError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| TrainError::Fit(error.to_string()))?;
    pool.install(|| fit(joined, challenge))
}

fn fit(joined: Joined, challenge: &Challenge<'_>) -> Result<(Vec<u8>, Challenger), TrainError> {
    let champion = challenge.champion;
    let labelled = joined.labelled;
    let plain = |row: LabelledVector| {
        let vector = champion.plain(&row.vector)?.to_vec();
        Some(LabelledVector { vector, ..row })
    };
    let rows = joined.rows.into_iter().filter_map(plain).collect();
    let periods = periods(rows, challenge.champion_seen_ms);
    for (part, rows) in [("training", &periods.train), ("validation", &periods.validate)] {
        let frauds = frauds(rows);
        if frauds < EACH_MIN || rows.len() - frauds < EACH_MIN {
            let problem = format!(
                "{frauds} frauds in {} vectors whose truth is known; at least {EACH_MIN} of each kind are needed",
                rows.len()
            );
            return Err(TrainError::Unusable { part, problem });
        }
    }
    let parts = [&periods.train, &periods.validate, &periods.newest];
    let (sizes, positives) = (parts.map(|rows| rows.len()), parts.map(|rows| frauds(rows)));
    let mut manifest = Manifest {
        schema_hash: champion.manifest().schema_hash.clone(),
        data: format!("{} recorded transfers, {labelled} of them labelled", sizes.iter().sum::<usize>()),
        data_fingerprint: fingerprint(&periods.train),
        seed: challenge.seed,
        command: "POST /api/v1/models/fraud/retrain".to_owned(),
        metrics: serde_json::Value::Null,
        baseline: None,
    };
    let fitted = champion.another(&periods, challenge.kind, challenge.seed)?;
    let model = Model::from_bytes(&fitted.artifact(manifest.clone())?)?;
    let comparison = compared(champion, &model, &periods.newest, challenge.seed);
    manifest.metrics = serde_json::json!({ "rows": sizes, "frauds": positives, "comparison": comparison });
    let artifact = fitted.artifact(manifest)?;
    let seen_ms = periods.validate.last().map_or(i64::MIN, |row| row.at_ms);
    let baseline = baseline(&model, &periods.train);
    Ok((artifact, Challenger { baseline, comparison, rows: sizes, frauds: positives, seen_ms }))
}

fn frauds(rows: &[LabelledVector]) -> usize {
    rows.iter().filter(|row| row.fraud).count()
}

/// Both models on rows that neither has seen.
fn compared(champion: &Model, challenger: &Model, rows: &[LabelledVector], seed: u64) -> Option<Comparison> {
    let pair = |row: &LabelledVector| {
        Some(Pair {
            champion: champion.probability(&row.vector)?,
            challenger: challenger.probability(&row.vector)?,
            fraud: row.fraud,
        })
    };
    let pairs: Vec<Pair> = rows.iter().filter_map(pair).collect();
    compare(&pairs, [rows.first()?.at_ms, rows.last()?.at_ms], seed)
}

/// Bins of the training part, with the probabilities that the model gives it.
fn baseline(model: &Model, rows: &[LabelledVector]) -> Baseline {
    let known =
        |row: &LabelledVector| Some((model.own(&row.vector)?.into_owned(), model.probability(&row.vector)?));
    let known: Vec<(Vec<f32>, f64)> = rows.iter().filter_map(known).collect();
    let scored: Vec<(&[f32], f64)> = known.iter().map(|(vector, said)| (vector.as_slice(), *said)).collect();
    Baseline::learn(model.names().to_vec(), &scored)
}

fn fingerprint(rows: &[LabelledVector]) -> String {
    let mut digest = Sha256::new();
    for LabelledVector { at_ms, vector, cents, fraud } in rows {
        digest.update(at_ms.to_le_bytes());
        vector.iter().for_each(|value| digest.update(value.to_le_bytes()));
        digest.update(cents.to_le_bytes());
        digest.update([u8::from(*fraud)]);
    }
    hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::super::join::{JudgedVector, join};
    use super::*;
    use crate::behaviour::{ProfileLimits, Profiles};
    use crate::fraud::FraudScorer;
    use crate::simulate::{self, TransferSettings};

    const SHIPPED: &[u8] = include_bytes!("../../../configs/models/fraud/model.artifact");

    /// A bank's recorded transfers, with labels for the frauds.
    fn recorded() -> Vec<JudgedVector> {
        let scorer = FraudScorer::from_bytes(SHIPPED).unwrap();
        let (profiles, mut rows) = (Profiles::new(ProfileLimits::default()), Vec::new());
        let town = TransferSettings { customers: 400, ..TransferSettings::small(11) };
        for recorded in simulate::transfers(town) {
            let mut vector = Vec::new();
            recorded.event.seen(|event| {
                scorer.model().vector(&profiles, event, &mut vector);
                profiles.attempt(event);
                profiles.accept(event);
            });
            let (at_ms, cents) = (recorded.event.at_ms, recorded.event.amount_cents());
            let label = recorded.fraud.filter(|&fraud| fraud).map(|fraud| (fraud, at_ms));
            rows.push(JudgedVector { at_ms, vector, cents, accepted: true, label });
        }
        rows
    }

    #[test]
    fn a_challenger_is_measured_on_what_neither_has_seen() {
        let champion = Model::from_bytes(SHIPPED).unwrap();
        let rows = recorded();
        let now_ms = rows.iter().map(|row| row.at_ms).max().unwrap();
        let joined = || join(rows.clone(), 0, now_ms);
        let challenge =
            Challenge { champion: &champion, champion_seen_ms: None, kind: ModelKind::Boosted, seed: 5 };
        let (artifact, made) = train(joined(), &challenge).unwrap();
        let model = Model::from_bytes(&artifact).unwrap();
        assert_eq!(model.manifest().schema_hash, champion.manifest().schema_hash);
        assert_ne!(model.digest(), champion.digest());
        let comparison = made.comparison.clone().unwrap();
        assert!(comparison.period_ms[0] > made.seen_ms, "{comparison:?} {}", made.seen_ms);
        assert_eq!((comparison.rows, comparison.frauds), (made.rows[2], made.frauds[2]));
        // One in a hundred is fraud: 0.01 is a guess. The shipped champion has learnt from ten times as many.
        assert!(comparison.challenger.auprc > 0.3, "{comparison:?}");
        assert!(made.baseline.is_sound() && made.baseline.rows == made.rows[0]);
        assert_eq!(train(joined(), &challenge).unwrap(), (artifact, made), "the same rows, the same bytes");

        let seen = Challenge { champion_seen_ms: Some(now_ms), ..challenge };
        let (_, made) = train(joined(), &seen).unwrap();
        assert_eq!((made.rows[2], made.comparison), (0, None), "the champion knows every row");
    }

    #[test]
    fn what_the_champion_derives_the_challenger_derives_anew_and_old_vectors_teach_it() {
        let rows = recorded();
        let now_ms = rows.iter().map(|row| row.at_ms).max().unwrap();
        let plain = Model::from_bytes(SHIPPED).unwrap();
        // A champion with clusters, made of recorded vectors.
        let joined = join(rows.clone(), 0, now_ms);
        let periods = periods(joined.rows, None);
        let fitted = plain.with_inputs(&periods, "clusters=4".parse().unwrap(), 3).unwrap();
        let manifest = Manifest { baseline: None, ..plain.manifest().clone() };
        let champion = Model::from_bytes(&fitted.artifact(manifest).unwrap()).unwrap();
        assert!(champion.names().iter().any(|name| name == "cluster 4"));
        let challenge =
            Challenge { champion: &champion, champion_seen_ms: None, kind: ModelKind::Boosted, seed: 5 };
        let (artifact, made) = train(join(rows.clone(), 0, now_ms), &challenge).unwrap();
        let challenger = Model::from_bytes(&artifact).unwrap();
        assert_eq!(challenger.names(), champion.names());
        assert!(made.baseline.is_sound() && made.baseline.names == challenger.names());
        let comparison = made.comparison.unwrap();
        assert!(comparison.challenger.auprc > 0.3, "{comparison:?}");
        // Vectors as either of them records them are worth the same to it.
        let row = &rows[rows.len() / 2].vector;
        let of_champion = champion.own(row).unwrap().into_owned();
        assert_eq!(of_champion.len(), champion.names().len());
        assert_eq!(challenger.probability(row), challenger.probability(&of_champion));
        assert_eq!(plain.probability(row), plain.probability(&of_champion));
        assert_eq!(challenger.probability(&row[1..]), None);
    }

    #[test]
    fn too_little_to_learn_from_is_said() {
        let champion = Model::from_bytes(SHIPPED).unwrap();
        let challenge =
            Challenge { champion: &champion, champion_seen_ms: None, kind: ModelKind::Tree, seed: 5 };
        let honest: Vec<_> = recorded().into_iter().filter(|row| row.label.is_none()).collect();
        let now_ms = i64::MAX;
        let error = train(join(honest, 0, now_ms), &challenge).unwrap_err().to_string();
        assert!(error.contains("training part: 0 frauds"), "{error}");
        assert!(train(Joined::default(), &challenge).is_err());
    }
}
