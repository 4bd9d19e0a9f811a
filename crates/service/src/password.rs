//! Passwords: Argon2id with the parameters that OWASP advises for servers. Hashing takes a core for a moment and
//! 19 MiB, so at most two happen at once, away from the threads that serve.

use crate::error::ServiceError;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Characters at least.
pub(crate) const LENGTH_MIN: usize = 12;
/// Bytes at most; more would only be work for us.
const LENGTH_MAX: usize = 1024;
/// At the same time.
const AT_ONCE: usize = 2;
/// KiB of memory that a hash takes.
const MEMORY: u32 = 19 * 1024;
/// How often it goes over them.
const PASSES: u32 = 2;

/// Hashes and verifies.
pub(crate) struct Passwords {
    seats: Arc<Semaphore>,
    /// What is verified for users that there are not, so that they take as long as others.
    nobody: Arc<str>,
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY, PASSES, 1, None)
        .unwrap_or_else(|e| unreachable!("these parameters are within the algorithm's limits: {e}"));
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8]) -> Option<String> {
    let mut salt = [0; 16];
    store::seal::fill_random(&mut salt);
    argon2().hash_password_with_salt(password, &salt).ok().map(|hash| hash.to_string())
}

/// What looks like a hash and takes as long to verify, but is one of no password: no hash is worked out for it, for that
/// would take each start a moment and each idle server the memory.
fn nobody() -> String {
    let (mut salt, mut hash) = ([0; 16], [0; 32]);
    store::seal::fill_random(&mut salt);
    store::seal::fill_random(&mut hash);
    let [salt, hash] = [&salt[..], &hash[..]].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${salt}${hash}")
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { seats: Arc::new(Semaphore::new(AT_ONCE)), nobody: nobody().into() }
    }

    /// The hash, for storing.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, ServiceError> {
        let password = password.to_owned();
        self.aside(move || hash(password.as_bytes())).await?.ok_or(ServiceError::Internal)
    }

    /// Whether it is the password; takes the same time if there is none.
    pub(crate) async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, ServiceError> {
        let known = stored.is_some();
        let stored: Arc<str> = stored.map_or_else(|| self.nobody.clone(), Into::into);
        let password = password.to_owned();
        let fits = self.aside(move || {
            password.len() <= LENGTH_MAX && argon2().verify_password(password.as_bytes(), &*stored).is_ok()
        });
        Ok(fits.await? && known)
    }

    async fn aside<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
        let seat = self.seats.clone().acquire_owned().await.map_err(|_| ServiceError::Internal)?;
        // The seat moves into the thread: a caller that goes away frees it only when the hash is done.
        let run = move || {
            let _seat = seat;
            f()
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| ServiceError::Internal)
    }
}

/// Says what is wrong with a password that somebody chose.
pub(crate) fn complaint(password: &str, email: &str) -> Option<String> {
    let short = password.chars().count() < LENGTH_MIN;
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    let name = email.split('@').next().unwrap_or_default();
    if short {
        Some(format!("Use at least {LENGTH_MIN} characters; a few words in a row are easy to keep in mind"))
    } else if password.len() > LENGTH_MAX {
        Some(format!("Use at most {LENGTH_MAX} bytes"))
    } else if lower.chars().all(|c| Some(c) == first) || lower == email || (name.len() > 3 && lower.contains(name)) {
        Some("This is too easy to guess: it is one character, or your own address".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::new();
        let stored = passwords.hash("four words in a row").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("four words in a row", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("Four words in a row", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("four words in a row", None).await.unwrap());
        assert!(!passwords.verify("", Some("not a hash")).await.unwrap());
    }

    #[test]
    fn what_stands_in_for_unknown_users_takes_as_long_as_a_hash_and_is_never_the_same() {
        let parts = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let (real, stand_in) = (hash(b"four words in a row").unwrap(), nobody());
        assert_eq!(parts(&stand_in), parts(&real));
        assert_eq!(stand_in.len(), real.len());
        // Understood as a hash, or it would be refused at once.
        assert!(argon2::PasswordHash::new(&stand_in).is_ok());
        assert_ne!(stand_in, nobody());
    }

    #[test]
    fn passwords_that_are_short_or_easy_to_guess_are_refused() {
        for bad in ["short", "aaaaaaaaaaaaaaa", "ada@example.edu", "countess12345"] {
            assert!(complaint(bad, "ada@example.edu").is_some() == (bad != "countess12345"), "{bad}");
        }
        assert!(complaint("countess12345", "countess@example.edu").is_some());
        assert!(complaint(&"é".repeat(600), "a@b").is_some());
    }
}
