//! Keys, masks and sealed shares of one sum. All keys are made for one sum and forgotten with it, so each derived key is
//! used once, and a nonce of zero is never used twice under the same key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::iv::FixedLength;
use secrecy::{ExposeSecret, SecretBox};

use super::CryptoError;
use super::entropy::Entropy;
use super::wire::{Bytes, Digest};

/// A secret of 32 bytes, wiped when it is dropped.
pub(super) type Secret = SecretBox<[u8; 32]>;

/// An X25519 key pair whose private half can be shared out.
pub(super) struct KeyPair {
    pub(super) secret: Secret,
    pub(super) public: Bytes<32>,
}

impl KeyPair {
    pub(super) fn generate(entropy: &mut dyn Entropy) -> Result<Self, CryptoError> {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes)?;
        Self::of(bytes)
    }

    pub(super) fn of(secret: [u8; 32]) -> Result<Self, CryptoError> {
        let key = PrivateKey::from_private_key(&X25519, &secret).map_err(|_| CryptoError)?;
        let public = key.compute_public_key().map_err(|_| CryptoError)?;
        let public = public.as_ref().try_into().map_err(|_| CryptoError)?;
        Ok(Self { secret: SecretBox::new(Box::new(secret)), public: Bytes(public) })
    }

    /// A key that only this pair and the owner of `peer` can know, for one use (HKDF-SHA-256, RFC 5869). All parts of the
    /// derivation have a fixed length.
    fn derive(&self, peer: Bytes<32>, info: &[&[u8]]) -> Result<[u8; 32], CryptoError> {
        let secret = self.secret.expose_secret();
        let own = PrivateKey::from_private_key(&X25519, secret).map_err(|_| CryptoError)?;
        agree(&own, UnparsedPublicKey::new(&X25519, peer.0), CryptoError, |shared| {
            let mut key = [0; 32];
            let secret = Salt::new(HKDF_SHA256, b"gatehouse federate 1").extract(shared);
            secret.expand(info, HKDF_SHA256).and_then(|okm| okm.fill(&mut key)).map_err(|_| CryptoError)?;
            Ok(key)
        })
    }

    /// The seed of the mask between the two parties; the same from both sides.
    pub(super) fn mask_seed(&self, peer: Bytes<32>, context: &Digest) -> Result<[u8; 32], CryptoError> {
        let (low, high) = if self.public < peer { (self.public, peer) } else { (peer, self.public) };
        self.derive(peer, &[b"mask", &context.0, &low.0, &high.0])
    }

    /// The key of what one of the two seals for the other; another one for each direction.
    fn sealing_key(
        &self,
        peer: Bytes<32>,
        context: &Digest,
        from: Bytes<32>,
    ) -> Result<LessSafeKey, CryptoError> {
        let key = self.derive(peer, &[b"seal", &context.0, &from.0])?;
        UnboundKey::new(&AES_256_GCM, &key).map(LessSafeKey::new).map_err(|_| CryptoError)
    }

    /// Seals `plain` for the owner of `peer`.
    pub(super) fn seal(
        &self,
        peer: Bytes<32>,
        context: &Digest,
        plain: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = self.sealing_key(peer, context, self.public)?;
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).map_err(|_| CryptoError)?;
        Ok(sealed)
    }

    /// Opens what the owner of `peer` sealed.
    pub(super) fn open(
        &self,
        peer: Bytes<32>,
        context: &Digest,
        sealed: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = self.sealing_key(peer, context, peer)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let opened = key.open_in_place(nonce, Aad::empty(), &mut plain).map_err(|_| CryptoError)?;
        Ok(opened.to_vec())
    }
}

/// A pseudo-random stream of bytes: AES-256 in counter mode (NIST SP 800-38A) over zeros. Its key is for this stream alone.
pub(super) struct KeyStream {
    key: [u8; 32],
    block: u128,
}

impl KeyStream {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, block: 0 }
    }

    /// The next bytes; what is left of the last block is thrown away.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(0);
        let key = UnboundCipherKey::new(&AES_256, &self.key).and_then(EncryptingKey::ctr);
        let start = EncryptionContext::Iv128(FixedLength::from(&self.block.to_be_bytes()));
        self.block += out.len().div_ceil(16) as u128;
        key.and_then(|key| key.less_safe_encrypt(out, start)).map(drop).map_err(|_| CryptoError)
    }
}

/// Adds the mask of a seed to a vector, or takes it off.
pub(super) fn add_mask(values: &mut [u64], seed: [u8; 32], add: bool) -> Result<(), CryptoError> {
    let mut bytes = vec![0; values.len() * 8];
    KeyStream::new(seed).fill(&mut bytes)?;
    for (value, eight) in values.iter_mut().zip(bytes.chunks_exact(8)) {
        let mask = u64::from_le_bytes(eight.try_into().map_err(|_| CryptoError)?);
        *value = if add { value.wrapping_add(mask) } else { value.wrapping_sub(mask) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federate::entropy::SeededEntropy;

    fn pairs() -> [KeyPair; 3] {
        let mut entropy = SeededEntropy::new(1);
        [(); 3].map(|()| KeyPair::generate(&mut entropy).unwrap())
    }

    #[test]
    fn keys_as_in_rfc_7748() {
        // Section 6.1.
        for (secret, public) in [
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            ),
            (
                "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ),
        ] {
            let secret: Bytes<32> = serde_json::from_str(&format!("\"{secret}\"")).unwrap();
            assert_eq!(KeyPair::of(secret.0).unwrap().public.to_string(), public);
        }
    }

    #[test]
    fn masks_of_two_parties_cancel() {
        let [a, b, c] = pairs();
        let context = Digest::of(&[b"sum 1"]);
        let ab = a.mask_seed(b.public, &context).unwrap();
        assert_eq!(ab, b.mask_seed(a.public, &context).unwrap());
        assert_ne!(ab, a.mask_seed(c.public, &context).unwrap());
        assert_ne!(ab, a.mask_seed(b.public, &Digest::of(&[b"sum 2"])).unwrap());

        let plain = [1u64, u64::MAX, 3];
        let mut masked = plain;
        add_mask(&mut masked, ab, true).unwrap();
        assert!(masked.iter().zip(plain).all(|(m, p)| *m != p));
        add_mask(&mut masked, ab, false).unwrap();
        assert_eq!(masked, plain);
    }

    #[test]
    fn what_is_sealed_is_for_one_recipient_in_one_sum() {
        let [a, b, c] = pairs();
        let context = Digest::of(&[b"sum 1"]);
        let sealed = a.seal(b.public, &context, b"share").unwrap();
        assert_eq!(b.open(a.public, &context, &sealed).unwrap(), b"share");
        assert!(c.open(a.public, &context, &sealed).is_err());
        assert!(b.open(c.public, &context, &sealed).is_err());
        assert!(b.open(a.public, &Digest::of(&[b"sum 2"]), &sealed).is_err());
        // Sent back to its sender it is not taken for the peer's.
        assert!(a.open(b.public, &context, &sealed).is_err());
        let mut altered = sealed.clone();
        altered[0] ^= 1;
        assert!(b.open(a.public, &context, &altered).is_err());
        assert!(
            a.seal(Bytes([0; 32]), &context, b"share").is_err(),
            "a point of small order agrees with nobody"
        );
    }
}
