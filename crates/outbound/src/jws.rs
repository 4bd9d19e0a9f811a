//! Bodies as signed JSON Web Tokens: RS256, compact form, the claims being the very bytes that would have been sent.

use aws_lc_rs::{
    digest,
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use domain::BodyKey;
use std::fmt;

/// What is said of a body that is a token.
pub const CONTENT_TYPE: &str = "application/jwt";

/// A key that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the key {0} that signs bodies cannot be used: rotate the application's keys")]
pub struct BodyKeyError(String);

/// Makes a new key of 2,048 bits. Takes a good part of a second: not for a thread that has others to serve.
#[expect(clippy::expect_used, reason = "a system without random numbers cannot run a server safely")]
pub fn generate_body_key() -> BodyKey {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("the system gives no random numbers");
    let private: Pkcs8V1Der<'_> = pair.as_der().expect("a new key can be written down");
    let (n, e) = public_numbers(pair.public_key().as_ref()).expect("the library writes what RFC 8017 says");
    let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
    BodyKey { kid: thumbprint(&n, &e), n, e, private: STANDARD.encode(private.as_ref()) }
}

/// The name of a key: its thumbprint after RFC 7638.
fn thumbprint(n: &str, e: &str) -> String {
    let canonical = format!("{{\"e\":\"{e}\",\"kty\":\"RSA\",\"n\":\"{n}\"}}");
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

/// Modulus and exponent of an `RSAPublicKey` in DER: a sequence of two integers.
fn public_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let (&first, rest) = der.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81..=0x82 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
            }
            _ => return None,
        };
        (first == tag).then_some(rest.split_at_checked(length)?)
    }
    // A positive integer begins with a zero byte where its highest bit is set.
    fn positive(bytes: &[u8]) -> &[u8] {
        bytes.strip_prefix(&[0]).unwrap_or(bytes)
    }
    let (sequence, _) = element(der, 0x30)?;
    let (n, rest) = element(sequence, 0x02)?;
    let (e, _) = element(rest, 0x02)?;
    Some((positive(n), positive(e)))
}

/// A key made ready, once for many bodies.
pub struct BodySigner {
    pair: KeyPair,
    /// The token's head and the full stop after it.
    head: String,
}

impl fmt::Debug for BodySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodySigner(…)")
    }
}

impl BodySigner {
    /// Makes a key ready.
    pub fn new(key: &BodyKey) -> Result<Self, BodyKeyError> {
        let unusable = || BodyKeyError(key.kid.clone());
        let der = STANDARD.decode(&key.private).map_err(|_| unusable())?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|_| unusable())?;
        let head = format!("{{\"alg\":\"RS256\",\"kid\":\"{}\",\"typ\":\"JWT\"}}", key.kid);
        Ok(Self { pair, head: format!("{}.", URL_SAFE_NO_PAD.encode(head)) })
    }

    /// The token whose claims are these bytes.
    pub fn sign(&self, claims: &[u8]) -> Result<String, BodyKeyError> {
        let mut token = String::with_capacity(self.head.len() + claims.len() * 4 / 3 + 360);
        token.push_str(&self.head);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature);
        signed.map_err(|_| BodyKeyError("in use".to_owned()))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    #[test]
    fn a_token_verifies_with_the_published_numbers_and_holds_the_very_bytes() {
        let key = generate_body_key();
        let token = BodySigner::new(&key).unwrap().sign(b"{\"a\": 1.0}").unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        assert_eq!(decode(parts[1]), b"{\"a\": 1.0}");
        let head = String::from_utf8(decode(parts[0])).unwrap();
        assert_eq!(head, format!(r#"{{"alg":"RS256","kid":"{}","typ":"JWT"}}"#, key.kid));
        assert_eq!((key.e.as_str(), decode(&key.n).len(), key.kid.len()), ("AQAB", 256, 43));
        let public = RsaPublicKeyComponents { n: decode(&key.n), e: decode(&key.e) };
        let signed = &token[..token.len() - parts[2].len() - 1];
        let verify = |signed: &str| public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(parts[2]));
        assert!(verify(signed).is_ok() && verify(&signed.replace('.', "x.")).is_err());
        assert_ne!(generate_body_key().kid, key.kid);
    }

    #[test]
    fn a_key_that_is_damaged_is_refused() {
        let broken = BodyKey { kid: "k".into(), n: String::new(), e: String::new(), private: "AAAA".into() };
        assert!(BodySigner::new(&broken).unwrap_err().to_string().contains("rotate"));
        for der in [&[][..], &[0x30, 0x84, 1, 1, 1, 1], &[0x30, 2, 2, 5], &[0x31, 0]] {
            assert_eq!(public_numbers(der), None);
        }
    }
}
