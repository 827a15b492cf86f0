//! Secret sharing (Shamir, "How to share a secret", 1979) of 32 bytes, byte by byte over GF(2^8): any `threshold` shares
//! give the secret back, fewer say nothing about it.

use super::CryptoError;
use super::entropy::Entropy;

/// Most shares of a secret: places are bytes other than zero.
pub(super) const SHARES_MAX: usize = 255;

/// A share: its place, 1 to 255, and a point of the polynomial for each byte of the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) place: u8,
    pub(super) bytes: [u8; 32],
}

/// Shares at places 1 to `count`.
pub(super) fn split(
    secret: &[u8; 32],
    threshold: usize,
    count: usize,
    entropy: &mut dyn Entropy,
) -> Result<Vec<Share>, CryptoError> {
    if threshold == 0 || threshold > count || count > SHARES_MAX {
        return Err(CryptoError);
    }
    // Coefficients of the powers 1 to threshold - 1; the secret is the constant.
    let mut coefficients = vec![[0u8; 32]; threshold - 1];
    for coefficient in &mut coefficients {
        entropy.fill(coefficient)?;
    }
    let at = |place: u8| {
        let mut bytes = [0u8; 32];
        for coefficient in coefficients.iter().rev() {
            for (byte, c) in bytes.iter_mut().zip(coefficient) {
                *byte = multiply(*byte ^ c, place);
            }
        }
        bytes.iter_mut().zip(secret).for_each(|(byte, s)| *byte ^= s);
        Share { place, bytes }
    };
    Ok((1..=SHARES_MAX as u8).take(count).map(at).collect())
}

/// The secret that these shares lie on (Lagrange's interpolation at zero); wrong shares give a wrong secret. `None` where a
/// place stands twice or is zero.
pub(super) fn combine(shares: &[&Share]) -> Option<[u8; 32]> {
    let mut secret = [0u8; 32];
    for share in shares {
        let mut weight = 1;
        for other in shares.iter().filter(|other| !std::ptr::eq(**other, *share)) {
            let difference = other.place ^ share.place;
            if difference == 0 || other.place == 0 {
                return None;
            }
            weight = multiply(weight, multiply(other.place, invert(difference)));
        }
        secret.iter_mut().zip(share.bytes).for_each(|(byte, s)| *byte ^= multiply(weight, s));
    }
    Some(secret)
}

/// Tries sets of `threshold` shares until one gives a secret that is `right`, so that a few wrong shares do no harm.
pub(super) fn combine_checked(
    shares: &[Share],
    threshold: usize,
    right: impl Fn(&[u8; 32]) -> bool,
) -> Option<[u8; 32]> {
    /// Bounds the work that wrong shares can make: all sets of 10 among 14.
    const SETS_MAX: usize = 1001;
    let mut chosen: Vec<usize> = (0..threshold).collect();
    for _ in 0..SETS_MAX {
        let set: Vec<&Share> = chosen.iter().filter_map(|&at| shares.get(at)).collect();
        if set.len() < threshold {
            return None;
        }
        if let Some(secret) = combine(&set).filter(&right) {
            return Some(secret);
        }
        next_set(&mut chosen, shares.len())?;
    }
    None
}

/// The next set of places below `count` in lexicographic order.
fn next_set(chosen: &mut [usize], count: usize) -> Option<()> {
    let size = chosen.len();
    let movable = (0..size).rev().find(|&at| chosen.get(at).is_some_and(|&c| c < count - size + at))?;
    let first = *chosen.get(movable)? + 1;
    chosen.iter_mut().skip(movable).zip(first..).for_each(|(slot, next)| *slot = next);
    Some(())
}

/// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, in a time that does not depend on the factors.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & 0u8.wrapping_sub(b & 1);
        a = (a << 1) ^ (0x1b & 0u8.wrapping_sub(a >> 7));
        b >>= 1;
    }
    product
}

/// `a` to the power 254.
fn invert(a: u8) -> u8 {
    let mut power = a;
    let mut result = 1;
    for _ in 0..7 {
        power = multiply(power, power);
        result = multiply(result, power);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federate::entropy::SeededEntropy;
    use proptest::prelude::*;

    #[test]
    fn the_field_is_a_field() {
        // FIPS 197, 4.2: {57} x {83} = {c1}.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
    }

    #[test]
    fn too_few_shares_say_nothing() {
        // For any one share of two, every secret is possible: there is a polynomial through both.
        let mut entropy = SeededEntropy::new(3);
        let share = split(&[7; 32], 2, 3, &mut entropy).unwrap()[0];
        for secret in 0..=255u8 {
            let slope = multiply(share.bytes[0] ^ secret, invert(share.place));
            assert_eq!(multiply(slope, share.place) ^ secret, share.bytes[0]);
        }
    }

    #[test]
    fn wrong_shares_are_passed_over() {
        let secret = [9; 32];
        let mut shares = split(&secret, 3, 5, &mut SeededEntropy::new(5)).unwrap();
        shares[0].bytes[31] ^= 1;
        shares[3].bytes = [0; 32];
        let right = |found: &[u8; 32]| *found == secret;
        assert_eq!(combine_checked(&shares, 3, right), Some(secret));
        shares[1].bytes[0] ^= 1;
        assert_eq!(combine_checked(&shares, 3, right), None);
        assert_eq!(combine_checked(&shares[..2], 3, right), None);
        let twice = [&shares[2], &shares[2].clone()];
        assert_eq!(combine(&twice), None);
    }

    proptest! {
        #[test]
        fn any_threshold_of_shares_gives_the_secret(
            secret in any::<[u8; 32]>(), seed in any::<u64>(), count in 1usize..12, drawn in any::<u64>(),
        ) {
            let threshold = 1 + (drawn as usize) % count;
            let mut shares = split(&secret, threshold, count, &mut SeededEntropy::new(seed)).unwrap();
            shares.rotate_left((drawn >> 32) as usize % count);
            let some: Vec<&Share> = shares.iter().take(threshold).collect();
            prop_assert_eq!(combine(&some), Some(secret));
            if threshold > 1 {
                prop_assert_ne!(combine(&some[1..]), Some(secret));
            }
        }
    }
}
