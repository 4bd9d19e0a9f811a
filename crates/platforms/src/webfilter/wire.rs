//! What a webfilter is sent: the payload with `event_metadata`, in the bytes that the original plugin would send, without
//! what is protected. Pure.

use crate::format::python;
use bytes::Bytes;
use domain::{
    Json, Timestamp, Webfilter,
    json::Members,
    webfilter::{Encoding, FilterRules, Protection, WireVersion},
};

/// A request ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// Their type.
    pub content_type: &'static str,
}

/// What this webfilter is sent about `payload` at this instant.
pub fn request(
    webfilter: &Webfilter,
    rules: &FilterRules,
    payload: &Members,
    protection: &Protection,
    at: Timestamp,
) -> Body {
    let version = webfilter.settings.wire_version;
    let mut whole = payload.clone();
    whole.shift_remove("event_metadata");
    let mut whole = Json::Object(whole);
    protection.outgoing(&mut whole, version);
    if let Json::Object(members) = &mut whole {
        let name = match (version, &rules.stored_as) {
            (WireVersion::V21, Some(stored)) => stored.as_str(),
            _ => rules.name.as_str(),
        };
        let metadata = [("event_type", Json::text(name)), ("time", Json::Text(time(version, at)))];
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        members.insert("event_metadata".to_owned(), Json::Object(metadata));
    }
    match webfilter.settings.encoding {
        Encoding::Json => Body { bytes: python::json(&whole).into(), content_type: "application/json" },
        // The whole is an object.
        Encoding::Form => Body {
            bytes: python::form(&whole, None).unwrap_or_default().into(),
            content_type: "application/x-www-form-urlencoded",
        },
    }
}

/// The instant in the words of each version.
fn time(version: WireVersion, at: Timestamp) -> String {
    // Years beyond 9999 have no written form; no clock gets there.
    let instant = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::MAX);
    let fraction = match at.as_micros().rem_euclid(1_000_000) {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    match version {
        WireVersion::V22 => format!("{}{fraction}+00:00", instant.strftime("%Y-%m-%dT%H:%M:%S")),
        WireVersion::V21 => format!("{}{fraction}", instant.strftime("%Y-%m-%d %H:%M:%S")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_time() {
        let at = Timestamp::parse("2026-01-31T20:24:32.598387Z").unwrap();
        assert_eq!(time(WireVersion::V22, at), "2026-01-31T20:24:32.598387+00:00");
        assert_eq!(time(WireVersion::V21, at), "2026-01-31 20:24:32.598387");
        let whole = Timestamp::parse("2026-01-31T20:24:32Z").unwrap();
        assert_eq!(time(WireVersion::V22, whole), "2026-01-31T20:24:32+00:00");
    }
}
