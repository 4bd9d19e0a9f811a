//! JSON Schema of payloads: compiled once per event type, asked for every message that is published.
//!
//! Drafts up to 2020-12 (the one assumed), formats are asserted, and nothing is ever loaded: a schema that refers to
//! something outside of itself does not compile. Regular expressions take linear time.

use boon::{Compiler, Draft, ErrorKind, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;
use std::error::Error;

/// The largest schema, as JSON.
pub const MAX_SCHEMA: usize = 256 * 1024;
/// Problems that one payload is told about.
const MAX_PROBLEMS: usize = 20;
/// What stands for the schema's own address, so that it can refer to itself.
const HERE: &str = "https://schema.invalid/";

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// More than 256 KiB.
    #[error("a schema has at most {} KiB", MAX_SCHEMA / 1024)]
    TooLarge,
    /// Not a schema, or one that refers to another document.
    #[error("not a usable JSON Schema: {0}")]
    Invalid(String),
}

/// Where a payload does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer into the payload, `/student/email`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.path.is_empty() { "/" } else { &self.path }, self.message)
    }
}

/// A schema made ready.
pub struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl std::fmt::Debug for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Validator")
    }
}

struct LoadsNothing;

impl UrlLoader for LoadsNothing {
    fn load(&self, _url: &str) -> Result<Value, Box<dyn Error>> {
        Err("schemas may only refer to themselves".into())
    }
}

impl Validator {
    /// Makes a schema ready.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        if schema.to_string().len() > MAX_SCHEMA {
            return Err(SchemaError::TooLarge);
        }
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.use_loader(Box::new(LoadsNothing));
        let mut schemas = Schemas::new();
        let invalid = |e: boon::CompileError| SchemaError::Invalid(short(&e.to_string().replace(HERE, "")));
        compiler.add_resource(HERE, schema.clone()).map_err(invalid)?;
        let index = compiler.compile(HERE, &mut schemas).map_err(invalid)?;
        Ok(Self { schemas, index })
    }

    /// Whether a payload fits; if not, where and why.
    pub fn validate(&self, payload: &Value) -> Result<(), Vec<Problem>> {
        self.schemas.validate(payload, self.index).map_err(|error| {
            let mut problems = Vec::new();
            leaves(&error, &mut problems);
            problems
        })
    }
}

/// The errors at the bottom of the tree: those that a person can do something about.
fn leaves(error: &ValidationError<'_, '_>, problems: &mut Vec<Problem>) {
    if problems.len() >= MAX_PROBLEMS {
        return;
    }
    if !error.causes.is_empty() {
        error.causes.iter().for_each(|cause| leaves(cause, problems));
        return;
    }
    let path = error.instance_location.to_string();
    let mut add = |path: String, message: String| problems.push(Problem { path, message });
    match &error.kind {
        ErrorKind::Required { want } => {
            want.iter().for_each(|name| add(format!("{path}/{}", escaped(name)), "is missing".to_owned()));
        }
        ErrorKind::AdditionalProperties { got } => {
            got.iter().for_each(|name| add(format!("{path}/{}", escaped(name)), "is not known here".to_owned()));
        }
        ErrorKind::FalseSchema | ErrorKind::Not => add(path, "is not allowed here".to_owned()),
        kind => add(path, short(&kind.to_string())),
    }
}

/// A member's name as part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn short(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(schema: Value, payload: Value) -> Vec<String> {
        match Validator::compile(&schema).unwrap().validate(&payload) {
            Ok(()) => Vec::new(),
            Err(all) => all.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_problem_names_the_path() {
        let schema = json!({"type": "object", "required": ["a/b", "c"], "properties": {
            "c": {"type": "array", "items": {"type": "string", "format": "date-time"}}}, "additionalProperties": false});
        assert_eq!(problems(schema.clone(), json!({"a/b": 1, "c": []})), ["/a~1b: is not known here"]);
        assert_eq!(problems(schema.clone(), json!({"c": ["2024-05-02T09:14:03Z", 1]})).len(), 2);
        let found = problems(schema, json!({"c": ["soon"]}));
        assert_eq!(found[0], "/a~1b: is missing");
        assert!(found[1].starts_with("/c/0: "), "{found:?}");
    }

    #[test]
    fn nothing_is_loaded_from_anywhere() {
        for outside in ["http://127.0.0.1:1/a", "file:///etc/passwd", "https://example.org/s", "other.json"] {
            let error = Validator::compile(&json!({ "$ref": outside })).unwrap_err();
            assert!(matches!(error, SchemaError::Invalid(_)), "{outside}");
        }
        assert_eq!(problems(json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}), json!(1)).len(), 0);
        assert_eq!(
            problems(json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}), json!(1)).len(),
            1
        );
    }

    #[test]
    fn what_is_not_a_schema_is_refused() {
        assert!(Validator::compile(&json!({"type": "nonsense"})).is_err());
        assert!(Validator::compile(&json!(3)).is_err());
        assert_eq!(
            Validator::compile(&json!({"description": "x".repeat(MAX_SCHEMA)})).unwrap_err(),
            SchemaError::TooLarge
        );
    }

    #[test]
    fn validators_can_be_shared() {
        fn shared<T: Send + Sync>() {}
        shared::<Validator>();
        shared::<crate::expression::Expression>();
    }

    #[test]
    fn patterns_that_explode_elsewhere_take_no_time() {
        let schema = json!({"type": "string", "pattern": "^(a+)+$"});
        assert_eq!(problems(schema, json!(format!("{}b", "a".repeat(50_000)))).len(), 1);
    }
}
