//! JSON that keeps what it was written with: the order of keys, and numbers as the text they came as. For data that is
//! looked into and handed on, where re-sorted keys or re-rounded numbers would be other bytes at a receiver.
//!
//! Reading is bounded in depth and never panics; of a key that is there twice the last value counts, at the place of the
//! first.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap as _};
use serde_json::value::RawValue;

/// Levels that are read at most.
pub const DEPTH_MAX: usize = 100;

/// The members of an object, in their order.
pub type Members = IndexMap<String, Json>;

/// A JSON value.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(Box<str>),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Object(Members),
}

/// Why bytes are not JSON that we read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("it is not JSON (at byte {0})")]
    Syntax(usize),
    /// More than [`DEPTH_MAX`] levels.
    #[error("it is nested deeper than {DEPTH_MAX} levels")]
    Depth,
}

impl Json {
    /// Reads a whole text.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut reader = Reader { bytes, at: 0 };
        let value = reader.value(0)?;
        reader.blank();
        if reader.at == bytes.len() { Ok(value) } else { Err(JsonError::Syntax(reader.at)) }
    }
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
    /// A whole number.
    pub fn number(n: i64) -> Self {
        Self::Number(n.to_string().into())
    }
    /// Its members, if it is an object.
    pub fn as_object(&self) -> Option<&Members> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
    /// As compact JSON.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("numbers were read as JSON, and keys are texts"))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax(self.at))
    }
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
    /// The next byte that is not blank, which is taken.
    fn next(&mut self) -> Option<u8> {
        self.blank();
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
    fn word(&mut self, rest: &[u8], value: Json) -> Result<Json, JsonError> {
        if self.bytes[self.at..].starts_with(rest) {
            self.at += rest.len();
            Ok(value)
        } else {
            self.wrong()
        }
    }
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::Depth);
        }
        match self.next() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b't') => self.word(b"rue", Json::Bool(true)),
            Some(b'f') => self.word(b"alse", Json::Bool(false)),
            Some(b'n') => self.word(b"ull", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.wrong(),
        }
    }
    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut members = Members::new();
        match self.next() {
            Some(b'}') => return Ok(Json::Object(members)),
            Some(b'"') => {}
            _ => return self.wrong(),
        }
        loop {
            let key = self.string()?;
            if self.next() != Some(b':') {
                return self.wrong();
            }
            members.insert(key, self.value(depth + 1)?);
            match self.next() {
                Some(b'}') => return Ok(Json::Object(members)),
                Some(b',') if self.next() == Some(b'"') => {}
                _ => return self.wrong(),
            }
        }
    }
    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.next() {
                Some(b']') => return Ok(Json::List(items)),
                Some(b',') => {}
                _ => return self.wrong(),
            }
        }
    }
    /// The rest of a string whose quote was taken. Escapes and UTF-8 are serde_json's business.
    fn string(&mut self) -> Result<String, JsonError> {
        let quote = self.at - 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return self.wrong(),
            }
        }
        self.at += 1;
        serde_json::from_slice(&self.bytes[quote..self.at]).map_err(|_| JsonError::Syntax(quote))
    }
    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { self.wrong() }
    }
    fn number(&mut self) -> Result<Json, JsonError> {
        self.at -= 1;
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = std::str::from_utf8(&self.bytes[from..self.at]).map_err(|_| JsonError::Syntax(from))?;
        Ok(Json::Number(text.into()))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(b) => s.serialize_bool(*b),
            Self::Number(text) => {
                RawValue::from_string(text.clone().into()).map_err(serde::ser::Error::custom)?.serialize(s)
            }
            Self::Text(text) => s.serialize_str(text),
            Self::List(items) => s.collect_seq(items),
            Self::Object(members) => {
                let mut map = s.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    /// From JSON only: serde_json hands over the text itself.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        Self::parse(raw.get().as_bytes()).map_err(de::Error::custom)
    }
}

/// JSON as people read it: broken into lines, and otherwise what came in, byte for byte (reading and writing it anew would
/// sort names and round numbers). Anything else as it is.
pub fn pretty(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    if serde_json::from_slice::<de::IgnoredAny>(payload).is_err() {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if in_string {
            out.push(c);
            (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while rest.peek().is_some_and(|c| c.is_ascii_whitespace()) {
                    rest.next();
                }
                if rest.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    out.extend(rest.next());
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_keep_their_order_and_numbers_their_text() {
        let text = r#"{"b":1.50,"a":[1e5,-0,{"z":null,"y":true}],"é":"\n\u00e9"}"#;
        let read = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(read.to_text(), "{\"b\":1.50,\"a\":[1e5,-0,{\"z\":null,\"y\":true}],\"é\":\"\\né\"}");
        assert_eq!(serde_json::from_str::<Json>(text).unwrap(), read);
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_value_counts() {
        assert_eq!(Json::parse(br#"{"a":1,"b":2,"a":3}"#).unwrap().to_text(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in [
            "",
            "{",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,}",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            "NaN",
            "tru",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"a\nb\"",
            "1 2",
            "\"\\ud800\"",
            "nulll",
            "{,}",
            "[,1]",
            ".5",
        ] {
            assert!(matches!(Json::parse(bad.as_bytes()), Err(JsonError::Syntax(_))), "{bad}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        let deep = "[".repeat(100_000);
        assert_eq!(Json::parse(deep.as_bytes()), Err(JsonError::Depth));
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in "[\\[\\]{}:,\"a\\\\u0-9eE.+ tfnrls-]{0,40}") {
            let ours = Json::parse(text.as_bytes());
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
            if let Ok(value) = ours {
                prop_assert_eq!(Json::parse(value.to_text().as_bytes()).unwrap(), value);
            }
        }
        #[test]
        fn any_bytes_end_in_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Json::parse(&bytes);
        }
    }

    #[test]
    fn json_is_broken_into_lines_and_not_changed_otherwise() {
        let json = br#"{"z":1.0,"a":[ ],"b":{"k\\":"x, \"{y}"},"n":[12345678901234567890,2]}"#;
        let lines = [
            "{",
            r#"  "z": 1.0,"#,
            r#"  "a": [],"#,
            r#"  "b": {"#,
            r#"    "k\\": "x, \"{y}""#,
            "  },",
            r#"  "n": ["#,
            "    12345678901234567890,",
            "    2",
            "  ]",
            "}",
        ];
        assert_eq!(pretty(json), lines.join("\n"));
        assert_eq!(pretty(b"<not json"), "<not json");
    }

    #[test]
    fn what_is_read_by_people_is_broken_into_lines_and_otherwise_as_it_was_written() {
        let body = r#"{ "b" :1.50,"a":[ ],"x":{},"s":"a\"{, }\\","l":[1,{"z":null}],"d":1,"d":2}"#;
        let want = "{\n  \"b\": 1.50,\n  \"a\": [],\n  \"x\": {},\n  \"s\": \"a\\\"{, }\\\\\",\n  \"l\": [\n    1,\n    \
                    {\n      \"z\": null\n    }\n  ],\n  \"d\": 1,\n  \"d\": 2\n}";
        assert_eq!(pretty(body.as_bytes()), want);
        assert_eq!(pretty(b"7"), "7");
    }
}
