//! Random bytes of the protocol, and noise made of them.

use std::f64::consts::TAU;

use super::CryptoError;
use super::mask::KeyStream;

/// Where random bytes come from.
pub trait Entropy: Send {
    /// Fills `out`.
    ///
    /// # Errors
    /// The source gives none.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError>;
}

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        aws_lc_rs::rand::fill(out).map_err(|_| CryptoError)
    }
}

/// The same bytes for the same seed: for figures that can be made again, never among real banks, as who knows the seed
/// takes off masks and noise.
pub struct SeededEntropy(KeyStream);

impl SeededEntropy {
    /// Everything follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key.iter_mut().zip(seed.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
        Self(KeyStream::new(key))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.0.fill(out)
    }
}

/// A draw of the standard normal distribution (Box and Muller), from 2 times 64 random bits.
///
/// # Errors
/// There are no random bytes.
pub(super) fn normal(entropy: &mut dyn Entropy) -> Result<f64, CryptoError> {
    let mut uniform = || {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes)?;
        // In (0, 1], so that its logarithm is finite.
        Ok(((u64::from_le_bytes(bytes) >> 11) as f64 + 1.0) / (1u64 << 53) as f64)
    };
    let radius = (-2.0 * f64::ln(uniform()?)).sqrt();
    Ok(radius * (TAU * uniform()?).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal() {
        let mut entropy = SeededEntropy::new(1);
        let draws: Vec<f64> = (0..20_000).map(|_| normal(&mut entropy).unwrap()).collect();
        let moment = |power: i32| draws.iter().map(|x| x.powi(power)).sum::<f64>() / draws.len() as f64;
        for (power, expected, within) in [(1, 0.0, 0.03), (2, 1.0, 0.04), (3, 0.0, 0.1), (4, 3.0, 0.2)] {
            assert!((moment(power) - expected).abs() < within, "moment {power}: {}", moment(power));
        }
        let beyond = draws.iter().filter(|x| x.abs() > 1.959_964).count() as f64 / draws.len() as f64;
        assert!((beyond - 0.05).abs() < 0.005, "{beyond} beyond 1.96");
    }

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed| {
            let mut out = [0; 40];
            SeededEntropy::new(seed).fill(&mut out).unwrap();
            out
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        let mut twice = [[0; 16]; 2];
        let mut entropy = SeededEntropy::new(1);
        twice.iter_mut().for_each(|part| entropy.fill(part).unwrap());
        assert_ne!(twice[0], twice[1]);
    }
}
