//! JSON Schemas that users write, and payloads that producers send: any pair has a verdict, always the same one.
//!
//! Input: the schema, a line feed, the payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use platforms::Validator;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let Ok(schema) = serde_json::from_slice::<Value>(&data[..at]) else { return };
    let validator = match Validator::compile(&schema) {
        Ok(validator) => validator,
        Err(e) => {
            let text = e.to_string();
            // What the schema says itself may be repeated; our stand-in for its address may not.
            assert!(!text.contains("schema.invalid") || schema.to_string().contains("schema.invalid"), "{text}");
            return;
        }
    };
    let Ok(payload) = serde_json::from_slice::<Value>(&data[at + 1..]) else { return };
    let verdict = validator.validate(&payload);
    assert_eq!(validator.validate(&payload), verdict);
    if let Err(problems) = &verdict {
        assert!(!problems.is_empty() && problems.len() < 1000, "{} problems", problems.len());
        for p in problems {
            assert!(p.path.is_empty() || p.path.starts_with('/'), "{p}");
        }
    }
    match schema {
        Value::Bool(all) => assert_eq!(verdict.is_ok(), all),
        Value::Object(rules) if rules.is_empty() => assert!(verdict.is_ok()),
        _ => {}
    }
});
