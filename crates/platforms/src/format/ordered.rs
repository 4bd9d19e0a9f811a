//! JSON whose objects keep the order of their keys and whose numbers stay the text they are. For formats that have to give
//! the same bytes as somebody else's program.

use serde::de::IgnoredAny;
use std::borrow::Cow;

/// Levels of nesting that are read.
const DEPTH: usize = 128;

/// A JSON value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    /// In the order of the text; a key may occur twice.
    Object(Members<'a>),
}

/// What an object holds.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

impl<'a> Json<'a> {
    /// Reads a text, or says what is wrong with it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        // The reader below may then rely on the grammar.
        serde_json::from_str::<IgnoredAny>(text).map_err(|e| format!("is not JSON: {e}"))?;
        Reader { text, at: 0 }.value(0).ok_or_else(|| format!("is nested more than {DEPTH} levels deep"))
    }
    /// A member of an object; the last one if there are several of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members()?.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }
    /// What an object holds.
    pub(crate) fn members(&self) -> Option<&Members<'a>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
    /// A text.
    #[cfg(test)]
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Walks through a text that is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or_default()
    }

    /// The value that begins here; none if it is nested too deeply.
    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        if depth > DEPTH {
            return None;
        }
        Some(match self.peek() {
            b'{' => {
                let mut members = Vec::new();
                self.at += 1;
                while self.peek() != b'}' {
                    let name = self.string();
                    self.peek();
                    self.at += 1;
                    members.push((name, self.value(depth + 1)?));
                    if self.peek() == b',' {
                        self.at += 1;
                    }
                }
                self.at += 1;
                Json::Object(members)
            }
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                while self.peek() != b']' {
                    items.push(self.value(depth + 1)?);
                    if self.peek() == b',' {
                        self.at += 1;
                    }
                }
                self.at += 1;
                Json::List(items)
            }
            b'"' => Json::Text(self.string()),
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
                self.at += end;
                match &rest[..end] {
                    "null" => Json::Null,
                    "true" => Json::Bool(true),
                    "false" => Json::Bool(false),
                    number => Json::Number(number),
                }
            }
        })
    }

    /// The string that begins at the next quotation mark.
    fn string(&mut self) -> Cow<'a, str> {
        self.peek();
        let begin = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = begin;
        while bytes.get(end).is_some_and(|b| *b != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.at = end + 1;
        let raw = self.text.get(begin..end).unwrap_or_default();
        if raw.contains('\\') { Cow::Owned(unescaped(raw)) } else { Cow::Borrowed(raw) }
    }
}

/// Half a surrogate pair has no character: it becomes the one that stands for what cannot be shown.
fn unescaped(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = raw;
    loop {
        let unit = rest.strip_prefix("\\u").and_then(|r| u16::from_str_radix(r.get(..4)?, 16).ok());
        if let Some(unit) = unit {
            units.push(unit);
            rest = &rest[6..];
            continue;
        }
        out.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        let mut chars = rest.chars();
        match chars.next() {
            None => return out,
            Some('\\') => out.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some(plain) => plain,
                None => return out,
            }),
            Some(plain) => out.push(plain),
        }
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// The same as another reader's value.
    fn value(json: &Json<'_>) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => (*b).into(),
            Json::Number(n) => serde_json::from_str(n).unwrap(),
            Json::Text(t) => t.as_ref().into(),
            Json::List(items) => items.iter().map(value).collect(),
            Json::Object(members) => members.iter().map(|(k, v)| (k.to_string(), value(v))).collect(),
        }
    }

    #[test]
    fn order_and_numbers_stay_as_they_were_written() {
        let json =
            Json::read(br#" { "b" : 1.50, "a" : [ 1e3 , -0, 123456789012345678901234567890 ] , "" : {} } "#).unwrap();
        let members = json.members().unwrap();
        assert_eq!(members.iter().map(|(k, _)| k.as_ref()).collect::<Vec<_>>(), ["b", "a", ""]);
        assert_eq!(json.get("b"), Some(&Json::Number("1.50")));
        let big = Json::Number("123456789012345678901234567890");
        assert_eq!(json.get("a"), Some(&Json::List(vec![Json::Number("1e3"), Json::Number("-0"), big])));
    }

    #[test]
    fn escapes_are_read_and_half_a_pair_becomes_a_replacement() {
        let json = Json::read(br#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx\ude00""#).unwrap();
        assert_eq!(json.text(), Some("a\"\\/\u{8}\u{c}\n\r\té😀\u{fffd}x\u{fffd}"));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        for bad in ["", "{", "[1,]", "{\"a\":}", "nul", "1 2", "\"\u{1}\"", "{a:1}"] {
            assert!(Json::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Json::read(b"\"\xff\"").is_err());
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(Json::read(deep(100).as_bytes()).is_ok());
        assert_eq!(Json::read(deep(10_000).as_bytes()).unwrap_err(), "is nested more than 128 levels deep");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,8}|[\\x00-\\x7f]{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("\\PC{0,4}", inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_another_reader_reads(json in values(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
            prop_assert_eq!(value(&Json::read(text.as_bytes()).unwrap()), json);
        }
    }
}
