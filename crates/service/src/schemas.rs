//! JSON Schemas of event types: draft 7 unless they name a newer draft, never anything that would have to be fetched.

use boon::{Compiler, Draft, Schemas, UrlLoader};
use serde_json::{Map, Value};
use std::error::Error;

/// All schemas of an event type as JSON at most.
const BYTES_MAX: usize = 256 * 1024;
/// Nesting at most; deeper ones could exhaust the stack of whoever walks them.
const DEPTH_MAX: usize = 64;
/// Where a schema pretends to live.
const HERE: &str = "https://schema.invalid/schema.json";

/// Refuses to fetch: what a schema refers to must be inside it.
struct NothingElse;
impl UrlLoader for NothingElse {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("{url} is not part of the schema, and nothing is fetched").into())
    }
}

/// Says what is wrong with the schemas of an event type, if anything.
pub(crate) fn problem(schemas: &Map<String, Value>) -> Option<String> {
    let size = serde_json::to_vec(schemas).map_or(usize::MAX, |json| json.len());
    if size > BYTES_MAX {
        return Some(format!("schemas must be at most {BYTES_MAX} bytes as JSON"));
    }
    schemas.iter().find_map(|(version, schema)| {
        let problem = if deeper_than(schema, DEPTH_MAX) {
            format!("nested deeper than {DEPTH_MAX} levels")
        } else {
            not_a_schema(schema)?
        };
        Some(format!("Invalid JSON schema in version \"{version}\": {problem}"))
    })
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|v| deeper_than(v, below)),
        Value::Object(fields) => fields.values().any(|v| deeper_than(v, below)),
        _ => false,
    }
}

fn not_a_schema(schema: &Value) -> Option<String> {
    if !schema.is_object() && !schema.is_boolean() {
        return Some("a schema is an object or a boolean".to_owned());
    }
    let mut compiler = Compiler::new();
    compiler.set_default_draft(Draft::V7);
    compiler.use_loader(Box::new(NothingElse));
    let error = match compiler.add_resource(HERE, schema.clone()) {
        Ok(()) => compiler.compile(HERE, &mut Schemas::new()).err()?,
        Err(e) => e,
    };
    let text = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Some(text.replace(HERE, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: Value) -> Option<String> {
        let Value::Object(map) = json!({ "1": schema }) else { unreachable!() };
        problem(&map)
    }

    #[test]
    fn valid_schemas_of_several_drafts_pass() {
        assert_eq!(check(json!({"type": "object", "properties": {"id": {"type": "string"}}, "examples": [{}]})), None);
        assert_eq!(check(json!(true)), None);
        for draft in ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"] {
            assert_eq!(check(json!({"$schema": draft, "$ref": "#/definitions/a", "definitions": {"a": {}}})), None);
        }
    }

    #[test]
    fn what_is_not_a_schema_is_named_with_its_version() {
        for bad in [json!({"type": "strange"}), json!({"properties": 3}), json!("text"), json!({"pattern": "("})] {
            let text = check(bad.clone()).unwrap_or_else(|| panic!("{bad} passed"));
            assert!(text.starts_with("Invalid JSON schema in version \"1\": "), "{text}");
            assert!(!text.contains("schema.invalid"), "{text}");
        }
    }

    #[test]
    fn nothing_is_fetched_and_nothing_huge_or_deep_is_walked() {
        for url in ["https://example.com/a.json", "file:///etc/hostname"] {
            assert!(check(json!({"$ref": url})).unwrap().contains("nothing is fetched"));
        }
        assert!(check(json!({"description": "x".repeat(BYTES_MAX)})).unwrap().contains("bytes"));
        let deep = (0..100).fold(json!({}), |inner, _| json!({"not": inner}));
        assert!(check(deep).unwrap().contains("deeper"));
    }
}
