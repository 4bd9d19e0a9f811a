//! Encryption at rest: AES-256-GCM-SIV, a random nonce, and what a value belongs to as associated data, so that sealed
//! values cannot be swapped between rows. Knows nothing of tables.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt, str::FromStr};
use zeroize::Zeroize as _;

/// First byte of a sealed value; another scheme would get another number.
const SCHEME: u8 = 1;

/// The key that seals secrets: 32 bytes, written in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct MainKey([u8; 32]);

impl MainKey {
    /// A new random one.
    pub fn generate() -> Self {
        let mut key = [0; 32];
        fill_random(&mut key);
        Self(key)
    }
    /// For keeping it.
    pub fn expose(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Debug for MainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MainKey(…)")
    }
}

impl FromStr for MainKey {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(s.trim()).map_err(|e| format!("it must be 32 bytes in base64 ({e})"))?;
        bytes.try_into().map(Self).map_err(|b: Vec<u8>| format!("it must be 32 bytes in base64, not {}", b.len()))
    }
}

impl Drop for MainKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Why a sealed value cannot be opened: another key, another place, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed with another key, or damaged")]
pub struct OpenError;

/// Seals and opens.
pub struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// With a key.
    pub fn new(key: &MainKey) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, &key.0)
            .unwrap_or_else(|_| unreachable!("the key has the 32 bytes that the algorithm wants"));
        Self { key: LessSafeKey::new(unbound) }
    }
    /// Seals `plain` for the place that `belongs_to` names.
    pub fn seal(&self, plain: &[u8], belongs_to: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        fill_random(&mut nonce);
        let mut out = Vec::with_capacity(1 + 12 + plain.len() + 16);
        out.push(SCHEME);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(belongs_to), &mut out[13..])
            .unwrap_or_else(|_| unreachable!("only values of gigabytes are refused"));
        out.extend_from_slice(tag.as_ref());
        out
    }
    /// Opens what [`Self::seal`] made for the same place.
    pub fn open(&self, sealed: &[u8], belongs_to: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (Some(&SCHEME), Some(nonce), Some(rest)) = (sealed.first(), sealed.get(1..13), sealed.get(13..)) else {
            return Err(OpenError);
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError)?;
        let mut rest = rest.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(belongs_to), &mut rest).map_err(|_| OpenError)?;
        Ok(plain.to_vec())
    }
}

/// Fills a buffer with random bytes of the operating system.
pub fn fill_random(buffer: &mut [u8]) {
    rand::fill(buffer).unwrap_or_else(|_| unreachable!("the operating system's random source is always there"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_with_its_key_and_in_its_place() {
        let key = MainKey::generate();
        let s = Sealer::new(&key);
        let sealed = s.seal(b"whsec_x", b"endpoint 1");
        assert_eq!(s.open(&sealed, b"endpoint 1").unwrap(), b"whsec_x");
        assert_eq!(s.open(&sealed, b"endpoint 2"), Err(OpenError));
        assert_eq!(Sealer::new(&MainKey::generate()).open(&sealed, b"endpoint 1"), Err(OpenError));
        assert_eq!(s.open(&[], b""), Err(OpenError));
        assert_ne!(s.seal(b"x", b""), s.seal(b"x", b""));
        assert_eq!(key.expose().parse::<MainKey>().unwrap(), key);
        assert_eq!(format!("{key:?}"), "MainKey(…)");
    }
}
