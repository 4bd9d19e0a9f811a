//! Passwords: Argon2id with the parameters that OWASP advises for servers. Hashing takes a core for a moment and
//! 19 MiB, so at most two happen at once, away from the threads that serve.

use crate::error::ServiceError;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Characters at least.
pub(crate) const LENGTH_MIN: usize = 12;
/// Bytes at most; more would only be work for us.
const LENGTH_MAX: usize = 1024;
/// At the same time.
const AT_ONCE: usize = 2;

/// Hashes and verifies.
pub(crate) struct Passwords {
    seats: Arc<Semaphore>,
    /// What is verified for users that there are not, so that they take as long as others.
    nobody: Arc<str>,
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None)
        .unwrap_or_else(|e| unreachable!("these parameters are within the algorithm's limits: {e}"));
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8]) -> Option<String> {
    let mut salt = [0; 16];
    store::seal::fill_random(&mut salt);
    argon2().hash_password_with_salt(password, &salt).ok().map(|hash| hash.to_string())
}

impl Passwords {
    pub(crate) fn new() -> Self {
        // Of no password: nobody types 32 random bytes.
        let mut random = [0; 32];
        store::seal::fill_random(&mut random);
        Self { seats: Arc::new(Semaphore::new(AT_ONCE)), nobody: hash(&random).unwrap_or_default().into() }
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
    fn passwords_that_are_short_or_easy_to_guess_are_refused() {
        for bad in ["short", "aaaaaaaaaaaaaaa", "ada@example.edu", "countess12345"] {
            assert!(complaint(bad, "ada@example.edu").is_some() == (bad != "countess12345"), "{bad}");
        }
        assert!(complaint("countess12345", "countess@example.edu").is_some());
        assert!(complaint(&"é".repeat(600), "a@b").is_some());
    }
}
