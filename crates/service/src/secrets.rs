//! Secrets of endpoints, those that sign and those that travel in the body: showing and rotating them.

use crate::{
    Service, access::AppScope, actor::Capability, check::Check, error::ServiceError, operational::OperationalEvent,
};
use domain::{Action, BodySecret, Endpoint, Secret, SecretError, Secrets, Timestamp};
use std::time::Duration;

/// Old secrets that may still sign beside the current one.
const RETIRED_MAX: usize = 10;
/// How long an old secret goes on signing, if nothing else is asked for.
const GRACE: i64 = 24 * 3600;
/// The longest that may be asked for.
const GRACE_MAX: i64 = 7 * 24 * 3600;

/// A new random secret for bodies.
pub(crate) fn new_body_secret() -> BodySecret {
    let mut random = [0; 16];
    store::seal::fill_random(&mut random);
    BodySecret::new(platforms::replit::body_secret(random))
}

/// Makes `new` the current secret; the old one signs until its grace ends.
fn rotate(secrets: &mut Secrets, new: Secret, grace: Duration, now: Timestamp) -> Result<(), ServiceError> {
    let retired = &mut secrets.retired;
    retired.retain(|(_, until)| *until > now);
    let old = std::mem::replace(&mut secrets.current, new);
    // Without grace nothing is added, so a leaked secret can be replaced at any time.
    if grace.is_zero() {
        return Ok(());
    }
    if retired.len() >= RETIRED_MAX {
        let next = retired.iter().map(|(_, until)| *until).min().unwrap_or(now);
        return Err(ServiceError::LimitReached(format!(
            "At most {RETIRED_MAX} old secrets can be valid at the same time. The next one expires at {next}"
        )));
    }
    retired.push((old, now.plus(grace)));
    Ok(())
}

/// A rotation whose rules were checked.
pub(crate) struct Rotation {
    new: Secret,
    grace: Duration,
    now: Timestamp,
}

impl Rotation {
    /// Does it.
    pub(crate) fn apply(&self, secrets: &mut Secrets) -> Result<(), ServiceError> {
        rotate(secrets, self.new.clone(), self.grace, self.now)
    }
}

impl Service {
    /// Checks what was asked of a rotation; makes the new secret if none was given.
    pub(crate) fn rotation(&self, key: Option<&str>, grace_seconds: Option<i64>) -> Result<Rotation, ServiceError> {
        let mut check = Check::body();
        let new = key.and_then(|text| self.read_secret(text, "key", &mut check));
        let grace = grace_seconds.unwrap_or(GRACE);
        if !(0..=GRACE_MAX).contains(&grace) {
            check.fail(&["grace_period_seconds"], "Duration must be between 0 and 7 days");
        }
        check.finish()?;
        let new = new.unwrap_or_else(|| self.secrets.generate(self.settings.signature));
        Ok(Rotation { new, grace: Duration::from_secs(grace.unsigned_abs()), now: self.now() })
    }

    /// Reads a secret that a user chose.
    pub(crate) fn read_secret(&self, text: &str, field: &'static str, check: &mut Check) -> Option<Secret> {
        match Secret::parse(text).map(|secret| (self.secrets.check(&secret), secret)) {
            Ok((Ok(()), secret)) => return Some(secret),
            Ok((Err(reason), _)) => check.fail(&["key", "__all__"], reason),
            Err(e @ SecretError::Length) => check.fail(&["key", "__all__"], e.to_string()),
            Err(e) => check.unreadable(field, e.to_string()),
        }
        None
    }

    /// What a receiver needs to verify.
    pub async fn endpoint_secret(&self, scope: &AppScope, which: &str) -> Result<String, ServiceError> {
        scope.must_have(Capability::ViewEndpointSecret)?;
        let endpoint = self.find_endpoint(scope, which).await?;
        self.note_in(scope, Action::SecretRevealed, endpoint.id, "").await;
        Ok(endpoint.secrets.current.for_receiver())
    }

    /// Replaces the secret by `key`, or by a new one. The old one goes on signing for a while. Gives back what a
    /// receiver needs now, if the actor may see it.
    pub async fn rotate_secret(
        &self,
        scope: &AppScope,
        which: &str,
        key: Option<&str>,
        grace_seconds: Option<i64>,
    ) -> Result<Option<String>, ServiceError> {
        scope.must_have(Capability::ManageEndpointSecret)?;
        let rotation = self.rotation(key, grace_seconds)?;
        let saved = self.change_endpoint(scope, which, |e| rotation.apply(&mut e.secrets)).await?;
        let detail = format!("the old one signs for {} s", rotation.grace.as_secs());
        self.note_in(scope, Action::SecretRotated, saved.id, detail).await;
        self.announce(scope, &saved, OperationalEvent::EndpointUpdated).await;
        let may_see = scope.must_have(Capability::ViewEndpointSecret).is_ok();
        Ok(may_see.then(|| saved.secrets.current.for_receiver()))
    }

    /// The secret that travels in the body of what an endpoint gets.
    pub async fn endpoint_body_secret(&self, scope: &AppScope, which: &str) -> Result<String, ServiceError> {
        scope.must_have(Capability::ViewEndpointSecret)?;
        let endpoint = self.find_endpoint(scope, which).await?;
        let secret = endpoint.secrets.body.ok_or(ServiceError::NotFound("This endpoint has no secret in its body"))?;
        self.note_in(scope, Action::SecretRevealed, endpoint.id, "in the body").await;
        Ok(secret.expose().to_owned())
    }

    /// Replaces the secret that travels in the body by `key`, or by a new one, at once: also what is tried again carries
    /// the new one. Gives it back, if the actor may see it.
    pub async fn rotate_body_secret(
        &self,
        scope: &AppScope,
        which: &str,
        key: Option<&str>,
    ) -> Result<Option<String>, ServiceError> {
        scope.must_have(Capability::ManageEndpointSecret)?;
        if key.is_some_and(|key| !platforms::replit::is_body_secret(key)) {
            return Err(ServiceError::invalid(&["body", "key"], "must be a UUID in lower case"));
        }
        let new = key.map_or_else(new_body_secret, |key| BodySecret::new(key.to_owned()));
        let change = |e: &mut Endpoint| {
            e.secrets.body = Some(new.clone());
            Ok(())
        };
        let saved = self.change_endpoint(scope, which, change).await?;
        self.note_in(scope, Action::SecretRotated, saved.id, "in the body").await;
        self.announce(scope, &saved, OperationalEvent::EndpointUpdated).await;
        let may_see = scope.must_have(Capability::ViewEndpointSecret).is_ok();
        Ok(may_see.then(|| new.expose().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(n: u8) -> Secret {
        Secret::Hmac(vec![n; 24])
    }

    #[test]
    fn old_secrets_sign_until_their_grace_ends() {
        let (mut e, now, hour) = (Secrets::new(secret(0)), Timestamp::from_micros(1), Duration::from_secs(3600));
        rotate(&mut e, secret(1), hour, now).unwrap();
        rotate(&mut e, secret(2), hour * 2, now).unwrap();
        let valid = |at| e.valid_at(at).cloned().collect::<Vec<_>>();
        assert_eq!(valid(now), [secret(2), secret(0), secret(1)]);
        assert_eq!(valid(now.plus(hour)), [secret(2), secret(1)]);
        assert_eq!(valid(now.plus(hour * 2)), [secret(2)]);
    }

    #[test]
    fn without_grace_the_old_one_stops_at_once_even_at_the_limit() {
        let (mut e, now, hour) = (Secrets::new(secret(0)), Timestamp::from_micros(1), Duration::from_secs(3600));
        for n in 1..=10 {
            rotate(&mut e, secret(n), hour, now).unwrap();
        }
        let mut full = e.clone();
        assert!(matches!(rotate(&mut full, secret(11), hour, now), Err(ServiceError::LimitReached(_))));
        rotate(&mut e, secret(11), Duration::ZERO, now).unwrap();
        assert!(e.valid_at(now).all(|s| *s != secret(10)));
        assert_eq!(e.valid_at(now).count(), 11);
        rotate(&mut e, secret(12), hour, now.plus(hour)).unwrap();
        assert_eq!(e.retired.len(), 1, "expired ones leave");
    }
}
