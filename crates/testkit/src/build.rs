//! Objects with the least they need; tests change the fields they are about.

use domain::{AppKey, Endpoint, EndpointId, EndpointKey, EndpointOptions, Ksuid, Secret, Secrets, Timestamp};
use std::collections::BTreeMap;

/// The secret of [`endpoint`].
pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// An endpoint with this address.
pub fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        key: EndpointKey(1),
        app: AppKey(1),
        id: EndpointId(Ksuid::MIN),
        uid: None,
        url: url.to_owned(),
        description: String::new(),
        disabled: None,
        event_types: None,
        channels: None,
        throttle_rate: None,
        version: 1,
        metadata: BTreeMap::new(),
        headers: Vec::new(),
        secrets: Secrets::new(Secret::parse(SECRET).unwrap()),
        options: EndpointOptions::default(),
        failing_since: None,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        revision: 1,
    }
}
