//! Nonces that the gateway hands out for proofs (RFC 9449 8): a time and its MAC, so that nothing has to be remembered.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

/// A nonce is handed out for this long, and accepted as long again, milliseconds.
const PERIOD_MS: i64 = 60_000;
/// Bytes of the MAC that are kept.
const MAC_BYTES: usize = 16;

/// Makes nonces and knows its own again. Those of another process are refused, and the client asks with one of ours.
#[derive(Debug)]
pub struct Nonces {
    key: Option<hmac::Key>,
}

impl Default for Nonces {
    /// With a key of its own. Where the system has no randomness there is none, and every proof is refused.
    fn default() -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        Self { key: hmac::Key::generate(hmac::HMAC_SHA256, &random).ok() }
    }
}

impl Nonces {
    /// The nonce of now.
    pub fn current(&self, now_ms: i64) -> Option<HeaderValue> {
        HeaderValue::try_from(self.of(now_ms.div_euclid(PERIOD_MS))?).ok()
    }

    /// Whether `nonce` is the one of now or the one before. Compared in constant time.
    pub fn accept(&self, nonce: &str, now_ms: i64) -> bool {
        let now = now_ms.div_euclid(PERIOD_MS);
        [now, now.saturating_sub(1)].iter().any(|&period| {
            self.of(period).is_some_and(|ours| {
                aws_lc_rs::constant_time::verify_slices_are_equal(ours.as_bytes(), nonce.as_bytes()).is_ok()
            })
        })
    }

    fn of(&self, period: i64) -> Option<String> {
        let mac = hmac::sign(self.key.as_ref()?, &period.to_be_bytes());
        mac.as_ref().get(..MAC_BYTES).map(|mac| URL_SAFE_NO_PAD.encode(mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_period_and_the_next() {
        let nonces = Nonces::default();
        let begin = 20_000 * PERIOD_MS;
        let nonce = nonces.current(begin + 5).unwrap();
        let nonce = nonce.to_str().unwrap();
        for (at_ms, accepted) in [
            (begin, true),
            (begin + 2 * PERIOD_MS - 1, true),
            (begin + 2 * PERIOD_MS, false),
            (begin - 1, false),
        ] {
            assert_eq!(nonces.accept(nonce, at_ms), accepted, "{at_ms}");
        }
        assert!(!Nonces::default().accept(nonce, begin), "another's");
        assert!(!Nonces { key: None }.accept(nonce, begin) && !Nonces { key: None }.accept("", begin));
        assert!(!nonces.accept("", begin) && !nonces.accept(&nonce[1..], begin));
    }
}
