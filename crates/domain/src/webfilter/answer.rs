//! Reads one answer: which of its data and exceptions count, and a note for whatever does not.

use super::{Effect, ExceptionRules, FilterRules, Protection, ReadingResult, Webfilter, protect::only_settable};
use crate::json::{Json, JsonError, Members};
use indexmap::IndexMap;

/// Notes on one answer at most.
const NOTES_MAX: usize = 20;
/// Characters of a foreign name in a note at most.
const NAME_MAX: usize = 80;
/// What an exception without a readable value says.
const NO_REASON: &str = "Reason not specified";
/// What an exception that is a whole answer says.
const RESPONSE: &str = "Render Custom Response";
/// What a whole answer is made of.
const RESPONSE_PARTS: [&str; 6] = ["content", "content_type", "status", "reason", "charset", "headers"];

/// What counts of an answer.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) result: ReadingResult,
    pub(super) data: IndexMap<String, (Effect, Json)>,
    pub(super) exceptions: IndexMap<String, Members>,
    pub(super) notes: Notes,
}

/// Notes, as many as somebody reads.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Vec<String>);

impl Notes {
    fn add(&mut self, note: impl FnOnce() -> String) {
        match self.0.len() {
            n if n < NOTES_MAX => self.0.push(note()),
            NOTES_MAX => self.0.push("… and more".to_owned()),
            _ => {}
        }
    }
}

fn short(name: &str) -> &str {
    name.char_indices().nth(NAME_MAX).map_or(name, |(at, _)| &name[..at])
}

impl Counted {
    fn nothing(result: ReadingResult) -> Self {
        Self { result, ..Self::default() }
    }
    fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.0.push(note.into());
        self
    }

    /// Reads the body of an answer.
    pub(super) fn read(webfilter: &Webfilter, rules: &FilterRules, body: &[u8], protection: &Protection) -> Self {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Self::nothing(ReadingResult::Empty);
        }
        let answer = match Json::parse(body) {
            Ok(Json::Object(answer)) => answer,
            Ok(_) => return Self::nothing(ReadingResult::NotObject).noting("the answer is JSON, but not an object"),
            Err(JsonError::Depth) => {
                return Self::nothing(ReadingResult::NotJson).noting(format!("the answer: {}", JsonError::Depth));
            }
            Err(_) => return Self::nothing(ReadingResult::NotJson).noting("the answer is not JSON"),
        };
        let mut counted = Self::default();
        for (key, value) in answer {
            match (key.as_str(), value) {
                ("data", Json::Object(data)) => counted.take_data(webfilter, rules, data, protection),
                ("exception", Json::Object(named)) => counted.take_exceptions(webfilter, rules, named),
                ("data" | "exception", _) => counted.notes.add(|| format!("{key} is not an object")),
                ("exceptions", _) => counted.notes.add(|| "exceptions is ignored: the key is exception".to_owned()),
                _ => counted.notes.add(|| format!("{} is ignored: only data and exception count", short(&key))),
            }
        }
        if counted.data.is_empty() && counted.exceptions.is_empty() {
            counted.result = ReadingResult::Empty;
        }
        counted
    }

    fn take_data(&mut self, webfilter: &Webfilter, rules: &FilterRules, data: Members, protection: &Protection) {
        let settings = &webfilter.settings;
        if settings.disable_filtering {
            if !data.is_empty() {
                self.notes.add(|| "data is not used: filtering is disabled".to_owned());
            }
            return;
        }
        for (key, mut value) in data {
            let path = format!("data.{}", short(&key));
            let Some(effect) = rules.effect(&key, settings.wire_version) else {
                self.notes.add(|| format!("{path} is ignored: {} has no such data", rules.name));
                continue;
            };
            if protection.refuses(&key) {
                self.notes.add(|| format!("{path} is ignored: it is protected"));
                continue;
            }
            if !effect.fits(&value) {
                self.notes.add(|| format!("{path} is ignored: it must be {}", wanted(effect)));
                continue;
            }
            let notes = &mut self.notes;
            protection.incoming(&mut value, &path, &mut |path| {
                notes.add(|| format!("{} is ignored: it is protected", short(path)));
            });
            if let (Effect::Save | Effect::Memory, Json::Object(fields)) = (effect, &mut value) {
                only_settable(fields, effect == Effect::Save, settings.wire_version, &mut |field| {
                    notes.add(|| format!("{path}.{} is ignored: it cannot be changed", short(field)));
                });
            }
            self.data.insert(key, (effect, value));
        }
    }

    fn take_exceptions(&mut self, webfilter: &Webfilter, rules: &FilterRules, named: Members) {
        if webfilter.settings.disable_halting {
            if !named.is_empty() {
                self.notes.add(|| "exception is not used: halting is disabled".to_owned());
            }
            return;
        }
        for (name, value) in named {
            if !rules.has_exception(&name) {
                self.notes.add(|| format!("{} is ignored: {} has no such exception", short(&name), rules.name));
                continue;
            }
            let arguments = arguments(&name, rules.exception(&name), value, &mut self.notes);
            self.exceptions.insert(name, arguments);
        }
    }
}

fn wanted(effect: Effect) -> &'static str {
    match effect {
        Effect::Add => "a list of texts",
        _ => "an object",
    }
}

/// The arguments of an exception, from its value in an answer.
fn arguments(name: &str, rules: Option<&ExceptionRules>, value: Json, notes: &mut Notes) -> Members {
    let mut arguments = match (value, rules) {
        (Json::Object(parts), Some(rules)) if rules.is_response() => response(parts, notes),
        (Json::Text(text), Some(rules)) if rules.is_response() => {
            response(Members::from_iter([("content".to_owned(), Json::Text(text))]), notes)
        }
        (Json::Text(text), _) => Members::from_iter([("message".to_owned(), Json::Text(text))]),
        (Json::Object(given), rules) => {
            let mut arguments = Members::from_iter([("message".to_owned(), Json::text(""))]);
            for (argument, value) in given {
                if argument == "message" || rules.is_none_or(|rules| rules.takes(&argument)) {
                    arguments.insert(argument, value);
                } else {
                    notes.add(|| format!("{name}.{} is ignored: it takes no such argument", short(&argument)));
                }
            }
            arguments
        }
        _ => Members::from_iter([("message".to_owned(), Json::text(NO_REASON))]),
    };
    for needed in rules.iter().flat_map(|rules| &rules.required) {
        arguments.entry(needed.clone()).or_insert_with(|| Json::text(""));
    }
    arguments
}

fn response(parts: Members, notes: &mut Notes) -> Members {
    let mut response = Members::new();
    for (part, value) in parts {
        if RESPONSE_PARTS.contains(&part.as_str()) {
            response.insert(part, value);
        } else {
            notes.add(|| format!("{} is ignored: it is no part of a response", short(&part)));
        }
    }
    Members::from_iter([("message".to_owned(), Json::text(RESPONSE)), ("response".to_owned(), Json::Object(response))])
}
