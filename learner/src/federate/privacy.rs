//! Differential privacy of what training gives away: (epsilon, delta) by Renyi differential privacy.
//!
//! Each release is a sum in which one unit (a customer, or a row) counts with a vector of norm at most 1, in units of the
//! clip, plus normal noise of `noise_multiplier`. Neighbouring data differ in one unit that is there or not. No
//! amplification by sampling is claimed: every unit is in every release.

/// Orders that are tried; the best one counts.
const ORDERS: [f64; 3] = [1.01, 256.0, 1.02];

/// Epsilon of `releases` sums with this noise multiplier at `delta`.
///
/// Renyi divergence of the Gaussian mechanism: `order / (2 sigma^2)`, added up over releases (Mironov, "Renyi differential
/// privacy", 2017, corollary 3 and proposition 1); to (epsilon, delta) as Balle, Barthe, Gaboardi, Hsu and Sato,
/// "Hypothesis testing interpretations and Renyi differential privacy", 2020, theorem 21.
pub fn epsilon(noise_multiplier: f64, releases: f64, delta: f64) -> f64 {
    if releases <= 0.0 {
        return 0.0;
    }
    if !(noise_multiplier > 0.0 && delta > 0.0 && delta < 1.0) {
        return f64::INFINITY;
    }
    let at = |order: f64| {
        let renyi = order * releases / (2.0 * noise_multiplier * noise_multiplier);
        renyi + ((order - 1.0) / order).ln() - (delta.ln() + order.ln()) / (order - 1.0)
    };
    // Orders grow with a constant ratio of what is above one.
    let [first, last, ratio] = ORDERS;
    let mut above = first - 1.0;
    let mut best = f64::INFINITY;
    while above < last {
        best = best.min(at(1.0 + above));
        above *= ratio;
    }
    best.max(0.0)
}

/// The least noise multiplier, to a part in a million, with which `releases` sums stay within `epsilon_max` at `delta`.
/// `None` where none up to a million does.
pub fn noise_multiplier(epsilon_max: f64, releases: f64, delta: f64) -> Option<f64> {
    let (mut low, mut high) = (1e-3, 1e6);
    if epsilon(high, releases, delta) > epsilon_max {
        return None;
    }
    while high / low > 1.0 + 1e-6 {
        let middle = f64::sqrt(low * high);
        if epsilon(middle, releases, delta) > epsilon_max { low = middle } else { high = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise multiplier, releases, delta, epsilon; worked out independently and exact, by Balle and Wang 2018, theorem 8 (normal distribution function of SciPy), for the
    /// composition of Gaussian mechanisms, which is one with `sigma / sqrt(releases)`.
    const EXACT: [(f64, f64, f64, f64); 5] = [
        (1.0, 1.0, 1e-5, 4.377178),
        (2.0, 1.0, 1e-6, 2.254085),
        (10.0, 60.0, 1e-6, 3.662437),
        (4.0, 30.0, 1e-5, 6.325715),
        (20.0, 48.0, 1e-6, 1.509771),
    ];

    #[test]
    fn never_below_the_exact_epsilon_and_not_far_above() {
        for (sigma, releases, delta, exact) in EXACT {
            let ours = epsilon(sigma, releases, delta);
            assert!(ours >= exact, "sigma {sigma}, {releases} releases: {ours} for {exact}");
            assert!(ours <= exact * 1.15, "sigma {sigma}, {releases} releases: {ours} for {exact}");
        }
    }

    #[test]
    fn better_than_the_simple_conversion() {
        // Mironov's proposition 3 at the best order: r / (2 s^2) + sqrt(2 r ln(1/d)) / s.
        for (sigma, releases, delta) in [(1.0, 1.0, 1e-5), (10.0, 60.0, 1e-6), (4.0, 30.0, 1e-5)] {
            let simple: f64 =
                releases / (2.0 * sigma * sigma) + f64::sqrt(2.0 * releases * -f64::ln(delta)) / sigma;
            let ours = epsilon(sigma, releases, delta);
            assert!(ours < simple && ours > simple * 0.75, "{ours} for {simple}");
        }
    }

    #[test]
    fn noise_is_found_for_an_epsilon() {
        for (wanted, releases, delta) in [(0.5, 50.0, 1e-6), (3.0, 50.0, 1e-6), (8.0, 1.0, 1e-5)] {
            let sigma = noise_multiplier(wanted, releases, delta).unwrap();
            let spent = epsilon(sigma, releases, delta);
            assert!(spent <= wanted && spent > wanted * 0.999, "{spent} for {wanted}");
        }
        assert_eq!(noise_multiplier(1e-12, 1.0, 1e-6), None);
        assert_eq!(epsilon(0.0, 1.0, 1e-6), f64::INFINITY);
        assert_eq!(epsilon(1.0, 0.0, 1e-6), 0.0);
    }
}
