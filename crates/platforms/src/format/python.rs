//! JSON, texts and web forms to the byte as Python writes them: its `json`, `str`, `repr` and `urllib`. Receivers of systems
//! that are written in it know no other bytes.

use domain::Json;
use indexmap::IndexMap;
use std::{borrow::Cow, fmt::Write as _};

/// JSON with `", "` and `": "`, and nothing but ASCII.
pub(crate) fn json(value: &Json) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

fn write_json(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(text) => out.push_str(&number(text)),
        Json::Text(text) => write_quoted(text, out),
        Json::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_json(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (i, (name, member)) in members.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_quoted(name, out);
                out.push_str(": ");
                write_json(member, out);
            }
            out.push('}');
        }
    }
}

fn write_quoted(text: &str, out: &mut String) {
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
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a text does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// A number of JSON as Python reads and writes it again: whole ones as they are, others the shortest way.
fn number(text: &str) -> Cow<'_, str> {
    if !text.contains(['.', 'e', 'E']) {
        return Cow::Borrowed(if text == "-0" { "0" } else { text });
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Cow::Owned(float_text(float)),
        // Beyond what a float holds there is no number in JSON: it stays as it came.
        _ => Cow::Borrowed(text),
    }
}

fn float_text(float: f64) -> String {
    // The same digits and the same borders between the two notations; only the exponent looks different.
    let text = format!("{float:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => {
            let (sign, power) = exponent.strip_prefix('-').map_or(('+', exponent), |power| ('-', power));
            format!("{digits}e{sign}{power:0>2}")
        }
    }
}

/// A web form: nested keys joined by underscores, all else as text. `tuple` is the one key, if any, whose list is a tuple in
/// Python. None if the value is not an object.
pub(crate) fn form(value: &Json, tuple: Option<&str>) -> Option<String> {
    let mut pairs = IndexMap::new();
    value.as_object()?;
    flatten(String::new(), value, tuple, &mut pairs);
    let mut out = String::new();
    for (i, (name, text)) in pairs.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "&" });
        percent_encode(name, &mut out);
        out.push('=');
        percent_encode(text, &mut out);
    }
    Some(out)
}

/// An object gives its members, so an empty one gives nothing. Of pairs with one key the last counts, where the first stood.
fn flatten(key: String, value: &Json, tuple: Option<&str>, pairs: &mut IndexMap<String, String>) {
    match value {
        Json::Object(members) => {
            for (name, member) in members {
                let key = if key.is_empty() { name.clone() } else { format!("{key}_{name}") };
                flatten(key, member, tuple, pairs);
            }
        }
        Json::List(items) if tuple == Some(key.as_str()) => {
            let mut text = items.iter().map(repr).collect::<Vec<_>>().join(", ");
            if items.len() == 1 {
                text.push(',');
            }
            pairs.insert(key, format!("({text})"));
        }
        Json::Text(text) => {
            pairs.insert(key, text.clone());
        }
        other => {
            pairs.insert(key, repr(other));
        }
    }
}

/// A value as Python shows it to programmers.
fn repr(value: &Json) -> String {
    match value {
        Json::Null => "None".to_owned(),
        Json::Bool(b) => if *b { "True" } else { "False" }.to_owned(),
        Json::Number(text) => number(text).into_owned(),
        Json::Text(text) => repr_text(text),
        Json::List(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Json::Object(members) => {
            let pair = |(name, member): (&String, &Json)| format!("{}: {}", repr_text(name), repr(member));
            format!("{{{}}}", members.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => {
                out.push('\\');
                out.push(c);
            }
            _ if is_printable(c) => out.push(c),
            // Writing to a text does not fail.
            _ => {
                let _ = match u32::from(c) {
                    code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
    out
}

/// Rust and Python escape the characters of the same Unicode categories. (Behind another character, so that one that joins
/// on to it is not escaped for that.)
fn is_printable(c: char) -> bool {
    c == '"' || c == '\'' || {
        let mut behind = [b'a'; 5];
        let length = 1 + c.encode_utf8(&mut behind[1..]).len();
        std::str::from_utf8(&behind[..length]).is_ok_and(|text| text.escape_debug().count() == 2)
    }
}

fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            // Writing to a text does not fail.
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form_of(text: &str) -> String {
        form(&Json::parse(text.as_bytes()).unwrap(), None).unwrap()
    }

    #[test]
    fn values_of_a_form_are_written_as_the_table_of_the_original_says() {
        for (json, want) in [
            (r#"{"user": {"pii": {"name": "J"}}}"#, "user_pii_name=J"),
            (r#"{"profile_name": "Jané Doe"}"#, "profile_name=Jan%C3%A9+Doe"),
            (r#"{"user_first_name": ""}"#, "user_first_name="),
            (r#"{"profile": {"gender": null}}"#, "profile_gender=None"),
            (r#"{"user": {"is_active": true, "x": false}}"#, "user_is_active=True&user_x=False"),
            (r#"{"user_id": 4, "grade": {"percent": 0.9}}"#, "user_id=4&grade_percent=0.9"),
            (r#"{"list": ["a", 1]}"#, "list=%5B%27a%27%2C+1%5D"),
            (r#"{"list": []}"#, "list=%5B%5D"),
            (
                r#"{"l": [{"title": "x", "usage_key": null}]}"#,
                "l=%5B%7B%27title%27%3A+%27x%27%2C+%27usage_key%27%3A+None%7D%5D",
            ),
            (r#"{"t": "2026-01-31 20:24:32.598387+00:00"}"#, "t=2026-01-31+20%3A24%3A32.598387%2B00%3A00"),
            (r#"{"a": {}, "b": 1}"#, "b=1"),
            (r#"{"a.b.C": {"e": "j@x~*"}}"#, "a.b.C_e=j%40x~%2A"),
            (r#"{"h": {"i_j": 1}, "k": 2, "h_i": {"j": 3}}"#, "h_i_j=3&k=2"),
            ("{}", ""),
        ] {
            assert_eq!(form_of(json), want, "{json}");
        }
        assert_eq!(form(&Json::List(vec![]), None), None);
    }

    #[test]
    fn a_tuple_is_one_only_where_it_is_said() {
        let json = Json::parse(br#"{"m": {"lib": [10, 5, 0], "one": [1]}}"#).unwrap();
        assert_eq!(form(&json, Some("m_lib")).unwrap(), "m_lib=%2810%2C+5%2C+0%29&m_one=%5B1%5D");
        assert_eq!(form(&json, Some("m_one")).unwrap(), "m_lib=%5B10%2C+5%2C+0%5D&m_one=%281%2C%29");
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (json, want) in [
            ("0.9", "0.9"),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("1E16", "1e+16"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.25e-7", "1.25e-07"),
            ("-0.0", "-0.0"),
            ("-0", "0"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("1e999", "1e999"),
        ] {
            assert_eq!(number(json), want, "{json}");
        }
    }

    #[test]
    fn texts_in_lists_are_escaped_as_python_escapes_them() {
        for (text, want) in [
            ("it's", "\"it's\""),
            ("\"it's\"", "'\"it\\'s\"'"),
            ("a\\b\n\r\t\u{0}\u{7f}\u{a0}\u{ad}", "'a\\\\b\\n\\r\\t\\x00\\x7f\\xa0\\xad'"),
            ("é😀e\u{301}\u{200b}\u{2028}\u{e000}", "'é😀e\u{301}\\u200b\\u2028\\ue000'"),
            ("\u{1f1e6}\u{e0001}", "'\u{1f1e6}\\U000e0001'"),
        ] {
            assert_eq!(repr_text(text), want);
        }
    }

    proptest! {
        #[test]
        fn json_reads_back_as_the_same(text in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", n in any::<f64>()) {
            let quoted = json(&Json::text(text.as_str()));
            prop_assert!(quoted.is_ascii());
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
            if n.is_finite() {
                prop_assert_eq!(float_text(n).parse::<f64>().unwrap(), n);
            }
        }

        #[test]
        fn a_form_holds_each_key_once_and_every_text_comes_back(pairs in prop::collection::vec(("\\PC{1,6}", "\\PC{0,8}"), 0..8)) {
            let members = pairs.iter().map(|(k, v)| (k.clone(), Json::text(v.as_str()))).collect();
            let text = form(&Json::Object(members), None).unwrap();
            let decode = |part: &str| {
                let mut bytes = Vec::new();
                let mut rest = part.as_bytes().iter();
                while let Some(b) = rest.next() {
                    bytes.push(match b {
                        b'+' => b' ',
                        b'%' => {
                            let hex = [*rest.next().unwrap(), *rest.next().unwrap()];
                            u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                        }
                        other => *other,
                    });
                }
                String::from_utf8(bytes).unwrap()
            };
            let read: Vec<(String, String)> = text.split('&').filter(|p| !p.is_empty()).map(|pair| {
                let (k, v) = pair.split_once('=').unwrap();
                (decode(k), decode(v))
            }).collect();
            let want: IndexMap<String, String> = pairs.into_iter().collect();
            prop_assert_eq!(read, want.into_iter().collect::<Vec<_>>());
        }
    }
}
