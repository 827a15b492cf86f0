//! Settings drawn at random (Bergstra and Bengio, 2012): rates and penalties evenly on a log scale.

use crate::simulate::Random;
use crate::svm;
use crate::train::methods::{Candidate, ModelKind};
use crate::train::rounded;
use crate::trees::{boosted, forest, tree};
use sha2::{Digest, Sha256};

/// The candidate of that number; it depends on nothing but the three.
pub(super) fn candidate(kind: ModelKind, number: usize, seed: u64) -> Candidate {
    let mut random = random(kind, number, seed);
    let draw = &mut random;
    match kind {
        ModelKind::Logistic => {
            let mut settings = Candidate::logistic(seed);
            settings.l2 = log_uniform(draw, 1.0, 1_000.0);
            settings.smote_ratio = if draw.chance(0.5) { 0.0 } else { uniform(draw, 0.1, 1.0) };
            settings.class_weight = 1 + draw.below(5);
            settings.crosses = draw.below(25);
            Candidate::Logistic(settings)
        }
        ModelKind::Tree => Candidate::Tree(tree::Settings {
            depth: 4 + draw.below(7),
            leaf_share_min: log_uniform(draw, 0.0005, 0.02),
            smoothing: log_uniform(draw, 1.0, 50.0),
            seed,
            ..tree::Settings::default()
        }),
        ModelKind::Forest => {
            let base = forest::Settings::default();
            let tree = tree::Settings {
                depth: 8 + draw.below(7),
                leaf_share_min: log_uniform(draw, 0.0001, 0.005),
                seed,
                ..base.tree
            };
            Candidate::Forest(forest::Settings { column_share: uniform(draw, 0.2, 1.0), tree, ..base })
        }
        ModelKind::Svm => Candidate::Svm(svm::Settings {
            cost: log_uniform(draw, 0.001, 1.0),
            seed,
            ..svm::Settings::default()
        }),
        ModelKind::Boosted => Candidate::Boosted(boosted::Settings {
            depth: 3 + draw.below(4),
            learning_rate: log_uniform(draw, 0.02, 0.2),
            l2: log_uniform(draw, 1.0, 100.0),
            child_weight_min: log_uniform(draw, 1.0, 30.0),
            row_share: uniform(draw, 0.5, 1.0),
            column_share: uniform(draw, 0.3, 1.0),
            ..Candidate::boosted(seed)
        }),
    }
}

fn random(kind: ModelKind, number: usize, seed: u64) -> Random {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((number as u64).to_le_bytes());
    hash.update(kind.name());
    let digest = hash.finalize();
    Random::new(digest.iter().take(8).fold(0, |bits, &byte| (bits << 8) | u64::from(byte)))
}

/// Six digits, within the bounds: the last bits of a logarithm differ between machines.
fn uniform(random: &mut Random, low: f64, high: f64) -> f64 {
    rounded(low + (high - low) * random.uniform()).clamp(low, high)
}

fn log_uniform(random: &mut Random, low: f64, high: f64) -> f64 {
    rounded(low * (high / low).powf(random.uniform())).clamp(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Settings by JSON pointer, each with its lowest and highest value.
    type Ranges = &'static [(&'static str, f64, f64)];

    #[test]
    fn draws_lie_in_their_ranges_reach_their_ends_and_depend_on_nothing_else() {
        let ranges: [(ModelKind, Ranges); 5] = [
            (
                ModelKind::Logistic,
                &[
                    ("/l2", 1.0, 1_000.0),
                    ("/smote_ratio", 0.0, 1.0),
                    ("/class_weight", 1.0, 5.0),
                    ("/crosses", 0.0, 24.0),
                ],
            ),
            (
                ModelKind::Tree,
                &[("/depth", 4.0, 10.0), ("/leaf_share_min", 0.0005, 0.02), ("/smoothing", 1.0, 50.0)],
            ),
            (
                ModelKind::Forest,
                &[
                    ("/column_share", 0.2, 1.0),
                    ("/tree/depth", 8.0, 14.0),
                    ("/tree/leaf_share_min", 0.0001, 0.005),
                ],
            ),
            (ModelKind::Svm, &[("/cost", 0.001, 1.0)]),
            (
                ModelKind::Boosted,
                &[
                    ("/depth", 3.0, 6.0),
                    ("/learning_rate", 0.02, 0.2),
                    ("/l2", 1.0, 100.0),
                    ("/child_weight_min", 1.0, 30.0),
                    ("/row_share", 0.5, 1.0),
                    ("/column_share", 0.3, 1.0),
                ],
            ),
        ];
        for (kind, ranges) in ranges {
            let json = |number: usize| serde_json::to_value(candidate(kind, number, 7)).unwrap();
            let drawn: Vec<serde_json::Value> = (0..200).map(json).collect();
            for &(name, low, high) in ranges {
                let values = drawn.iter().map(|value| value.pointer(name).unwrap().as_f64().unwrap());
                let [least, most] = values.fold([f64::MAX, f64::MIN], |[a, b], x| [a.min(x), b.max(x)]);
                assert!(least >= low && most <= high, "{kind} {name}: {least} to {most}");
                // Every tenth of the range, by its own scale, has draws at both ends.
                let reach = if low > 0.0 && high / low > 9.0 { (high / low).powf(0.1) } else { 1.0 };
                let near = if reach > 1.0 {
                    [low * reach, high / reach]
                } else {
                    [low + 0.1 * (high - low), high - 0.1 * (high - low)]
                };
                assert!(least <= near[0] && most >= near[1], "{kind} {name}: {least} to {most}");
            }
            let different: HashSet<String> = drawn.iter().map(ToString::to_string).collect();
            assert_eq!(different.len(), drawn.len(), "{kind}");
            assert_ne!(candidate(kind, 3, 8), candidate(kind, 3, 7), "{kind}");
        }
    }
}
