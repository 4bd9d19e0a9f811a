//! What a webfilter is sent: the payload with `event_metadata`, in the bytes that the original plugin would send, without
//! what is protected. Pure.

use bytes::Bytes;
use domain::{
    Json, Timestamp, Webfilter,
    json::Members,
    webfilter::{Encoding, FilterRules, Protection, WireVersion},
};
use std::fmt::Write as _;

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
        Encoding::Json => {
            let mut text = String::with_capacity(1024);
            python_json(&whole, &mut text);
            Body { bytes: text.into(), content_type: "application/json" }
        }
        Encoding::Form => Body { bytes: form(&whole).into(), content_type: "application/x-www-form-urlencoded" },
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

/// JSON as Python writes it: blanks after commas and colons, nothing but ASCII.
fn python_json(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(text) => out.push_str(text),
        Json::Text(text) => python_json_text(text, out),
        Json::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                python_json(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (n, (key, item)) in members.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                python_json_text(key, out);
                out.push_str(": ");
                python_json(item, out);
            }
            out.push('}');
        }
    }
}

fn python_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing into a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// A web form: objects flattened with underscores, everything else as Python's text of it. Of equal keys the last value
/// counts, at the place of the first.
fn form(value: &Json) -> String {
    let mut pairs = indexmap::IndexMap::new();
    if let Json::Object(members) = value {
        flatten("", members, &mut pairs);
    }
    let mut out = String::new();
    for (n, (key, text)) in pairs.iter().enumerate() {
        out.push_str(if n > 0 { "&" } else { "" });
        quote_plus(key, &mut out);
        out.push('=');
        quote_plus(text, &mut out);
    }
    out
}

fn flatten(prefix: &str, members: &Members, pairs: &mut indexmap::IndexMap<String, String>) {
    for (key, value) in members {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}_{key}") };
        match value {
            Json::Object(inner) => flatten(&key, inner, pairs),
            Json::Text(text) => {
                pairs.insert(key, text.clone());
            }
            other => {
                let mut text = String::new();
                python_text(other, &mut text);
                pairs.insert(key, text);
            }
        }
    }
}

/// Percent-encoding as Python does it: letters, digits and `_.-~` stay, a blank is a plus.
fn quote_plus(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                // Writing into a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// A value as Python shows it.
fn python_text(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("None"),
        Json::Bool(true) => out.push_str("True"),
        Json::Bool(false) => out.push_str("False"),
        Json::Number(text) => out.push_str(text),
        Json::Text(text) => python_quoted(text, out),
        Json::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                python_text(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (n, (key, item)) in members.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                python_quoted(key, out);
                out.push_str(": ");
                python_text(item, out);
            }
            out.push('}');
        }
    }
}

fn python_quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if !is_shown(c) => {
                // Writing into a String cannot fail.
                let _ = match u32::from(c) {
                    code @ ..=0xff => write!(out, "\\x{code:02x}"),
                    code @ ..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// Whether Python shows a character as itself: not for controls, formats, blanks other than the usual one, private ones.
fn is_shown(c: char) -> bool {
    !c.is_control()
        && (c == ' ' || !c.is_whitespace())
        && !matches!(u32::from(c),
            0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f
            | 0xfeff | 0xfff0..=0xfffb | 0xe000..=0xf8ff | 0xe0000..=0x10_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let mut out = String::new();
        python_json(&json(r#"{"b":[1,2.50,{}],"a":"Jané \ud83d\ude00 \u0001\"\\/\u007f","é":null,"n":[]}"#), &mut out);
        let want = "{\"b\": [1, 2.50, {}], \"a\": \"Jan\\u00e9 \\ud83d\\ude00 \\u0001\\\"\\\\/\u{7f}\", \"\\u00e9\": null, \"n\": []}";
        assert_eq!(out, want);
    }

    #[test]
    fn forms_are_flattened_as_the_original_does() {
        for (value, want) in [
            (r#"{"user": {"pii": {"name": "J"}}}"#, "user_pii_name=J"),
            (r#"{"profile_name": "Jané Doe", "empty": ""}"#, "profile_name=Jan%C3%A9+Doe&empty="),
            (r#"{"a": null, "b": true, "c": false, "d": 4, "e": 0.9}"#, "a=None&b=True&c=False&d=4&e=0.9"),
            (r#"{"list": ["a", 1], "none": []}"#, "list=%5B%27a%27%2C+1%5D&none=%5B%5D"),
            (
                r#"{"t": [{"title": "x", "usage_key": null}]}"#,
                "t=%5B%7B%27title%27%3A+%27x%27%2C+%27usage_key%27%3A+None%7D%5D",
            ),
            (r#"{"gone": {}, "h": {"i_j": 1}, "h_i": {"j": 2}}"#, "h_i_j=2"),
            (r#"{"a.b.C": {"email": "jane@example.com"}}"#, "a.b.C_email=jane%40example.com"),
            (r#"{"q": ["it's", "\"", "it's \"", "a\nb\u200b"]}"#, concat!(
                "q=%5B%22it%27s%22%2C+%27%22%27%2C+%27it%5C%27s+%22%27%2C+%27a%5Cnb%5Cu200b%27%5D"
            )),
            ("{}", ""),
        ] {
            assert_eq!(form(&json(value)), want, "{value}");
        }
    }

    #[test]
    fn each_version_has_its_own_time() {
        let at = Timestamp::parse("2026-01-31T20:24:32.598387Z").unwrap();
        assert_eq!(time(WireVersion::V22, at), "2026-01-31T20:24:32.598387+00:00");
        assert_eq!(time(WireVersion::V21, at), "2026-01-31 20:24:32.598387");
        let whole = Timestamp::parse("2026-01-31T20:24:32Z").unwrap();
        assert_eq!(time(WireVersion::V22, whole), "2026-01-31T20:24:32+00:00");
    }
}
