//! Metrics of the models' life.

use learner::lifecycle::{CalibrationDrift, Drift};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// Features whose drift is a metric: the worst ones. The admin API has all.
const FEATURES_MAX: usize = 5;
const SCORE_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];

/// Handles, cheap to clone.
#[derive(Clone)]
pub struct ModelMetrics {
    /// Vectors by what became of them: `written`, `dropped` (queue full), `failed` (disk).
    pub vectors: IntCounterVec,
    /// Bytes of vectors that earlier runs left unfinished.
    pub torn_bytes: IntCounter,
    /// Labels by result: `accepted`, `unchanged`, `replaced`, `unknown`, `malformed`, `failed`.
    pub labels: IntCounterVec,
    /// Starts at which the file of labels could not be written anew.
    pub labels_not_rewritten: IntCounter,
    /// Retrainings by result: `ok`, `failed`.
    pub retrainings: IntCounterVec,
    /// Whether one is under way.
    pub retraining: IntGauge,
    /// Artifacts, cards and states that were refused.
    pub refused: IntCounter,
    /// Whether another model serves than the one that was promoted.
    pub fallback: IntGauge,
    /// Shadow scores, by how the challenger would have acted.
    pub shadow: IntCounterVec,
    /// Probabilities of the challenger.
    pub shadow_score: Histogram,
    psi: GaugeVec,
    psi_feature: GaugeVec,
    drift_rows: IntGauge,
    calibration: GaugeVec,
    calibration_deviations: Gauge,
}

impl ModelMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// A name that is registered already.
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str, known: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            r.register(Box::new(counter.clone()))?;
            // An alert sees a counter grow only if it was there before.
            known.iter().for_each(|value| {
                counter.with_label_values(&[value]);
            });
            Ok::<_, prometheus::Error>(counter)
        };
        let gauges = |name: &str, help: &str, label: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), &[label])?;
            r.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let metrics = Self {
            vectors: counters(
                "gatehouse_model_vectors_total",
                "Feature vectors of judged transfers",
                "result",
                &["written", "dropped", "failed"],
            )?,
            torn_bytes: IntCounter::new(
                "gatehouse_model_vectors_torn_bytes_total",
                "Bytes of vectors that an earlier run left unfinished",
            )?,
            labels: counters(
                "gatehouse_model_labels_total",
                "Labels of decisions",
                "result",
                &["accepted", "unchanged", "replaced", "unknown", "malformed", "failed"],
            )?,
            labels_not_rewritten: IntCounter::new(
                "gatehouse_model_labels_not_rewritten_total",
                "Starts at which the file of labels could not be written anew, and went on as it was",
            )?,
            retrainings: counters(
                "gatehouse_model_retrainings_total",
                "Challengers trained",
                "result",
                &["ok", "failed"],
            )?,
            retraining: IntGauge::new("gatehouse_model_retraining", "Whether a challenger is being trained")?,
            refused: IntCounter::new(
                "gatehouse_model_artifacts_refused_total",
                "Files of the model store that were altered, cut, unsigned or unusable",
            )?,
            fallback: IntGauge::new(
                "gatehouse_model_fallback",
                "Whether another model serves than the one that was promoted",
            )?,
            shadow: counters(
                "gatehouse_model_shadow_total",
                "Transfers that a challenger scored in shadow, by how it would have acted",
                "verdict",
                &["agrees", "stricter", "milder"],
            )?,
            shadow_score: Histogram::with_opts(
                HistogramOpts::new("gatehouse_model_shadow_score", "Fraud scores of the challenger")
                    .buckets(SCORE_BUCKETS.to_vec()),
            )?,
            psi: gauges(
                "gatehouse_model_drift_psi",
                "Population stability index against the training part, of the score and of the worst feature",
                "of",
            )?,
            psi_feature: gauges(
                "gatehouse_model_feature_drift_psi",
                "Population stability index of the features that drifted most",
                "feature",
            )?,
            drift_rows: IntGauge::new("gatehouse_model_drift_rows", "Transfers that drift is measured on")?,
            calibration: gauges(
                "gatehouse_model_calibration",
                "Share of fraud expected and observed where labels are known",
                "share",
            )?,
            calibration_deviations: Gauge::new(
                "gatehouse_model_calibration_deviations",
                "Expected less observed fraud, in standard deviations of chance",
            )?,
        };
        metrics.register_plain(r)?;
        metrics.calibration(None);
        metrics.drift(None);
        Ok(metrics)
    }

    fn register_plain(&self, r: &Registry) -> prometheus::Result<()> {
        r.register(Box::new(self.torn_bytes.clone()))?;
        r.register(Box::new(self.refused.clone()))?;
        r.register(Box::new(self.labels_not_rewritten.clone()))?;
        for gauge in [&self.retraining, &self.fallback, &self.drift_rows] {
            r.register(Box::new(gauge.clone()))?;
        }
        r.register(Box::new(self.shadow_score.clone()))?;
        r.register(Box::new(self.calibration_deviations.clone()))
    }

    /// Shows the drift; without one, zero on no rows.
    pub fn drift(&self, drift: Option<&Drift>) {
        self.psi_feature.reset();
        let worst = drift.and_then(|drift| drift.features.first()).map_or(0.0, |feature| feature.psi);
        self.psi.with_label_values(&["score"]).set(drift.map_or(0.0, |drift| drift.score));
        self.psi.with_label_values(&["worst_feature"]).set(worst);
        self.drift_rows.set(drift.map_or(0, |drift| i64::try_from(drift.rows).unwrap_or(i64::MAX)));
        match drift {
            Some(drift) => {
                for feature in drift.features.iter().take(FEATURES_MAX) {
                    self.psi_feature.with_label_values(&[&feature.feature]).set(feature.psi);
                }
            }
            // The family is there before anything drifted.
            None => self.psi_feature.with_label_values(&["-"]).set(0.0),
        }
    }

    /// Shows the calibration; without one, zero.
    pub fn calibration(&self, found: Option<&CalibrationDrift>) {
        self.calibration.with_label_values(&["expected"]).set(found.map_or(0.0, |c| c.expected));
        self.calibration.with_label_values(&["observed"]).set(found.map_or(0.0, |c| c.observed));
        self.calibration_deviations.set(found.map_or(0.0, |c| c.deviations));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use learner::lifecycle::FeatureDrift;
    use prometheus::{Encoder as _, TextEncoder};

    #[test]
    fn only_the_worst_features_have_a_line() {
        let registry = Registry::new();
        let metrics = ModelMetrics::new(&registry).unwrap();
        let features = |from: usize| {
            (from..from + 40)
                .map(|n| FeatureDrift { feature: format!("f{n}"), psi: 1.0 / n as f64 })
                .collect()
        };
        for from in [1, 2, 30] {
            metrics.drift(Some(&Drift { rows: 900, score: 0.3, features: features(from) }));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("gatehouse_model_feature_drift_psi{"));
        assert_eq!(lines.count(), FEATURES_MAX, "{text}");
        assert!(text.contains("gatehouse_model_drift_psi{of=\"score\"} 0.3"), "{text}");
        assert!(text.contains("gatehouse_model_drift_rows 900"), "{text}");
    }
}
