//! Numbers as sums modulo 2^64 carry them: fixed point, two's complement.

use super::CryptoError;
use super::entropy::{Entropy, normal};

/// Units of the last place in 1.
pub(super) const SCALE: f64 = (1u64 << 24) as f64;
/// One party's numbers stay below this in units of the last place, so that 255 parties' sums do not wrap around.
const LARGEST: f64 = (1u64 << 52) as f64;

/// Values in fixed point. What is no number counts as 0, what is too large as the largest.
pub(super) fn encode(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| fixed(value * SCALE)).collect()
}

fn fixed(scaled: f64) -> u64 {
    // `as` rounds to zero and makes NaN 0.
    (scaled.round().clamp(-LARGEST, LARGEST) as i64).cast_unsigned()
}

/// A sum as numbers again.
pub(super) fn decode(values: &[u64]) -> Vec<f64> {
    values.iter().map(|value| value.cast_signed() as f64 / SCALE).collect()
}

/// Adds normal noise of this standard deviation to each value. The value is on the grid before, and the noise is rounded to
/// it: what comes out is the Gaussian mechanism's answer, rounded, and says no more than that. The grid is far coarser than
/// the gaps between floating-point numbers, which would otherwise betray the value (Mironov 2012).
pub(super) fn add_noise(
    values: &mut [u64],
    deviation: f64,
    entropy: &mut dyn Entropy,
) -> Result<(), CryptoError> {
    if deviation > 0.0 {
        for value in values {
            *value = value.wrapping_add(fixed(normal(entropy)? * deviation * SCALE));
        }
    }
    Ok(())
}

/// A sum that changes by what is added, rounded to the grid, and by nothing else, in whatever order: floating-point sums also
/// change by how they were rounded before, which no bound of what is added covers (Casacuberta et al. 2022).
pub(super) struct Exact(Vec<i64>);

impl Exact {
    /// Zeros.
    pub(super) fn new(length: usize) -> Self {
        Self(vec![0; length])
    }

    /// Adds a vector.
    pub(super) fn add(&mut self, values: &[f64]) {
        let grid = values.iter().map(|value| fixed(value * SCALE).cast_signed());
        self.0.iter_mut().zip(grid).for_each(|(sum, value)| *sum = sum.saturating_add(value));
    }

    /// The sum; exact up to the largest number that one party may give.
    pub(super) fn values(&self) -> Vec<f64> {
        self.0.iter().map(|sum| *sum as f64 / SCALE).collect()
    }
}

/// How far rounding moves a vector of this length at most, Euclidean norm.
pub(super) fn rounding(length: usize) -> f64 {
    (length as f64).sqrt() / SCALE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federate::entropy::SeededEntropy;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_number_does_no_harm() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300];
        let largest = LARGEST / SCALE;
        assert_eq!(decode(&encode(&odd)), [0.0, largest, -largest, largest]);
        let mut sum = 0u64;
        (0..255).for_each(|_| sum = sum.wrapping_add(encode(&odd)[3]));
        assert_eq!(decode(&[sum]), [255.0 * largest], "255 parties do not wrap around");
    }

    #[test]
    fn noise_has_its_deviation() {
        let mut values = vec![encode(&[3.0])[0]; 10_000];
        add_noise(&mut values, 2.0, &mut SeededEntropy::new(4)).unwrap();
        let values = decode(&values);
        let mean = values.iter().sum::<f64>() / 1e4;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e4).sqrt();
        assert!((mean - 3.0).abs() < 0.06 && (deviation - 2.0).abs() < 0.05, "{mean} {deviation}");
    }

    proptest! {
        #[test]
        fn sums_of_encoded_are_encoded_sums(values in prop::collection::vec(-1e5f64..1e5, 1..20)) {
            let sum = values.iter().fold(0u64, |sum, value| sum.wrapping_add(encode(&[*value])[0]));
            let error = (decode(&[sum])[0] - values.iter().sum::<f64>()).abs();
            prop_assert!(error <= 0.5 * values.len() as f64 / SCALE + 1e-9);
            prop_assert!((decode(&encode(&values))[0] - values[0]).abs() <= rounding(1));
        }
    }
}
