//! jq expressions of endpoints: `filter` (send or not) and `transform` (a new payload), evaluated within limits.
//!
//! Users write them, so they are hostile until proven otherwise. Four fences, one behind the other:
//!
//! 1. **Before parsing**, the source's length and its brackets are limited, because the parser recurses.
//! 2. **The parsed expression** is walked (`check.rs`): no definitions, no `..`, and only functions from a list. What reads
//!    the environment, the clock, other input, or ends the process is not on it, and nothing on it calls itself.
//! 3. **Every step** of the expression is marked; a step pays from an allowance and, once that is used up, ends the
//!    evaluation in a way that `try` and `//` cannot catch (`natives.rs`).
//! 4. **Values** are our own (`value`): each operation pays for its work before it does it, and no value can become
//!    larger than 8 MiB or deeper than 200 levels (`meter.rs`).
//!
//! So a run is bounded in time, memory and stack on whatever thread calls it; no second thread, no clock.

mod check;
mod meter;
mod natives;
mod value;

pub use check::{MAX_SOURCE, functions};
pub use meter::Limit;

use crate::expression::value::Val;
use bytes::Bytes;
use domain::MessageMeta;
use jaq_core::{
    Compiler, Ctx, Filter, Vars,
    load::{Arena, File, Lexer, Loader, Parser, parse::Def},
};
use natives::Data;
use serde_json::{Value, json};
use std::fmt;

/// Bytes of what an expression gives, at most.
pub const MAX_OUTPUT: usize = 4 * 1024 * 1024;
/// The name of the whole expression among the functions. No user can call it: it is not on the list.
const MAIN: &str = "schoolbell_main";

/// Why an expression cannot be used, or did not give anything to send. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// More source than allowed.
    #[error("an expression has at most {MAX_SOURCE} characters")]
    TooLong,
    /// Too many brackets, steps or levels.
    #[error("this expression is too complex: use fewer brackets, or split it over two endpoints")]
    TooComplex,
    /// Not jq.
    #[error("not a jq expression: {message}{}", At(*at))]
    Syntax {
        /// Where.
        at: usize,
        /// What was expected, and what is there.
        message: String,
    },
    /// A function that does not exist, or that is not offered.
    #[error("there is no function '{name}' here{}; see the list of functions in the documentation", At(*at))]
    Unknown {
        /// Where.
        at: usize,
        /// Its name.
        name: String,
    },
    /// A variable that is not bound.
    #[error("there is no variable '{name}'{}", At(*at))]
    UnknownVariable {
        /// Where.
        at: usize,
        /// Its name.
        name: String,
    },
    /// A function called with too few or too many arguments.
    #[error("'{name}' takes {takes} arguments{}", At(*at))]
    Arguments {
        /// Where.
        at: usize,
        /// Its name.
        name: String,
        /// How many it takes.
        takes: String,
    },
    /// Something of jq's that is not offered.
    #[error("this is not allowed: {what}{}", At(*at))]
    Refused {
        /// Where.
        at: usize,
        /// What, and why.
        what: String,
    },
    /// It failed on this payload.
    #[error("the expression failed: {message}{}", Near(*at))]
    Failed {
        /// The step it was at, or shortly before.
        at: usize,
        /// What happened; kinds of values, never the values.
        message: String,
    },
    /// It did not stay within its limits on this payload.
    #[error("the expression was stopped: {limit}{}", Near(*at))]
    Stopped {
        /// The step it was at, or shortly before.
        at: usize,
        /// Which limit.
        limit: Limit,
    },
    /// It gave nothing, or more than one value, where one is needed.
    #[error("the expression gave {0} values instead of one")]
    NotOne(&'static str),
    /// It gave more than can be sent.
    #[error("the expression gave more than 4 MiB")]
    OutputTooLarge,
    /// The payload is not JSON, or nested too deeply to read.
    #[error("the payload cannot be read as JSON: {0}")]
    Payload(String),
}

struct At(usize);
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " (character {})", self.0) }
    }
}

struct Near(usize);
impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " (near character {})", self.0) }
    }
}

/// A jq expression made ready. Cheap to run, worth keeping: making one ready takes about a millisecond.
///
/// The input is the payload. `$message` holds `id`, `eventType`, `eventId`, `channels` and `createdAt`.
pub struct Expression {
    source: String,
    filter: Filter<Data>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Expression {
    /// Checks and compiles.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        check::check_source(source)?;
        let tokens = Lexer::new(source).lex().map_err(|errors| lexical(source, &errors))?;
        check::check_tokens(&tokens)?;
        let parsed = Parser::new(&tokens).parse(|p| p.term()).map_err(|errors| {
            let Some((expected, found)) = errors.first() else { return ExpressionError::TooComplex };
            let found = jaq_core::load::lex::Token::opt_as_str(*found, source);
            let at = check::offset(source, found);
            let there = if found.is_empty() { "it ends here".to_owned() } else { format!("found '{}'", brief(found)) };
            ExpressionError::Syntax { at, message: format!("expected {}, but {there}", expected.as_str()) }
        })?;

        let arena = Arena::default();
        let body = check::Checker::new(source, &arena).check(parsed)?;
        let mut defs = prelude();
        defs.push(Def { name: MAIN, args: Vec::new(), body });
        let modules = Loader::new(defs)
            .load(&arena, File { code: MAIN, path: () })
            .map_err(|_| ExpressionError::Syntax { at: 0, message: "it cannot be read".to_owned() })?;
        let filter = Compiler::default()
            .with_funs(natives::all())
            .with_global_vars(["$message"])
            .compile(modules)
            .map_err(|errors| {
                undefined(source, errors.iter().flat_map(|(_, e)| e.iter().map(|(name, kind)| (*name, kind.as_str()))))
            })?;
        Ok(Self { source: source.to_owned(), filter })
    }

    /// What it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether a message with this payload is to be sent: whether the first value is neither false nor null. No value
    /// means no.
    pub fn accepts(&self, payload: &[u8], message: &MessageMeta) -> Result<bool, ExpressionError> {
        let first = self.values(read(payload)?, about(message), 1)?.into_iter().next();
        Ok(first.is_some_and(|v| jaq_core::ValT::as_bool(&v)))
    }

    /// The new payload: the one value that the expression gives.
    pub fn transform(&self, payload: &[u8], message: &MessageMeta) -> Result<Bytes, ExpressionError> {
        self.one(read(payload)?, about(message))
    }

    /// The one value that the expression gives for `input`, with an empty `$message`: for trying out.
    pub fn run(&self, input: &Value) -> Result<Value, ExpressionError> {
        let bytes = self.one(read(input.to_string().as_bytes())?, Val::Null)?;
        serde_json::from_slice(&bytes).map_err(|e| ExpressionError::Payload(e.to_string()))
    }

    fn one(&self, input: Val, message: Val) -> Result<Bytes, ExpressionError> {
        let mut values = self.values(input, message, 2)?;
        let value = match (values.pop(), values.is_empty()) {
            (Some(value), true) => value,
            (Some(_), false) => return Err(ExpressionError::NotOne("several")),
            (None, _) => return Err(ExpressionError::NotOne("no")),
        };
        let text = value.to_json();
        if text.len() > MAX_OUTPUT { Err(ExpressionError::OutputTooLarge) } else { Ok(text.into()) }
    }

    /// The first `most` values.
    fn values(&self, input: Val, message: Val, most: usize) -> Result<Vec<Val>, ExpressionError> {
        let (result, over, at) = meter::metered(|| {
            let context = Ctx::<Data>::new(&self.filter.lut, Vars::new([message]));
            self.filter.id.run((context, input)).take(most).collect::<Result<Vec<_>, _>>()
        });
        if let Some(limit) = over {
            return Err(ExpressionError::Stopped { at, limit });
        }
        result.map_err(|exception| {
            let message = match exception.get_err().map(|e| e.into_val()) {
                Ok(Val::Str(text)) => brief(&text).to_owned(),
                Ok(other) => format!("error with a value that is not a text: {}", other.kind()),
                // A step halted without a limit, or a label without a break: neither can be written.
                Err(_) => "it was stopped".to_owned(),
            };
            ExpressionError::Failed { at, message }
        })
    }
}

/// The functions written in jq.
fn prelude<'s>() -> Vec<Def<&'s str>> {
    // Tests compile with it: what is in the file parses.
    jaq_core::load::parse(include_str!("prelude.jq"), |p| p.defs()).unwrap_or_default()
}

fn read(payload: &[u8]) -> Result<Val, ExpressionError> {
    serde_json::from_slice(payload).map_err(|e| ExpressionError::Payload(e.to_string()))
}

fn about(message: &MessageMeta) -> Val {
    let about = json!({
        "id": message.id,
        "eventType": message.event_type,
        "eventId": message.event_id,
        "channels": message.channels,
        "createdAt": message.created_at,
    });
    serde_json::from_value(about).unwrap_or_default()
}

/// At most 200 bytes of a text.
fn brief(text: &str) -> &str {
    match text.char_indices().find(|(i, _)| *i >= 200) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

fn lexical(source: &str, errors: &[jaq_core::load::lex::Error<&str>]) -> ExpressionError {
    match errors.first() {
        Some((expected, found)) => ExpressionError::Syntax {
            at: check::offset(source, found),
            message: format!("expected {}", expected.as_str()),
        },
        None => ExpressionError::TooComplex,
    }
}

fn undefined<'a>(source: &str, mut errors: impl Iterator<Item = (&'a str, &'a str)>) -> ExpressionError {
    match errors.next() {
        Some((name, "filter")) => ExpressionError::Unknown { at: check::offset(source, name), name: name.to_owned() },
        Some((name, _)) => ExpressionError::UnknownVariable { at: check::offset(source, name), name: name.to_owned() },
        None => ExpressionError::TooComplex,
    }
}

#[cfg(test)]
mod tests;
